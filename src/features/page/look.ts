import type { World } from "../../plan/world.ts";
import { containerIds } from "../../engine/record.ts";
import { digest } from "../../net/names.ts";
import { describeAll } from "../container/describe.ts";
import { interfaceKey } from "../map/blocks.ts";
import { mapOf, type NetworkMap } from "../map/model.ts";
import { allNetworks } from "../networks/catalog.ts";
import { endpointsIn } from "../networks/endpoints.ts";
import { describeInside } from "../session/session.ts";
import { ratesOf } from "../top/rates.ts";
import { type KnownContainers, type Sample, takeSample } from "../top/sample.ts";

/** The map of this host. @param all also the networks that no container is on */
export async function currentMap(world: World, state: string, all: boolean): Promise<NetworkMap> {
  return mapOf({
    host: world.read("/proc/sys/kernel/hostname")?.trim() ?? "",
    containers: [
      ...await describeAll(world, state, containerIds(world, state)),
      ...describeInside(world, state),
    ],
    networks: (await allNetworks(world)).filter(({ configOnly }) => !configOnly),
    endpoints: await endpointsIn(world, state),
    all,
  });
}

/** A look at the host. */
export interface Look {
  readonly map: NetworkMap;
  /** The same for the same map. */
  readonly version: string;
  /** By interface, the busiest first: bytes received and sent a second, and packets dropped since it was made. */
  readonly rates: Readonly<Record<string, readonly [number, number, number]>>;
}

/**
 * Milliseconds that counters stay good, and the map: as many times those that it took to look, within limits. After `old`
 * ones, what went through before says nothing of now.
 */
const [second, mapTimes, mapFor, mapAtMost, old] = [800, 9, 2500, 10_000, 60_000];

/** Looks at the host when asked: those who ask at once, or soon after, get the same look. */
export function looking(world: World, state: string): () => Promise<Look> {
  let before: Sample | undefined;
  const known: KnownContainers = new Map();
  const mapped = kept((took) => Math.min(Math.max(mapFor, mapTimes * took), mapAtMost), async () => {
    const map = await currentMap(world, state, false);
    return { map, version: (await digest(JSON.stringify(map))).slice(0, 16) };
  });
  return kept(() => second, async () => {
    const [after, seen] = await Promise.all([takeSample(world, state, known), mapped()]);
    const rates = before && after.at - before.at < old ? ratesOf(before, after) : [];
    before = after;
    return {
      ...seen,
      rates: Object.fromEntries(
        rates.map(({ id, network, ifname, counters: [received, sent, , , droppedIn, droppedOut] }) => [
          interfaceKey(id, network, ifname),
          [received!, sent!, droppedIn! + droppedOut!],
        ]),
      ),
    };
  });
}

/**
 * What is found stays as many milliseconds as is said; meanwhile, and while it is looked for, nothing looks again.
 * @param stays told how many milliseconds it took to look
 */
function kept<T>(stays: (took: number) => number, look: () => Promise<T>): () => Promise<T> {
  let last: Promise<T> | undefined;
  return () => {
    const start = performance.now();
    return last ??= look().finally(() => {
      setTimeout(() => last = undefined, stays(performance.now() - start));
    });
  };
}
