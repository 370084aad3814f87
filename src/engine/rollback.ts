import type { Prefixes } from "../plan/batch.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { undo } from "./undo.ts";
import { livePrefixes, ownNamespace } from "./namespace.ts";
import type { Container } from "./journal.ts";
import { bootId } from "./process.ts";

/** What was written down of steps before they were done. */
export interface Written {
  readonly bootId: string;
  /** The network namespace that they were done from. */
  readonly host: string;
  readonly container: Container;
  readonly steps: readonly Step[];
}

/**
 * Takes back all that was written down, in the container only while its namespace is the one that it was.
 * @param what names in errors what it was done for
 * @throws Error when this is not the network namespace it was done from, or something resisted
 */
export async function undoRecorded(world: World, written: Written, what: string): Promise<void> {
  const [sameBoot, here] = [written.bootId === bootId(world), ownNamespace(world)];
  if (sameBoot && written.host !== here) {
    throw new Error(
      `Cannot take down ${what} from network namespace ${here}: it was attached from ${written.host}`,
    );
  }
  // A reboot took the kernel's side of it, and the processes; what is left is files.
  const steps = sameBoot ? written.steps : written.steps.filter(({ tool }) => tool === "claim");
  await undoAll(world, livePrefixes(world, written.container), steps, what);
}

/** Undoes the steps. @throws Error with all that resisted, once everything has been tried */
export async function undoAll(
  world: World,
  prefixes: Pick<Prefixes, "host"> & Partial<Prefixes>,
  steps: readonly Step[],
  what: string,
): Promise<void> {
  const problems = await undo(world, prefixes, steps);
  if (problems.length > 0) throw new Error(`Cannot take down all of ${what}: ${problems.join("; ")}`);
}
