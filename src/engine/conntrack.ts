import { deletion, type Flows } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { isHostAddress } from "./routes.ts";

/**
 * Ends the flows of UDP to ports of the host's: those to its own addresses, and not those that go through it to a port of
 * the number. It takes one look at all of the kernel's flows, whose number is not ours, and a process more for each address
 * and port that there are flows to.
 * @throws Error where conntrack is not there; what is done without it is worth having
 */
export async function endFlows(
  world: World,
  prefix: readonly string[],
  wanted: readonly Flows[],
): Promise<void> {
  const ports = new Set(wanted.map(({ port }) => port));
  const only = ports.size === 1 ? ["--orig-port-dst", ...ports] : [];
  const { stdout } = await world.run([...prefix, "conntrack", "-L", "-p", "udp", ...only], {
    ...{ looks: true, timeout },
  });
  const targets = wanted.map(({ port, address }) => address === undefined ? port : `${address} ${port}`);
  for (const target of findTargets(stdout, new Set(targets))) {
    const [address, port] = target.split(" ") as [string, string];
    if (await isHostAddress(world, address)) {
      await world.run([...prefix, ...deletion({ address, port })], { timeout });
    }
  }
}

/** Milliseconds, for what may be done without. */
const timeout = 5000;

/** The addresses, each with a port, that flows were sent to, as far as they are wanted: by both, or the port alone. */
function findTargets(flows: string, wanted: ReadonlySet<string>): ReadonlySet<string> {
  const sent = flows.matchAll(/^udp .*? src=\S+ dst=(\S+) sport=\d+ dport=(\d+) /gm);
  const found = Array.from(sent, ([, address, port]) => ({ port: port!, target: `${address} ${port}` }));
  return new Set(
    found.filter(({ port, target }) => wanted.has(port) || wanted.has(target)).map(({ target }) => target),
  );
}
