import { CniError } from "../../wire/cni/error.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { atLeast, parseResult, type Result } from "../../wire/cni/result.ts";
import type { World } from "../../plan/world.ts";
import {
  cachedAttachments,
  cachedBeforeRenaming,
  cachedList,
  loadCache,
  readCache,
  removeCache,
  withCached,
  writeCache,
} from "./cache.ts";
import { flush, foldNetwork, newFold } from "./fold.ts";
import { check, status } from "../cni_plugin/check.ts";
import { collectGarbage, del, delTogether } from "../cni_plugin/del.ts";
import { lockToRemove, waitForAll } from "../../engine/locks.ts";
import { containerPaths } from "../../engine/state.ts";
import { blame, callTheirs, ownContext, type PluginStep, runsHere, type RuntimeCall } from "./call.ts";

/**
 * Adds a container to a network. If a plugin fails, DEL is called for all of the chain, including that plugin.
 * @throws CniError naming the plugin that failed
 */
export async function addNetwork(world: World, state: string, call: RuntimeCall): Promise<Result> {
  return await withLock(world, state, call, "adds", async () => {
    await giveWay(world, state, call);
    const begun: PluginConf[] = [];
    try {
      const [fold, folding] = [newFold(world, state), { begun, blames: true }];
      const result = await foldNetwork(fold, call, folding);
      await flush(fold, folding);
      writeCache(world, call, result);
      return result;
    } catch (error) {
      const list = { ...call.list, plugins: begun };
      await delChain(world, state, { ...call, list }, undefined).catch(() => {});
      throw error;
    }
  });
}

/** Removes a cached attachment whose container is gone. If it still exists, the ADD is refused. */
async function giveWay(world: World, state: string, call: RuntimeCall): Promise<void> {
  const cached = readCache(world, call);
  if (!cached) return;
  const { ifname, containerId, list, netns } = call;
  const look = ["nsenter", `--net=${netns}`, "ip", "link", "show", "dev", ifname];
  if (world.stat(netns) !== undefined && (await world.run(look, { looks: true })).code === 0) {
    throw new CniError(
      "internal",
      `Cannot attach "${ifname}" of container "${containerId}" to network "${list.name}": ` +
        "it is attached already; DEL comes first",
    );
  }
  await delChain(world, state, withCached(call, cached), cached.result).catch(() => {});
}

/**
 * Removes a container from a network: calls all plugins, the last one first, even if some fail.
 * @throws CniError of the first failure; then the cache entry stays for another try
 */
export async function delNetwork(world: World, state: string, call: RuntimeCall): Promise<void> {
  await withLock(world, state, call, "removes", async () => {
    const known = readCache(world, call);
    const before = known ? undefined : cachedBeforeRenaming(world, call);
    const list = before && cachedList(before);
    const [cached, renamed] = [known ?? before, list ? { ...call, list, config: before.config } : call];
    await delChain(world, state, withCached(renamed, cached), cached?.result);
    removeCache(world, renamed);
  });
}

async function delChain(world: World, state: string, call: RuntimeCall, cached: unknown): Promise<void> {
  const before = cachedResult(call, cached);
  const stepOf = (plugin: PluginConf): PluginStep => ({
    plugin,
    command: "DEL",
    ...(before ? { before } : {}),
  });
  const problems: CniError[] = [];
  for (const group of groupsOf(world, call).reverse()) {
    const ours = runsHere(world, call, group[0]!);
    const contextFor = (plugin: PluginConf) => ownContext(world, state, call, stepOf(plugin));
    const gone = ours && group.length > 1 ? await delTogether(() => Promise.all(group.map(contextFor))) : [];
    for (const plugin of group.toReversed().filter(({ type }) => !gone.includes(type))) {
      try {
        if (ours) await del(await contextFor(plugin));
        else await callTheirs(world, call, stepOf(plugin));
      } catch (error) {
        problems.push(blame(error, plugin, "delete"));
      }
    }
  }
  if (problems.length > 0) throw problems[0];
}

