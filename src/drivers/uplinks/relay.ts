import { type PortMapping, showMapping } from "../../net/port_mapping.ts";
import { withCapabilities } from "../../plan/programs.ts";
import { addForward } from "../../plan/hostfwd.ts";
import type { Send, Spawn } from "../../plan/step.ts";
import { keepRunning } from "./supervise.ts";
import { refuse, refuseLow } from "./refusals.ts";
import type { Entrance, Host } from "./uplink.ts";

/**
 * Becomes the outer process, which starts the inner one, and learns from its standard input when the container has ended
 * (supervise.ts). The last word is the limit of descriptors.
 */
const run = `rm -f "$1"; shift; ulimit -Sn "$(ulimit -Hn)"; export NO_COLOR=1
exec "$@" "$(ulimit -Hn)" <&3 3<&- >&4 4>&-`;

const relayName = "relay";

/** A container to which ports are forwarded. */
export interface Relayed {
  /** Its `directory` belongs to the relay. */
  readonly entrance: Entrance;
  /** The path of the socket for requests. */
  readonly socket: string;
  /** The commands that start ocinet as the outer and as the inner process. */
  readonly program: { readonly outside: readonly string[]; readonly inside: readonly string[] };
}

/** Starts the relay: one process in the host's network and one in the container's, both without capabilities. */
export function startRelay({ entrance, socket, program }: Relayed): Spawn {
  const words = (pid: number, enter: readonly string[]) => [
    ...["sh", "-c", run, "sh", socket, "setpriv", "--no-new-privs"],
    ...[...program.outside, "relay", "outside", socket],
    ...["nsenter", ...enter, `--net=/proc/${pid}/ns/net`, ...withCapabilities("")],
    ...[...program.inside, "relay", "inside"],
  ];
  const kept = {
    name: relayName,
    words,
    ends: "told",
    cmdlineMarker: socket,
    cleanupPaths: [socket],
  } as const;
  return { ...keepRunning(entrance, kept), keepsLinks: true };
}

/** Whether a step starts the relay. */
export function isRelay({ name }: Spawn): boolean {
  return name === relayName;
}

/** The reason why the relay cannot forward a port; undefined if it can. */
export function relayRefusal(mapping: PortMapping, host: Host, proxied: boolean): string | undefined {
  if (mapping.protocol === "sctp") return refuse(mapping, "the relay forwards tcp and udp only");
  if (mapping.family === 6 && !host.ipv6) return refuse(mapping, "the kernel has no IPv6");
  if (proxied && mapping.protocol === "udp") return refuseProxied(mapping);
  if (host.relayProblem) return refuse(mapping, host.relayProblem);
  return refuseLow(mapping, host);
}

function refuseProxied(mapping: PortMapping): string {
  return `Cannot publish "${
    showMapping(mapping)
  }" with --proxy-protocol: the header stands before a connection's first ` +
    "byte, and datagrams are no connection; publish it without";
}

/**
 * Requests a port from the relay.
 * @param guests the container's addresses; the first one that accepts a connection is used
 */
export function relayPort(
  socket: string,
  guests: readonly string[],
  { ipv6 }: Host,
  { protocol, family, hostIp, hostPort, port, relay }: PortMapping,
): Send {
  const [guest, guest6] = guests;
  const everywhere = family === 4 || !ipv6 ? "0.0.0.0" : "::";
  const more = {
    ...(family === 6 && hostIp === undefined ? { ipv6_only: true } : {}),
    ...(guest6 === undefined ? {} : { guest_addr6: guest6 }),
    ...(relay?.proxyProtocol ? { proxy_protocol: relay.proxyProtocol } : {}),
  };
  const request = {
    ...{ proto: protocol, host_addr: hostIp ?? everywhere, host_port: hostPort },
    ...{ guest_addr: guest!, guest_port: port },
  };
  return addForward(socket, { ...request, ...more });
}
