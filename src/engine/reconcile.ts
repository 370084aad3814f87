import { ownNamespace } from "./process.ts";
import type { Prefixes } from "../plan/batch.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { apply, rollBack, RollbackError } from "./apply.ts";
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

/** A record, and those of its steps that are no longer wanted. */
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
  // Names are given back last, once no record tells of anything that uses them: who takes one next has the same rules.
  const names = going.map(({ from, to, extra }) => {
    const kept = from.steps.filter((step) => isName(step) || !extra.includes(step));
    return { from: { ...from, steps: kept }, to, extra: extra.filter(isName) };
  });
  if (names.some(({ extra }) => extra.length > 0)) strikeThings(scope, going, names);
  await undoSteps(scope, names);
  for (const { from, to } of names) if (!to) removeRecord(scope.world, scope.state, from);
}

/** An address or a port, which another may have next. */
function isName({ tool }: Step): boolean {
  return tool === "claim";
}

/** @throws Error with all that resisted, once everything has been tried; what is left is recorded */
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
    // With a container's own record goes its directory: that is last.
    if (!to && from.steps.length === 0 && from.part !== "container") removeRecord(world, state, from);
    else tryWrite(world, state, halfDone(from, to));
  }
}

/** A container that is half taken down is not attached any more. */
function halfDone(record: BaseRecord, to: BaseRecord | undefined): BaseRecord {
  return to || !("phase" in record) ? record : { ...record, phase: "planned" } as BaseRecord;
}

/** On a full disk what is recorded stays as it was, which tells of more than there is. */
function tryWrite(world: World, state: string, record: BaseRecord): void {
  try {
    writeRecord(world, state, record);
  } catch { /* What is wrong with the disk is no reason to keep what is to go. */ }
}

/** A reboot took the kernel's side and the processes, and so did the end of the network namespace it was done from. */
function isStillThere(world: World, record: BaseRecord, step: Step): boolean {
  return step.tool === "claim" || !hasBootEnded(world, record) && !isHostGone(world, record);
}

/** A change of a record that wants something done. */
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
    // A record that cannot be written is as good as none: of what it tells nothing may stay.
    const failed = isDone ? await rollBack(world, prefixes!, steps, error) : error;
    const left = failed instanceof RollbackError ? failed.left : new Set<Step>();
    for (const one of wanted) restoreRecord(world, state, one, left);
    throw failed;
  }
}

/** What had been recorded before, less what is no longer wanted, comes first; a caller may have begun already. */
function begunRecord({ from, to, missing }: Wanted): BaseRecord {
  if (!from || missing.length === 0) return to;
  const kept = keptSteps(to, missing);
  return { ...during(from, to), steps: [...kept, ...missing], before: from.before ?? kept.length };
}

function keptSteps(to: BaseRecord, missing: readonly Step[]): readonly Step[] {
  return to.steps.filter((step) => !missing.includes(step));
}

/** What was recorded before, with what is left; where that cannot be written, what is there tells of more. */
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
  } catch { /* The first error says what is wrong. */ }
}

/** A record while it changes: no port is published yet, and of a container that is not attached some steps may be done. */
function during(from: BaseRecord, to: BaseRecord): BaseRecord {
  const ports = "ports" in from ? { ports: from.ports } : {};
  const phase = "phase" in from && from.phase !== "done" ? { phase: "planned" } : {};
  return { ...to, ...ports, ...phase };
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
