import type { Prefixes } from "../plan/batch.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { undo } from "./undo.ts";

/** Undoes steps of which nothing is recorded. @throws Error with all that resisted, once everything has been tried */
export async function undoAll(
  world: World,
  prefixes: Pick<Prefixes, "host"> & Partial<Prefixes>,
  steps: readonly Step[],
  what: string,
): Promise<void> {
  const { problems } = await undo(world, prefixes, steps);
  if (problems.length > 0) throw new Error(`Cannot take down all of ${what}: ${problems.join("; ")}`);
}
