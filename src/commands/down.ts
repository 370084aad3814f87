import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { detach } from "../features/container/detach.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/** Takes containers' networks away; one that is not attached counts as done. */
export async function down(world: World, ids: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  for (const id of ids) {
    const problem = identifierProblem(id);
    if (problem) throw new Error(`Cannot take down ${JSON.stringify(id)}: ${problem}`);
  }
  const done: { id: string; was: "attached" | "absent" }[] = [];
  for (const id of ids) done.push({ id, was: await detach(world, state, id) ? "attached" : "absent" });
  return {
    json: done,
    text: done.map(({ id, was }) => was === "absent" ? `${id} was not attached\n` : "").join(""),
  };
}
