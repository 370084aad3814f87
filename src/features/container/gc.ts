import type { Collected, Stale } from "../../engine/collected.ts";
import { tryLockToRemove } from "../../engine/locks.ts";
import { awaitLinks, reasonToGo, staleness } from "../../engine/namespace.ts";
import {
  containerFile,
  containerIds,
  pluginKeys,
  readContainer,
  readUndamaged,
} from "../../engine/record.ts";
import { containerPaths, refuseUnknownFiles } from "../../engine/state.ts";
import { DamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { detachLocked } from "./detach.ts";
import { readOrRecover } from "./read_or_recover.ts";
import { findLiving } from "./recover.ts";
import { repairUnsupervised } from "./repair.ts";

/**
 * Why a container's state no longer matters, or undefined when it does, or is another network namespace's to judge.
 * A process may be busy with it, unless we have its lock.
 * @throws Error naming the file when its record cannot be read, and something of it is still there, or there is none,
 *   and what is there is not ours
 */
async function reasonFor(world: World, state: string, id: string): Promise<string | undefined> {
  if (world.stat(containerPaths(state, id).directory) === undefined) return undefined;
  try {
    const record = readContainer(world, state, id);
    if (record) return reasonToGo(world, record);
    // What CNI plugins did is collected by itself.
    if (pluginKeys(world, state, id).length > 0) return undefined;
    refuseUnknownFiles(world, state, id);
    return "it was given up before anything was done";
  } catch (error) {
    if (!(error instanceof DamagedFile)) throw error;
    const living = await findLiving(world, state, id);
    if (living) {
      throw new Error(`${error.message}; its ${living} is still there, so gc leaves it alone`);
    }
    return `its record ${containerFile(state, id)} cannot be read, and none of its links is there`;
  }
}

/**
 * Takes down containers whose state no longer matters. One that a process is busy with is left to that process.
 * @param waits for what to wait: links of what has ended only just, processes that are taking something down
 */
export async function collect(
  world: World,
  state: string,
  ids: readonly string[],
  waits?: "for links" | "for links and processes",
): Promise<Collected> {
  const collected: Stale[] = [];
  const problems: string[] = [];
  if (waits) await Promise.allSettled(ids.map((id) => awaitEnd(world, state, id)));
  for (const id of ids) {
    try {
      const reason = await collectOne(world, state, id, waits === "for links and processes" ? mostWait : 0);
      if (reason !== undefined) collected.push({ id, reason });
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  return { collected, problems };
}

/** Milliseconds that a process may take to take down a container that has ended, before another one is refused its ports. */
const mostWait = 5000;

/** Tries for so many milliseconds to get a lock. */
async function lockWithin<T>(wait: number, tryLock: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let waited = 0;; waited += 20) {
    const unlock = await tryLock();
    if (unlock !== undefined || waited >= wait) return unlock;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function awaitEnd(world: World, state: string, id: string): Promise<void> {
  const record = readUndamaged(world, state, id);
  if (record) await awaitLinks(world, record);
}

async function collectOne(world: World, state: string, id: string, wait = 0): Promise<string | undefined> {
  if (await reasonFor(world, state, id) === undefined) return undefined;
  const paths = containerPaths(state, id);
  const record = wait > 0 ? readUndamaged(world, state, id) : undefined;
  const hasEnded = record !== undefined && staleness(world, record) !== undefined;
  const unlock = await lockWithin(
    hasEnded ? wait : 0,
    () => tryLockToRemove(world, paths.lock, paths.directory),
  );
  if (!unlock) return undefined;
  try {
    // Looked at again: it may have been taken down, or attached anew, before we had the lock.
    const reason = await reasonFor(world, state, id);
    if (reason === undefined) return undefined;
    const record = await readOrRecover(world, state, id);
    if (record) await detachLocked(world, state, record);
    else world.remove(paths.directory);
    return reason;
  } finally {
    unlock();
  }
}

/** How many containers a hook looks at in passing: a fixed number, so that no hook pays for all. */
const sampleSize = 4;

/** Takes down a few stale containers, if there are any, and starts what others have lost (repair.ts); never fails. */
export async function collectOpportunistically(world: World, state: string): Promise<void> {
  try {
    const ids = containerIds(world, state);
    const start = Math.floor(world.random() * ids.length);
    const some = Array.from(
      { length: Math.min(sampleSize, ids.length) },
      (_, i) => ids[(start + i) % ids.length]!,
    );
    await collect(world, state, some);
    await Promise.allSettled(some.map((id) => repairUnsupervised(world, state, id)));
  } catch { /* Whatever it is, it is not this container's concern; `ocinet gc` will say. */ }
}
