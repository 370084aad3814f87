/**
 * podman and nerdctl tell each of a container's networks of the container's ports. Such a port leads to the network that
 * had it first, as with the reference, whose rules are met in their order; and when that is gone, to another.
 */
import type { Prefixes } from "../../plan/batch.ts";
import type { Step } from "../../plan/step.ts";
import { TakenError } from "../../engine/apply.ts";
import { reconcile } from "../../engine/reconcile.ts";
import { isThere } from "../../engine/namespace.ts";
import { type Context, prefixesFor } from "./call.ts";
import { otherRecords, type PluginRecord } from "../../engine/record.ts";

/** Steps, and those of them that wait until another network of the container's has gone. */
export interface PortClaims {
  readonly steps: readonly Step[];
  readonly waiting: readonly Step[];
}

/** Tells those steps that would lead a port of the container's away from another of its networks. */
export function deferTakenPorts(context: Context, steps: readonly Step[]): PortClaims {
  if (steps.every((step) => portOf(step) === undefined)) return { steps, waiting: [] };
  const taken = takenPorts(context);
  const waits = (step: Step) => taken.has(portOf(step) ?? "");
  return { steps: steps.filter((step) => !waits(step)), waiting: steps.filter(waits) };
}

/** The ports that lead to other networks of the container's, or would if there were no others yet. */
export function takenPorts(context: Context): ReadonlySet<string> {
  return new Set(
    living(context).flatMap(({ steps, waiting = [] }) => [...steps, ...waiting]).flatMap((step) =>
      portOf(step) ?? []
    ),
  );
}

/** Leads the ports that an attachment had to another network of the container's that waits for them. */
export async function failOverPorts(context: Context, gone: PluginRecord): Promise<void> {
  const free = new Set(gone.steps.flatMap((step) => portOf(step) ?? []));
  if (free.size === 0) return;
  for (const record of living(context)) {
    const next = (record.waiting ?? []).filter((step) => free.delete(portOf(step) ?? ""));
    if (next.length > 0) await takeOver(context, record, next);
  }
}

/** A step that is done is recorded as done before that. */
async function takeOver(context: Context, record: PluginRecord, next: readonly Step[]): Promise<void> {
  const waiting = record.waiting!.filter((step) => !next.includes(step));
  const to = { ...record, waiting, steps: [...record.steps, ...next] };
  try {
    await reconcile(context, [{ from: { ...record, waiting }, to }], prefixesFor(context) as Prefixes);
  } catch (error) {
    // Another container has the port by now.
    if (!(error instanceof TakenError)) throw error;
  }
}

function living({ world, state, key }: Context): readonly PluginRecord[] {
  return otherRecords(world, state, key).filter(({ container }) => isThere(world, container));
}

/** What a step leads somewhere: an element of a map, by the map and its key. */
export function portOf({ id }: Step): string | undefined {
  return id.kind === "element" && id.value !== undefined ? `${id.set} ${id.key}` : undefined;
}
