import { ownNamespace } from "./process.ts";
import type { Prefixes } from "../plan/batch.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { apply, rollBack } from "./apply.ts";
import { RollbackError } from "./step_error.ts";
import { recordKeptChanges } from "./kept_changes.ts";
import { hasBootEnded, isHostGone, livePrefixes } from "./namespace.ts";
import { type BaseRecord, removeRecord, writeRecord } from "./record.ts";
import { undo } from "./undo.ts";

/** A record's current and future content. Without `from` it is new; without `to` all of it is undone. */
export interface Change {
  readonly from?: BaseRecord;
  readonly to?: BaseRecord;
}

/** The system and the state directory that changes apply to. */
export interface Scope {
  readonly world: World;
  readonly state: string;
}

/**
 * Changes the system from what is recorded to what is wanted, for all records in one batch. Recorded steps that are no
 * longer wanted are undone; wanted steps that are not recorded are done. Every step is recorded before it is done, and
 * until it is undone.
 * @param prefixes how to run programs on the host and in the container; needed if a step is to be done
 * @throws StepError or another error if a step failed; all steps that were done have been undone. RollbackError if that
 * failed in part. Error if a step could not be undone. Steps still in effect are recorded.
 */
export async function reconcile(
  scope: Scope,
  changes: readonly Change[],
  prefixes?: Prefixes,
): Promise<void> {
  await undoUnwanted(scope, changes);
  await doWanted(scope, changes.filter(({ to }) => to !== undefined), prefixes);
}

/** The steps of one list that are not in the other. Steps are equal if all their fields are. */
function without(steps: readonly Step[], others: readonly Step[]): readonly Step[] {
  const known = new Set(others.map((step) => JSON.stringify(step)));
  return steps.filter((step) => !known.has(JSON.stringify(step)));
}

/** A record, and its steps that are no longer wanted. */
interface Going {
  readonly from: BaseRecord;
  readonly to: BaseRecord | undefined;
  readonly extra: readonly Step[];
}

async function undoUnwanted(scope: Scope, changes: readonly Change[]): Promise<void> {
  const going = changes.flatMap(({ from, to }): readonly Going[] =>
    from ? [{ from, to, extra: without(from.steps, to?.steps ?? []) }] : []
  );
  if (going.every(({ extra, to }) => extra.length === 0 && to)) return;
  const things = going.map((one) => ({ ...one, extra: one.extra.filter((step) => !isName(step)) }));
  await undoSteps(scope, things);
  // Claims (addresses and ports) are released last, when no record has a rule for them: their next owner makes the same
  // rules.
  const names = going.map(({ from, to, extra }) => {
    const kept = from.steps.filter((step) => isName(step) || !extra.includes(step));
    return { from: { ...from, steps: kept }, to, extra: extra.filter(isName) };
  });
  if (names.some(({ extra }) => extra.length > 0)) strikeThings(scope, going, names);
  await undoSteps(scope, names);
  for (const { from, to } of names) if (!to) removeRecord(scope.world, scope.state, from);
}

/** A claim of an address or a port, which another container may get next. */
function isName({ tool }: Step): boolean {
  return tool === "claim";
}

/** @throws Error with all problems, after everything was tried; remaining steps are recorded */
async function undoSteps({ world, state }: Scope, going: readonly Going[]): Promise<void> {
  const steps = going.flatMap(({ from, extra }) => extra.filter((step) => isStillThere(world, from, step)));
  const { problems, left } = await undo(world, livePrefixes(world, going[0]!.from.container), steps);
  if (problems.length === 0) return;
  for (const { from, to, extra } of going) {
    const kept = from.steps.filter((step) => !extra.includes(step) || left.has(step));
    if (kept.length < from.steps.length) tryWrite(world, state, halfDone({ ...from, steps: kept }, to));
  }
  throw new Error(problems.join("; "));
}

