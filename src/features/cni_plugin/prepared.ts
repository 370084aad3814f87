/** What an ADD comes to before anything is changed, and how it is carried out. */
import { linkExists } from "../../engine/links.ts";
import { hasBootEnded, isThere } from "../../engine/namespace.ts";
import { type Change, reconcile } from "../../engine/reconcile.ts";
import { type Namespace, newRecord, type PluginRecord, readPlugin } from "../../engine/record.ts";
import { RollbackError } from "../../engine/step_error.ts";
import { undoClaim } from "../../engine/undo.ts";
import type { Prefixes } from "../../plan/batch.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import { vethsOf } from "../../plan/ip.ts";
import type { Claim, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { CniError } from "../../wire/cni/error.ts";
import { type Result, resultFor } from "../../wire/cni/result.ts";
import { callExternalPart, type Context, externalPart, prefixesFor } from "./call.ts";
import { rollBack } from "./del.ts";

/** An ADD that has been planned, and for which addresses have been taken. */
export interface Prepared {
  readonly context: Context;
  /** What had to be done already, so that a server or another program could be asked. */
  readonly done?: readonly Step[];
  readonly steps: readonly Step[];
  /** What is only recorded: it is done when another of the container's networks has gone. */
  readonly waiting?: readonly Step[];
  readonly result: Result;
  /** Takes back what taking addresses changed beside the claims. */
  readonly giveUp?: () => void;
}

/** What is in the way is of an attachment that is over, or one that has a record. */
export function stepsToKeep({ world, delegation }: Context): readonly Step[] {
  const kept = delegation?.kept;
  if (kept === undefined) return [];
  if (readUndamagedFile(world, kept.path)?.trim() !== kept.owner) world.remove(kept.path);
  return [kept];
}

/** A record of what no longer exists makes way; one of what does is a reason to refuse. */
export async function giveWay(context: Context): Promise<void> {
  const { world, state, key, container } = context;
  const old = readPlugin(world, state, key);
  if (!old) return;
  if (isSame(world, old, container)) {
    throw new CniError(
      "internal",
      `Cannot attach "${key.ifname}" of container "${key.id}" to network "${key.network}": ` +
        `it is attached by ${key.part} already; DEL comes first`,
    );
  }
  await rollBack(context, old);
}

/** A namespace's number may be another's by now: the kernel gives it again. The link tells, which went with the first. */
function isSame(world: World, old: PluginRecord, container: Namespace): boolean {
  const { identity, netns } = old.container;
  if (identity !== container.identity || netns !== container.netns || hasBootEnded(world, old)) return false;
  return isThere(world, container) && vethsOf(old.steps).every((name) => linkExists(world, name));
}

/**
 * Does what was prepared, and makes other changes of records, all at once; or nothing of it stays.
 * @throws CniError, StepError, RollbackError
 */
export async function perform(all: readonly Prepared[], others: readonly Change[] = []): Promise<void> {
  await orAbandon(all, async () => {
    // What could not be told in the version that was asked for is not done.
    all.forEach(({ context, result }) => resultFor(context.call.version, result));
    await carryOut(all, others);
  });
}

/** Runs an action. If it fails, what was prepared is given up. */
export async function orAbandon<T>(all: readonly Prepared[], action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    // What could not be undone now is left, with what is recorded of it, to DEL.
    if (!(error instanceof RollbackError)) { for (const one of [...all].reverse()) await abandon(one); }
    throw error;
  }
}

/** Does what was prepared, with its records. */
export async function carryOut(all: readonly Prepared[], others: readonly Change[] = []): Promise<void> {
  const [first] = all;
  if (!first) return;
  await reconcile(
    first.context,
    [...all.flatMap(changeOf), ...others],
    prefixesFor(first.context) as Prefixes,
  );
}

function changeOf({ context, done, steps, waiting = [], result }: Prepared): readonly Change[] {
  const all = [...done ?? [], ...steps];
  if (all.length + waiting.length === 0) return [];
  const to = recordOf(context, all, { result, ...(waiting.length > 0 ? { waiting } : {}) });
  return [done && done.length > 0 ? { from: recordOf(context, done), to } : { to }];
}

function recordOf(
  { world, key, container, entered, call: { request } }: Context,
  steps: readonly Step[],
  more: Partial<Pick<PluginRecord, "waiting" | "result">> = {},
): PluginRecord {
  return newRecord<PluginRecord>(world, {
    ...{ ...key, container: entered?.recorded ?? container, request, steps, ...more },
  });
}

/**
 * Gives up an ADD that is not, or no longer, done: what it had to do beforehand, and the addresses it took. What resists
 * is left, with what is recorded of it, to DEL.
 */
export async function abandon({ context, done = [], steps, giveUp }: Prepared): Promise<void> {
  const { world } = context;
  if (done.length > 0 && externalPart(context) !== undefined) {
    await callExternalPart(context, "DEL").catch(() => {});
  }
  steps.filter((step): step is Claim => step.tool === "claim").forEach((claim) => undoClaim(world, claim));
  giveUp?.();
  if (done.length > 0) await reconcile(context, [{ from: recordOf(context, done) }]).catch(() => {});
}
