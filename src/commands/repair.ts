import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { repair as repairOne } from "../features/container/repair.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/**
 * Makes again what is missing of containers: their uplinks and relays run, their links, addresses, routes, settings and
 * rules are there. A container that is not there counts as done.
 */
export async function repair(world: World, ids: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const done: { id: string; repaired: readonly string[] }[] = [];
  for (const id of ids) {
    const problem = identifierProblem(id);
    if (problem) throw new Error(`Cannot repair ${JSON.stringify(id)}: ${problem}`);
    done.push({ id, repaired: await repairOne(world, state, id) });
  }
  return {
    json: done,
    text: done.flatMap(({ id, repaired }) => repaired.map((what) => `${id}: ${what}\n`)).join(""),
  };
}
