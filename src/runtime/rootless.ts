import type { World } from "../plan/world.ts";
import { connect, refusal } from "../uplinks/slirp4netns.ts";
import type { ChainPlan } from "./chain.ts";
import { enterUser } from "./container.ts";
import type { Attached } from "./journal.ts";
import type { Request } from "./request.ts";
import type { ContainerPaths } from "./state.ts";

/** Longest path of a unix socket (sun_path of unix(7), less its closing zero). */
const longestSocketPath = 107;

/**
 * Connects a container of an ordinary user, who has no power over the host's links, by a process that speaks for it.
 * @throws Error for more than one network, one that is not built in, or ports that cannot be published this way
 */
export function planRootless(
  world: World,
  state: string,
  paths: ContainerPaths,
  { container, lasting, wish }: Request,
  attachments: readonly Attached[],
): ChainPlan {
  const [first, ...more] = attachments;
  const name = first!.network.name;
  const foreign = [first!, ...more].find(({ network }) =>
    !["default", "default-restricted"].includes(network.name)
  );
  if (foreign || more.length > 0) {
    throw new Error(
      `Cannot join ${foreign ? `network "${foreign.network.name}"` : "several networks"} without root: ` +
        'a rootless container has "default", "default-restricted", "none" or "host"',
    );
  }
  const lowest = Number(world.read("/proc/sys/net/ipv4/ip_unprivileged_port_start") ?? 1024);
  const refused = wish.ports.map((port) => refusal(port, lowest)).find((reason) => reason !== undefined);
  if (refused) throw new Error(refused);
  if (!container.init) {
    throw new Error(
      `Cannot attach namespace "${container.netns}" without root: give the pid of a process in it instead`,
    );
  }
  const { pid } = container.init;
  const socket = `${paths.directory}/slirp4netns.sock`;
  const short = `${state}/s/${first!.digest.slice(0, 16)}`;
  if (short.length > longestSocketPath) {
    throw new Error(
      `Cannot keep a socket in ${state}: the path is longer than ${longestSocketPath} bytes; set OCINET_STATE_DIR`,
    );
  }
  world.makeDirectory(paths.directory);
  if (socket.length > longestSocketPath) world.makeDirectory(`${state}/s`);
  return connect({
    ...{ netns: container.netns, pid, init: lasting?.init?.pid ?? pid, ifname: first!.ifname },
    ownPidNamespace: world.readLink(`/proc/${pid}/ns/pid`) !== world.readLink("/proc/self/ns/pid"),
    enter: enterUser(container),
    directory: paths.directory,
    socket: socket.length > longestSocketPath ? short : socket,
    ipv6: world.stat("/proc/sys/net/ipv6") !== undefined,
    restricted: name === "default-restricted",
  }, wish.ports);
}
