import { recordsOfInterface } from "../../engine/record.ts";
import { cacheFile, parseCache } from "../../wire/cni/cache.ts";
import { parseResult, type Result } from "../../wire/cni/result.ts";
import type { Context } from "./call.ts";

/** What is known of the attachment where DEL is not told: by the other plugins' records, or by libcni's cache. */
export function rememberedResult({ world, state, key, call }: Context): Result | undefined {
  const { id, network, ifname } = key;
  const results = recordsOfInterface(world, state, key).flatMap(({ result }) => result ?? []);
  if (results.length > 0) return results.reduce((a, b) => b.interfaces.length >= a.interfaces.length ? b : a);
  const name = { networkName: network, containerId: id, ifName: ifname };
  try {
    const text = world.read(`/var/lib/cni/results/${cacheFile(name)}`);
    const cached = text === undefined ? undefined : parseCache(text, name)?.result;
    return cached === undefined ? undefined : parseResult(cached, call.version);
  } catch {
    return undefined;
  }
}
