import { attachmentOf } from "../../engine/attachment.ts";
import { parseChain, releaseAddresses } from "../../engine/chain.ts";
import { lockToRemove } from "../../engine/locks.ts";
import { undoRecords } from "../../engine/reconcile.ts";
import {
  type ContainerRecord,
  damagedPlugin,
  pluginKeys,
  type PluginRecord,
  readPlugin,
  removeRecord,
} from "../../engine/record.ts";
import { isSameProcess, type ProcessIdentity } from "../../engine/process.ts";
import { containerPaths, refuseUnknownFiles } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { delExternal } from "../cni_runtime/external_network.ts";
import { forgetNames } from "../networks/names.ts";
import { readOrRecover } from "./read_or_recover.ts";
import { recover } from "./recover.ts";

/**
 * Undoes everything that is recorded for a container. Its namespace may be gone.
 * @param init the first process of the container that is meant, because another one may have its id by now
 * @returns whether there was anything to undo
 * @throws Error if something could not be undone; it stays recorded for another try
 */
export async function detach(
  world: World,
  state: string,
  id: string,
  init?: ProcessIdentity,
): Promise<boolean> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) return false;
  const unlock = await lockToRemove(world, paths.lock, paths.directory);
  try {
    const record = await readOrRecover(world, state, id);
    if (!record) {
      refuseUnknownFiles(world, state, id);
      // Records of CNI plugins are left to DEL or gc. Without any, the attach ended before it recorded anything.
      if (pluginKeys(world, state, id).length === 0) world.remove(paths.directory);
      return false;
    }
    if (init && !isSameProcess(init, record.container.init)) return false;
    await detachLocked(world, state, record);
    return true;
  } finally {
    unlock();
  }
}

/**
 * Takes away what is found by the name of a container of which nothing is written down, as when the state directory was
 * emptied.
 * @returns whether there was anything
 */
export async function detachUnrecorded(world: World, state: string, id: string): Promise<boolean> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) !== undefined) return false;
  const unlock = await world.lock(paths.lock);
  try {
    const record = await recover(world, state, id);
    const isFound = record.steps.some(({ id: { kind } }) => kind === "link" || kind === "element");
    if (isFound) await detachLocked(world, state, record);
    return isFound;
  } finally {
    unlock();
  }
}

/** The same as `detach`, for who has the container's lock. */
export async function detachLocked(world: World, state: string, asked: ContainerRecord): Promise<void> {
  const record = await withDamaged(world, state, asked);
  const scope = { world, state };
  const plugins = pluginRecordsOf(world, state, record).map((from) => ({ from }));
  // With external plugins, the record stays until they have been called. It is removed last, because its directory has
  // the container's files.
  const isExternal = record.attachments.some(({ path }) => path);
  const own = isExternal ? { from: record, to: { ...record, steps: [] } } : { from: record };
  await undoRecords(scope, [...plugins, own], `container "${record.id}"`);
  await leaveExternal(world, state, record);
  if (record.phase === "planning" || record.changing !== undefined) releaseUnwritten(world, state, record);
  if (isExternal) removeRecord(world, state, record);
  // A damaged record may have other records beside it.
  if (record.recovered) world.remove(containerPaths(state, record.id).directory);
  if (record.attachments.some(({ network }) => network.named)) {
    await forgetNames(world, state, record.attachments, record.id);
  }
}

/** In place of what a plugin did of which the record cannot be read, all that is found of the container by its name. */
async function withDamaged(world: World, state: string, record: ContainerRecord): Promise<ContainerRecord> {
  if (record.recovered || damagedPlugin(world, state, record.id) === undefined) return record;
  const { steps } = await recover(world, state, record.id);
  return { ...record, recovered: true, steps: [...record.steps, ...steps] };
}

/** Takes the container off all networks that other programs have a part in. @throws Error with all that resisted */
async function leaveExternal(world: World, state: string, record: ContainerRecord): Promise<void> {
  const problems: string[] = [];
  for (const attached of record.attachments.filter(({ path }) => path).reverse()) {
    await delExternal(world, state, record, attached).catch((error) => problems.push(messageOf(error)));
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
}

function releaseUnwritten(
  world: World,
  state: string,
  { attachments, id, container }: ContainerRecord,
): void {
  for (const attached of attachments) {
    if (attached.path) continue;
    const chain = parseChain(attached.network.plugins, { dataDir: `${state}/networks` });
    releaseAddresses(chain, attachmentOf(attached, id, container), world);
  }
}

/**
 * The records of our plugins for the container's networks. For a network with external plugins, DEL removes them. If
 * the networks are unknown, all records of the container are returned.
 */
function pluginRecordsOf(world: World, state: string, record: ContainerRecord): readonly PluginRecord[] {
  const own = record.attachments.filter(({ path }) => !path);
  return pluginKeys(world, state, record.id)
    .filter(({ network, ifname }) =>
      record.recovered || own.some((one) => one.network.name === network && one.ifname === ifname)
    )
    .flatMap((key) => readPlugin(world, state, key) ?? []);
}