/** The plugins in order, with consecutive plugins of our own in one group. */
function groupsOf(world: World, call: RuntimeCall): PluginConf[][] {
  const groups: PluginConf[][] = [];
  for (const plugin of call.list.plugins) {
    const last = groups.at(-1);
    if (last && runsHere(world, call, plugin) && runsHere(world, call, last[0]!)) last.push(plugin);
    else groups.push([plugin]);
  }
  return groups;
}

/** The cached result of ADD, which DEL and CHECK get since version 0.4.0; undefined if it is unreadable. */
function cachedResult({ list }: RuntimeCall, cached: unknown): Result | undefined {
  if (cached === undefined || !atLeast(list.cniVersion, "0.4.0")) return undefined;
  try {
    return parseResult(cached, list.cniVersion);
  } catch {
    return undefined;
  }
}

/**
 * Checks whether a container's attachment is as ADD made it.
 * @throws CniError of the first plugin that finds a difference
 */
export async function checkNetwork(world: World, state: string, call: RuntimeCall): Promise<void> {
  const { list } = call;
  if (!atLeast(list.cniVersion, "0.4.0")) {
    throw new CniError(
      "incompatibleVersion",
      `configuration version "${list.cniVersion}" does not support the CHECK command`,
    );
  }
  if (list.disableCheck) return;
  const cached = loadCache(world, call);
  const before = cached && parseResult(cached.result, list.cniVersion);
  await forEach(world, state, withCached(call, cached), { command: "CHECK", ...(before ? { before } : {}) });
}

/** Whether the network's plugins could attach a container now. @throws CniError of the first that could not */
export async function networkStatus(world: World, state: string, call: RuntimeCall): Promise<void> {
  if (!atLeast(call.list.cniVersion, "1.1.0")) return;
  await forEach(world, state, { ...call, capabilityArgs: {} }, { command: "STATUS" });
}

async function forEach(
  world: World,
  state: string,
  call: RuntimeCall,
  what: Omit<PluginStep, "plugin">,
): Promise<void> {
  const act = what.command === "CHECK" ? check : status;
  for (const plugin of call.list.plugins) {
    const step = { ...what, plugin };
    if (runsHere(world, call, plugin)) await act(await ownContext(world, state, call, step));
    else await callTheirs(world, call, step);
  }
}

/** An attachment that must stay. */
export interface ValidAttachment {
  readonly containerID: string;
  readonly ifname: string;
}

/**
 * Removes every attachment of the network that is not in the list. It continues after errors.
 * @throws the first error
 */
export async function gcNetwork(
  world: World,
  state: string,
  call: RuntimeCall,
  valid: readonly ValidAttachment[],
): Promise<void> {
  if (call.list.disableGC) return;
  const bare = { ...call, args: "", capabilityArgs: {} };
  const problems: unknown[] = [];
  const attempt = (action: () => Promise<unknown>) => action().catch((error) => void problems.push(error));
  for (const { containerId, ifName, netns } of cachedAttachments(world, call)) {
    if (valid.some((one) => one.containerID === containerId && one.ifname === ifName)) continue;
    const stale = { ...bare, containerId, ifname: ifName, netns: netns ?? "" };
    await attempt(() => delNetwork(world, state, stale));
  }
  // The second key is libcni's old name (containernetworking/cni#1101).
  const lists = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
  for (const plugin of atLeast(call.list.cniVersion, "1.1.0") ? call.list.plugins : []) {
    const step: PluginStep = { plugin: { ...plugin, ...lists }, command: "GC" };
    await attempt(async () =>
      runsHere(world, call, plugin)
        ? await collectGarbage(await ownContext(world, state, bare, step))
        : await callTheirs(world, bare, step)
    );
  }
  if (problems.length > 0) throw problems[0];
}

/** Holds the container's lock, and prevents `gc` from removing what containers share. */
async function withLock<T>(
  world: World,
  state: string,
  call: RuntimeCall,
  how: "adds" | "removes",
  action: () => Promise<T>,
): Promise<T> {
  const path = `${state}/locks/cni-${call.containerId}`;
  const { directory } = containerPaths(state, call.containerId);
  const locked = how === "adds" ? world.lock(path) : lockToRemove(world, path, directory);
  const release = await waitForAll([world.share(state), locked]);
  try {
    return await action();
  } finally {
    release();
  }
}
