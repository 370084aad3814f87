/** Locks of commands that change networks. */
import { configDirectory } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";

/** The path of the lock for commands that change networks, one for each state directory. */
export function networksLock(state: string): string {
  return `${state}/locks/.networks`;
}

/**
 * Locks networks against other commands that make or remove some: these would not see the new names and subnets. A
 * user's session has another state directory and the same network files, so the directory of these is locked, too.
 * @param how "make": the directory is made if it is missing
 * @returns what unlocks them
 */
export async function lockNetworks(world: World, state: string, how?: "make"): Promise<() => void> {
  const unlock = await world.lock(networksLock(state));
  try {
    const directory = `${configDirectory(world)}/net.d`;
    if (how === "make") world.makeDirectory(directory, 0o755);
    else if (world.stat(directory) === undefined) return unlock;
    const release = await own(world, directory);
    return () => void (release(), unlock());
  } catch (error) {
    unlock();
    throw error;
  }
}

/** How often to try to lock a directory, and the milliseconds between two tries: half a minute in all. */
const retries = { tries: 600, pause: 50 };

/** Locks a directory, once no other command has it. @returns what unlocks it @throws Error after half a minute */
export async function own(world: World, directory: string): Promise<() => void> {
  for (let tries = 0; tries < retries.tries; tries++) {
    const release = await world.tryOwn(directory);
    if (release) return release;
    await new Promise((resolve) => setTimeout(resolve, retries.pause));
  }
  throw new Error(`Cannot change networks: other commands have ${directory} all the time; try again later`);
}
