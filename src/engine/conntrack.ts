import { hasHostPort } from "../net/port_mapping.ts";
import { deletion, type Flows } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { isHostAddress } from "./routes.ts";

/**
 * Deletes the UDP flows to ports of the host's own addresses. Flows that pass through the host to the same port number
 * elsewhere are kept. It reads all flows of the kernel once, and needs one process for each address and port that has
 * flows.
 * @throws Error if conntrack is not installed; the caller may continue without it
 */
export async function endFlows(
  world: World,
  prefix: readonly string[],
  wanted: readonly Flows[],
): Promise<void> {
  const ports = new Set(wanted.map(({ port }) => port));
  const ranges = [...ports].filter((port) => port.includes("-"));
  const only = ports.size === 1 && ranges.length === 0 ? ["--orig-port-dst", ...ports] : [];
  const { stdout } = await world.run([...prefix, "conntrack", "-L", "-p", "udp", ...only], {
    ...{ looks: true, timeout },
  });
  const targets = wanted.map(({ port, address }) => address === undefined ? port : `${address} ${port}`);
  for (const target of findTargets(stdout, new Set(targets), ranges)) {
    const [address, port] = target.split(" ") as [string, string];
    if (await isHostAddress(world, address)) {
      await world.run([...prefix, ...deletion({ address, port })], { timeout });
    }
  }
}

/** In milliseconds. The caller can continue without the answer. */
const timeout = 5000;

/** The targets (address and port) of flows. `wanted` has ports, or addresses with ports; `ranges` are of ports. */
function findTargets(
  flows: string,
  wanted: ReadonlySet<string>,
  ranges: readonly string[],
): ReadonlySet<string> {
  const sent = flows.matchAll(/^udp .*? src=\S+ dst=(\S+) sport=\d+ dport=(\d+) /gm);
  const found = Array.from(sent, ([, address, port]) => ({ port: port!, target: `${address} ${port}` }));
  return new Set(
    found.filter(({ port, target }) =>
      wanted.has(port) || wanted.has(target) || ranges.some((range) => hasHostPort(range, Number(port)))
    ).map(({ target }) => target),
  );
}
