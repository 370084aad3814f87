import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { repair as repairOne } from "../features/container/repair.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/** Starts uplinks again that have died before their containers, and puts rules back that were taken away; one that has not, or is not there, counts as done. */
export async function repair(world: World, ids: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const done: { id: string; started?: string }[] = [];
  for (const id of ids) {
    const problem = identifierProblem(id);
    if (problem) throw new Error(`Cannot repair ${JSON.stringify(id)}: ${problem}`);
    const started = await repairOne(world, state, id);
    done.push({ id, ...(started.length === 0 ? {} : { started: started.join(" and ") }) });
  }
  return {
    json: done,
    text: done.map(({ id, started }) =>
      started ? `${id}: ${started} had ended, and ${started === "rules" ? "are there" : "runs"} again\n` : ""
    ).join(
      "",
    ),
  };
}
