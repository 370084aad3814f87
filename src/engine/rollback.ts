import type { Prefixes } from "../plan/batch.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { undo } from "./undo.ts";

/** Undoes steps that are not recorded. @throws Error with all problems, after everything was tried */
export async function undoAll(
  world: World,
  prefixes: Pick<Prefixes, "host"> & Partial<Prefixes>,
  steps: readonly Step[],
  what: string,
): Promise<void> {
  const { problems } = await undo(world, prefixes, steps);
  if (problems.length > 0) throw new Error(`Cannot take down all of ${what}: ${problems.join("; ")}`);
}
