import type { World } from "../plan/world.ts";

/** Waits for several locks at once; when one cannot be had, none is kept. @returns what lets go of all of them */
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
 * Waits for a lock in order to take something away, for which nothing new must be needed: where a full disk has no room
 * for the lock's file, what is to go is locked itself. Who has the lock has its file, so that only
 * another who found the disk full can be at it.
 * @param thing a directory or file that is to go, and may be missing
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

/** The same, or undefined when another process has it. */
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

/** @returns undefined when another process has it @throws the error, unless it is of a full disk */
async function lockThing(
  world: World,
  thing: string,
  error: unknown,
): Promise<(() => void) | undefined> {
  if (!["ENOSPC", "EDQUOT"].includes((error as { code?: string }).code ?? "")) throw error;
  return world.stat(thing) === undefined ? () => {} : await world.tryOwn(thing);
}