function strikeThings({ world, state }: Scope, before: readonly Going[], after: readonly Going[]): void {
  for (const [i, { from, to }] of after.entries()) {
    if (from.steps.length === before[i]!.from.steps.length) continue;
    // A container's own record is removed later, together with its directory.
    if (!to && from.steps.length === 0 && from.part !== "container") removeRecord(world, state, from);
    else tryWrite(world, state, halfDone(from, to));
  }
}

/** A container that is partly removed no longer counts as attached. */
function halfDone(record: BaseRecord, to: BaseRecord | undefined): BaseRecord {
  return to || !("phase" in record) ? record : { ...record, phase: "planned" } as BaseRecord;
}

/** Writes a record, if possible. On a full disk the old one stays, which lists more than exists. */
function tryWrite(world: World, state: string, record: BaseRecord): void {
  try {
    writeRecord(world, state, record);
  } catch { /* A full disk must not prevent removing things. */ }
}

/**
 * Whether a step can still be in effect. Kernel state and processes end with the boot, and with the network namespace
 * they were made in. Claims are files and remain.
 */
function isStillThere(world: World, record: BaseRecord, step: Step): boolean {
  // A plugin keeps what it was asked for, too.
  return isName(step) || step.tool === "call" || !hasBootEnded(world, record) && !isHostGone(world, record);
}

/** A change of a record with steps to do. */
interface Wanted {
  readonly from: BaseRecord | undefined;
  readonly to: BaseRecord;
  readonly missing: readonly Step[];
}

async function doWanted(
  { world, state }: Scope,
  changes: readonly Change[],
  prefixes?: Prefixes,
): Promise<void> {
  const wanted = changes.map(({ from, to }): Wanted => ({
    from,
    to: to!,
    missing: without(to!.steps, from?.steps ?? []),
  }));
  const steps = wanted.flatMap(({ missing }) => missing);
  let isDone = false;
  try {
    for (const one of wanted) writeRecord(world, state, begunRecord(one));
    if (steps.length === 0) return;
    recordKeptChanges(world, state, steps);
    await apply(world, prefixes!, steps);
    isDone = true;
    for (const { from, to } of wanted) if (from) writeRecord(world, state, to);
  } catch (error) {
    // Steps must not stay in effect without a record. So if the record cannot be written, they are undone.
    const failed = isDone ? await rollBack(world, prefixes!, steps, error) : error;
    const left = failed instanceof RollbackError ? failed.left : new Set<Step>();
    for (const one of wanted) restoreRecord(world, state, one, left);
    throw failed;
  }
}

/**
 * The record while steps are being done. Kept steps come first, then new ones; `before` may have been set by the
 * caller.
 */
function begunRecord({ from, to, missing }: Wanted): BaseRecord {
  if (!from || missing.length === 0) return to;
  const kept = keptSteps(to, missing);
  return { ...during(from, to), steps: [...kept, ...missing], before: from.before ?? kept.length };
}

function keptSteps(to: BaseRecord, missing: readonly Step[]): readonly Step[] {
  return to.steps.filter((step) => !missing.includes(step));
}

/**
 * Restores the old record, plus steps that are still in effect. If it cannot be written, the current one stays, which
 * lists more than exists.
 */
function restoreRecord(
  world: World,
  state: string,
  { from, to, missing }: Wanted,
  left: ReadonlySet<Step>,
): void {
  const still = missing.filter((step) => left.has(step));
  try {
    if (from) writeRecord(world, state, { ...from, steps: [...keptSteps(to, missing), ...still] });
    else if (still.length > 0) writeRecord(world, state, { ...to, steps: still });
    else removeRecord(world, state, to);
  } catch { /* The first error names the cause. */ }
}

/**
 * A record during the change: ports do not count as published yet, and the phase of a container that is not attached is
 * "planned".
 */
function during(from: BaseRecord, to: BaseRecord): BaseRecord {
  const ports = "ports" in from ? { ports: from.ports } : {};
  const phase = "phase" in from && from.phase !== "done" ? { phase: "planned" } : {};
  return { ...to, ...ports, ...phase };
}

/**
 * Undoes records and removes them, except for those that change into another.
 * @param what names the subject in errors
 * @throws Error if the records are from another network namespace that still exists, or if a step could not be undone
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
