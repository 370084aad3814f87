import { serveCalls } from "../features/calls/worker.ts";
import type { World } from "../plan/world.ts";
import { rehearse } from "./rehearse.ts";

/** Parts of this file that calls may need, beside those that a rehearsal does. */
const needed = ["drivers", "tuning", "names", "check"];

/**
 * Serves calls for the agent that has started us.
 * @param words the directory of all slots, what ours are called, how many are to wait, and the agent's pid
 * @param act does what this process's arguments say, and returns the exit status
 * @param load evaluates a part of this file
 */
export async function worker(
  world: World,
  [directory = "", name = "", count = "", agent = ""]: readonly string[],
  act: () => Promise<number>,
  load: (part: string) => unknown,
): Promise<number> {
  needed.forEach(load);
  await rehearse(world);
  return await serveCalls(world, { directory, name, count: Number(count), agent: Number(agent), act });
}
