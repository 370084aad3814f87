import { ownNamespace } from "./process.ts";
import type { Prefixes } from "../plan/batch.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { apply, RollbackError } from "./apply.ts";
import { recordKeptChanges } from "./kept_changes.ts";
import { hasBootEnded, isHostGone, livePrefixes } from "./namespace.ts";
import { type BaseRecord, removeRecord, writeRecord } from "./record.ts";
import { undo } from "./undo.ts";

/** What a record is, and what it is to become. Without `from` it is new; without `to` all of it is undone. */
export interface Change {
  readonly from?: BaseRecord;
  readonly to?: BaseRecord;
}

/** Where changes happen. */
export interface Scope {
  readonly world: World;
  readonly state: string;
}

/**
 * Makes the system what records say it is to be, all of them in one batch: what is recorded and no longer wanted is
 * undone, what is wanted and not recorded is done. Everything is written down before it is done, and stays written down
 * until it is undone.
 * @param prefixes how to run programs on either side, where something is to be done
 * @throws StepError or another error when something could not be done, after all that was done has been undone;
 *   RollbackError when that failed in part; Error when something could not be undone. What is still there is recorded.
 */
export async function reconcile(
  scope: Scope,
  changes: readonly Change[],
  prefixes?: Prefixes,
): Promise<void> {
  await undoUnwanted(scope, changes);
  await doWanted(scope, changes.filter(({ to }) => to !== undefined), prefixes);
}

/** The steps of one list that are not in another. Two steps are the same when all they say is. */
function without(steps: readonly Step[], others: readonly Step[]): readonly Step[] {
  const known = new Set(others.map((step) => JSON.stringify(step)));
  return steps.filter((step) => !known.has(JSON.stringify(step)));
}

async function undoUnwanted({ world, state }: Scope, changes: readonly Change[]): Promise<void> {
  const going = changes.flatMap(({ from, to }) =>
    from ? [{ from, to, extra: without(from.steps, to?.steps ?? []) }] : []
  );
  const first = going.find(({ extra, to }) => extra.length > 0 || !to);
  if (!first) return;
  const steps = going.flatMap(({ from, extra }) => extra.filter((step) => isStillThere(world, from, step)));
  const { problems, left } = await undo(world, livePrefixes(world, first.from.container), steps);
  for (const { from, to, extra } of going) {
    const kept = from.steps.filter((step) => !extra.includes(step) || left.has(step));
    if (!to && problems.length === 0) removeRecord(world, state, from);
    else if (problems.length > 0 && kept.length < from.steps.length) {
      writeRecord(world, state, { ...from, steps: kept });
    }
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
}

/** A reboot took the kernel's side and the processes, and so did the end of the network namespace it was done from. */
function isStillThere(world: World, record: BaseRecord, step: Step): boolean {
  return step.tool === "claim" || !hasBootEnded(world, record) && !isHostGone(world, record);
}

async function doWanted(
  { world, state }: Scope,
  changes: readonly Change[],
  prefixes?: Prefixes,
): Promise<void> {
  const wanted = changes.map(({ from, to }) => ({
    from,
    to: to!,
    missing: without(to!.steps, from?.steps ?? []),
  }));
  const steps = wanted.flatMap(({ missing }) => missing);
  // What had been recorded before, less what is no longer wanted, comes first.
  const kept = (to: BaseRecord, missing: readonly Step[]) =>
    to.steps.filter((step) => !missing.includes(step));
  for (const { from, to, missing } of wanted) {
    const before = kept(to, missing);
    writeRecord(
      world,
      state,
      from ? { ...during(from, to), steps: [...before, ...missing], before: before.length } : to,
    );
  }
  if (steps.length === 0) return;
  recordKeptChanges(world, state, steps);
  try {
    await apply(world, prefixes!, steps);
  } catch (error) {
    const left = error instanceof RollbackError ? error.left : new Set<Step>();
    for (const { from, to, missing } of wanted) {
      const still = missing.filter((step) => left.has(step));
      if (from) writeRecord(world, state, { ...from, steps: [...kept(to, missing), ...still] });
      else if (still.length > 0) writeRecord(world, state, { ...to, steps: still });
      else removeRecord(world, state, to);
    }
    throw error;
  }
  for (const { from, to } of wanted) if (from) writeRecord(world, state, to);
}

/** A record while it changes: of a container that is not attached yet, some steps may be done. */
function during(from: BaseRecord, to: BaseRecord): BaseRecord {
  if (!("phase" in from) || from.phase === "done") return to;
  return { ...to, phase: "planned" } as BaseRecord;
}

/**
 * Undoes what records tell of, and removes them unless they are to become something else.
 * @param what names in errors what it was done for
 * @throws Error when this is not the network namespace that it was done from, which is still there, or something resisted
 */
export async function undoRecords(scope: Scope, changes: readonly Change[], what: string): Promise<void> {
  const { world } = scope;
  const here = ownNamespace(world);
  const elsewhere = changes.find(({ from }) =>
    from && !hasBootEnded(world, from) && from.host !== here && !isHostGone(world, from)
  );
  if (elsewhere) {
    throw new Error(
      `Cannot take down ${what} from network namespace ${here}: it was attached from ${elsewhere.from!.host}`,
    );
  }
  try {
    await reconcile(scope, changes);
  } catch (error) {
    throw new Error(`Cannot take down all of ${what}: ${messageOf(error)}`);
  }
}
