import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import { serveDocker } from "../features/docker_plugin/serve.ts";
import { ownProcess } from "../host/runtime.ts";
import { absolutePath } from "../plan/files.ts";
import { findProgram } from "../plan/programs.ts";
import type { World } from "../plan/world.ts";
import { oneLine } from "../wire/cni/output.ts";
import type { Option, OptionValues } from "../wire/oci/options.ts";
import type { Report } from "./report.ts";
import { families, hardening, unitsOption, unitsReport, unitWord } from "./units.ts";

const usual = { socket: "/run/docker/plugins/ocinet.sock", data: "/var/lib/ocinet/docker" };

/** Its options. */
export const dockerOptions: readonly Option[] = [
  option("socket", "PATH", `where Docker finds it (default: ${usual.socket})`),
  option("data", "DIR", `where networks and addresses are kept (default: ${usual.data})`),
  unitsOption,
];

function option(name: string, value: string, text: string): Option {
  return { name, value, text, many: false, annotation: false };
}

/** What the help of `docker-plugin` says. */
export const dockerHelp = `
The plugin runs until it is ended, and prints messages to stderr. While it runs, "docker network create -d ocinet
--ipam-driver ocinet -o type=bridge|macvlan|ipvlan ..." works. Containers keep their networks when it ends.
`;

/** Serves Docker until it is told to end. */
export async function dockerPlugin(world: World, given: OptionValues): Promise<Report> {
  const units = given.get("units")?.at(-1);
  if (units !== undefined) return writeUnits(world, units, given);
  if (!isRoot(world)) throw new Error("Cannot serve Docker: only root may; start it with sudo");
  const path = (name: keyof typeof usual) => absolutePath(world, given.get(name)?.at(-1) ?? usual[name]);
  await serveDocker(world, stateDirectory(world), { socket: path("socket"), data: path("data"), tell });
  return { text: "", json: undefined };
}

/** Docker comes after the socket, so it finds the plugin whenever it needs it. */
function writeUnits(world: World, directory: string, given: OptionValues): Report {
  const [socket, data] = [given.get("socket")?.at(-1) ?? usual.socket, given.get("data")?.at(-1)];
  // Only Node takes sockets from systemd.
  const node = findProgram(world, "node");
  const self = node === undefined ? world.self : [node, "--inspect-port=[ff02::1]:9229", world.self.at(-1)!];
  const command = [
    ...self,
    "docker-plugin",
    `--socket=${socket}`,
    ...(data === undefined ? [] : [`--data=${data}`]),
  ];
  const units = {
    "ocinet-docker.service": serviceUnit(command),
    ...(node === undefined ? {} : { "ocinet-docker.socket": socketUnit(socket) }),
  };
  const next = `systemctl enable --now ocinet-docker.${node === undefined ? "service" : "socket"}`;
  return unitsReport(world, directory, units, next);
}

/** `bats/docker.bats` runs it with no more capabilities than these. */
function serviceUnit(command: readonly string[]): string {
  return `[Unit]
Description=Networks of ocinet for Docker
Documentation=man:ocinet(1)

[Service]
ExecStart=${command.map(unitWord).join(" ")}
Restart=on-failure
KillMode=process
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN CAP_SYS_PTRACE
ProtectSystem=full
${families} AF_PACKET
${hardening}

[Install]
WantedBy=multi-user.target
`;
}

function socketUnit(socket: string): string {
  return `[Unit]
Description=Where Docker asks ocinet for networks
Before=docker.service

[Socket]
ListenStream=${socket.replaceAll("%", "%%")}
SocketMode=0600
DirectoryMode=0755
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
`;
}

function tell(line: string): void {
  try {
    ownProcess.print("stderr", `ocinet docker-plugin: ${oneLine(line)}\n`);
  } catch { /* No process reads it (any more); that is no reason to stop serving. */ }
}
