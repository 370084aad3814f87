import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import { serveDocker } from "../features/docker_plugin/serve.ts";
import { ownProcess } from "../host/runtime.ts";
import { absolutePath, type World } from "../plan/world.ts";
import { oneLine } from "../wire/cni/output.ts";
import type { Option, OptionValues } from "../wire/oci/options.ts";
import type { Report } from "./report.ts";

const usual = { socket: "/run/docker/plugins/ocinet.sock", data: "/var/lib/ocinet/docker" };

/** Its options. */
export const dockerOptions: readonly Option[] = [
  option("socket", "PATH", `where Docker finds it (default: ${usual.socket})`),
  option("data", "DIR", `where networks and addresses are kept (default: ${usual.data})`),
];

function option(name: string, value: string, text: string): Option {
  return { name, value, text, many: false, annotation: false };
}

/** What the help of `docker-plugin` says. */
export const dockerHelp = `
It serves until it is told to end; what it says goes to stderr. Then "docker network create -d ocinet --ipam-driver ocinet
-o type=bridge|macvlan|ipvlan ..." works. Containers go on while it does not run.
`;

/** Serves Docker until it is told to end. */
export async function dockerPlugin(world: World, given: OptionValues): Promise<Report> {
  if (!isRoot(world)) throw new Error("Cannot serve Docker: only root may; start it with sudo");
  const path = (name: keyof typeof usual) => absolutePath(world, given.get(name)?.at(-1) ?? usual[name]);
  await serveDocker(world, stateDirectory(world), { socket: path("socket"), data: path("data"), tell });
  return { text: "", json: undefined };
}

function tell(line: string): void {
  try {
    ownProcess.print("stderr", `ocinet docker-plugin: ${oneLine(line)}\n`);
  } catch { /* Nobody reads it (any more); that is no reason to stop serving. */ }
}
