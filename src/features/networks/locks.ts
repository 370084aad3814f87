/** Locks of those who change networks. */
import { configDirectory } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";

/** The lock of those who change networks, for one state directory. */
export function networksLock(state: string): string {
  return `${state}/locks/.networks`;
}

/**
 * Two who make or remove networks at once would not see each other's names and subnets. In a user's session the state is
 * another and the files are the same, so their directory is locked, too.
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

/** How long to wait for those who have a directory: tries, and milliseconds between them. */
const retries = { tries: 600, pause: 50 };

/** Waits until nobody else has a directory. @throws Error when others have it all the time */
export async function own(world: World, directory: string): Promise<() => void> {
  for (let tries = 0; tries < retries.tries; tries++) {
    const release = await world.tryOwn(directory);
    if (release) return release;
    await new Promise((resolve) => setTimeout(resolve, retries.pause));
  }
  throw new Error(`Cannot change networks: other commands have ${directory} all the time; try again later`);
}
