import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import { serveDocker } from "../features/docker_plugin/serve.ts";
import { ownProcess } from "../host/runtime.ts";
import type { World } from "../plan/world.ts";
import { oneLine } from "../wire/cni/output.ts";
import type { Report } from "./report.ts";

/** What the help of `docker-plugin` says. */
export const dockerHelp = `
It serves /run/docker/plugins/ocinet.sock until it is told to end; what it says goes to stderr. Then "docker network create
-d ocinet --ipam-driver ocinet -o type=bridge|macvlan|ipvlan ..." works. Containers go on while it does not run.
`;

/** Serves Docker until it is told to end. */
export async function dockerPlugin(world: World): Promise<Report> {
  if (!isRoot(world)) throw new Error("Cannot serve Docker: only root may; start it with sudo");
  await serveDocker(world, stateDirectory(world), tell);
  return { text: "", json: undefined };
}

function tell(line: string): void {
  try {
    ownProcess.print("stderr", `ocinet docker-plugin: ${oneLine(line)}\n`);
  } catch { /* Nobody reads it (any more); that is no reason to stop serving. */ }
}
