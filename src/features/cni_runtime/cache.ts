import { type CacheEntry, cacheFile, formatCache, parseCache } from "../../wire/cni/cache.ts";
import { CniError } from "../../wire/cni/error.ts";
import { parseArgs } from "../../wire/cni/args.ts";
import { type NetworkList, parseNetworkList } from "../../wire/cni/network_list.ts";
import { type Result, resultFor } from "../../wire/cni/result.ts";
import { removeAbandoned } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import type { RuntimeCall } from "./call.ts";

/** The key of an attachment's entry. */
type Cached =
  & Pick<RuntimeCall, "cacheDirectory" | "containerId" | "ifname">
  & { readonly list: Pick<NetworkList, "name"> };

function nameOf({ list, containerId, ifname }: Cached) {
  return { networkName: list.name, containerId, ifName: ifname };
}

function pathOf(call: Cached): string {
  return `${call.cacheDirectory}/results/${cacheFile(nameOf(call))}`;
}

/** Stores the input and result of an ADD in libcni's cache. */
export function writeCache(world: World, call: RuntimeCall, result: Result): void {
  const { list, netns, config, args, capabilityArgs, cacheDirectory } = call;
  world.makeDirectory(`${cacheDirectory}/results`);
  const entry: CacheEntry = {
    ...{ ...nameOf(call), netns, config, capabilityArgs },
    cniArgs: [...parseArgs(args)],
    result: resultFor(list.cniVersion, result),
  };
  world.write(pathOf(call), formatCache(entry));
}

/** The entry of an attachment; undefined if there is none or it is unreadable. A damaged entry must not stop a DEL. */
export function readCache(world: World, call: Cached): CacheEntry | undefined {
  try {
    return loadCache(world, call);
  } catch {
    return undefined;
  }
}

/** The entry of an attachment, if there is one. @throws CniError naming the file if it is unreadable */
export function loadCache(world: World, call: Cached): CacheEntry | undefined {
  const [path, text] = [pathOf(call), world.read(pathOf(call))];
  if (text === undefined) return undefined;
  const entry = parseCache(text, nameOf(call), `cache file ${path}`);
  if (entry === undefined) {
    throw new CniError("decode", `Cannot use ${path}: its kind is unknown`);
  }
  return entry;
}

/** Removes the entry of an attachment. */
export function removeCache(world: World, call: Cached): void {
  world.remove(pathOf(call));
}

/** The entry of the same interface with the same plugins, from before the network was renamed. */
export function cachedBeforeRenaming(world: World, call: RuntimeCall): CacheEntry | undefined {
  const end = `-${call.containerId}-${call.ifname}`;
  const directory = `${call.cacheDirectory}/results`;
  const names = world.list(directory).filter((name) =>
    name.endsWith(end) && name !== cacheFile(nameOf(call))
  );
  const entries = names.flatMap((name) => {
    const network = name.slice(0, -end.length);
    return readCache(world, { ...call, list: { name: network } }) ?? [];
  });
  const plugins = JSON.stringify(call.list.plugins);
  return entries.find((entry) => JSON.stringify(cachedList(entry)?.plugins) === plugins);
}

/** All entries of a network's attachments. */
export function cachedAttachments(
  world: World,
  { cacheDirectory, list }: Pick<RuntimeCall, "cacheDirectory" | "list">,
): readonly CacheEntry[] {
  const directory = `${cacheDirectory}/results`;
  removeAbandoned(world, directory);
  return world.list(directory).filter((name) => name.startsWith(`${list.name}-`)).flatMap((name) => {
    try {
      const entry = parseCache(world.read(`${directory}/${name}`) ?? "");
      return entry?.networkName === list.name ? [entry] : [];
    } catch {
      return [];
    }
  });
}

/**
 * The call with the data of its ADD: the cached network, and the cached arguments where the caller gives none. (With
 * libcni's own DelNetworkList, a caller that omits CAP_ARGS leaves the ports published.)
 */
export function withCached(call: RuntimeCall, cached: CacheEntry | undefined): RuntimeCall {
  if (!cached) return call;
  const given = Object.keys(call.capabilityArgs).length > 0;
  return {
    ...call,
    // Drop-in plugins are not in the cached configuration.
    list: cached.config === call.config ? call.list : cachedList(cached) ?? call.list,
    args: call.args === "" ? cached.cniArgs.map((pair) => pair.join("=")).join(";") : call.args,
    capabilityArgs: given ? call.capabilityArgs : cached.capabilityArgs,
  };
}

/** The network in a cache entry; undefined if it is unreadable. */
export function cachedList({ config, networkName }: CacheEntry): NetworkList | undefined {
  try {
    const list = parseNetworkList(config, "the cache");
    return list.name === networkName ? list : undefined;
  } catch {
    return undefined;
  }
}
