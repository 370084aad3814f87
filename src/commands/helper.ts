import { oneLine } from "../wire/cni/output.ts";
import { helperDirectory, helperPolicy } from "../wire/helper/wire.ts";
import { ownProcess } from "../host/runtime.ts";
import type { Option } from "../wire/oci/options.ts";
import { findProgram } from "../plan/programs.ts";
import type { World } from "../plan/world.ts";
import { runHelper } from "../features/helper/service.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";
import { families, hardening, unitsOption, unitsReport, unitWord } from "./units.ts";

/** What the service can be told. */
export const helperOptions: readonly Option[] = [
  {
    name: "policy",
    value: "FILE",
    text: `who may have what (default: ${helperPolicy})`,
    many: false,
    annotation: false,
  },
  unitsOption,
];

export const helperHelp = `
Lines of the policy are as in lxc-usernet(5), or name ports:
  alice   veth ocinet0 10        at most 10 containers on a network; ocinet0 exists without a file
  @web    veth shop    2         each member of a group; shop is a bridge network in /etc/ocinet/net.d
  alice   port 8000-8100/tcp     ports of the host that alice may publish; without /tcp, of any protocol
The helper prints to stderr what it does and what it refuses. On SIGHUP it reads the groups' members again.
`;

/** Serves ordinary users until it is told to end, or prints or writes the units by which systemd has that done. */
export async function helper(
  world: World,
  { policy = helperPolicy, units }: { readonly policy?: string; readonly units?: string },
): Promise<Report> {
  if (units !== undefined) return writeUnits(world, units, policy);
  await runHelper(world, stateDirectory(world), policy, tell);
  return { text: "", json: undefined };
}

/** A line for the log, in which no words of a user's begin another, or move a terminal's cursor. */
function tell(line: string): void {
  try {
    ownProcess.print("stderr", `ocinet helper: ${oneLine(line)}\n`);
  } catch { /* No process reads it (any more); that is no reason to stop serving. */ }
}

function writeUnits(world: World, directory: string, policy: string): Report {
  const units = { "ocinet-helper.service": service(world, policy), "ocinet-helper@.socket": socket };
  const next =
    "systemctl enable --now ocinet-helper.service, or for one user at their first request ocinet-helper@UID.socket";
  return unitsReport(world, directory, units, next);
}

/** What the service cannot do without; `bats/helper.bash` runs it with no more. */
const capabilities = [
  ...["CHOWN", "KILL", "NET_ADMIN", "NET_RAW", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_PTRACE"],
].map((name) => `CAP_${name}`).join(" ");

function service(world: World, policy: string): string {
  // Of the two only Node keeps sockets that it was given from its children.
  const node = findProgram(world, "node");
  const self = node === undefined ? world.self : [node, "--inspect-port=[ff02::1]:9229", world.self.at(-1)!];
  const command = [...self, "helper", ...(policy === helperPolicy ? [] : [`--policy=${policy}`])];
  return `[Unit]
Description=Networks for ordinary users' containers
After=network.target

[Service]
ExecStart=${command.map(unitWord).join(" ")}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RuntimeDirectory=${helperDirectory.slice("/run/".length)}
RuntimeDirectoryPreserve=yes
CapabilityBoundingSet=${capabilities}
ProtectSystem=strict
ReadWritePaths=/run -/var/lib/cni
ProtectHome=read-only
${families}
RestrictNamespaces=user net
${hardening}

[Install]
WantedBy=multi-user.target
`;
}

const socket = `[Unit]
Description=Requests of user %i for networks

[Socket]
ListenStream=${helperDirectory}/%i
SocketUser=%i
SocketMode=0600
DirectoryMode=0755
FileDescriptorName=%i
RemoveOnStop=yes
Service=ocinet-helper.service

[Install]
WantedBy=sockets.target
`;
