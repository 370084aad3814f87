import type { World } from "../plan/world.ts";

/**
 * Waits for several locks at once. If one fails, the others are released.
 * @returns a function that releases all of them
 */
export async function waitForAll(waiting: readonly Promise<() => void>[]): Promise<() => void> {
  const ends = await Promise.allSettled(waiting);
  const held = ends.flatMap((end) => end.status === "fulfilled" ? [end.value] : []);
  const release = () => held.toReversed().forEach((letGo) => letGo());
  const failed = ends.find((end) => end.status === "rejected");
  if (!failed) return release;
  release();
  throw failed.reason;
}

/**
 * Waits for a lock in order to remove something. Removing must also work on a full disk. If the lock's file cannot be
 * created, the thing itself is locked instead. A process that holds the normal lock has created its file, so it is
 * enough that this excludes others that found the disk full.
 * @param thing the directory or file to remove; it may be missing
 */
export async function lockToRemove(world: World, path: string, thing: string): Promise<() => void> {
  try {
    return await world.lock(path);
  } catch (error) {
    const release = await lockThing(world, thing, error);
    if (release) return release;
    throw new Error(`Cannot take down ${thing}: another process is doing that`);
  }
}

/** Like `lockToRemove`, but returns undefined if another process has the lock. */
export async function tryLockToRemove(
  world: World,
  path: string,
  thing: string,
): Promise<(() => void) | undefined> {
  try {
    return await world.tryLock(path);
  } catch (error) {
    return await lockThing(world, thing, error);
  }
}

/** @returns undefined if another process has the lock @throws the given error, unless it means a full disk */
async function lockThing(
  world: World,
  thing: string,
  error: unknown,
): Promise<(() => void) | undefined> {
  if (!["ENOSPC", "EDQUOT"].includes((error as { code?: string }).code ?? "")) throw error;
  return world.stat(thing) === undefined ? () => {} : await world.tryOwn(thing);
}
