/**
 * podman and nerdctl pass a container's ports to each of its networks. A port is forwarded to the network that had it
 * first, as with the reference, whose rules apply in order. When that network is removed, the port is forwarded to
 * another one.
 */
import type { Prefixes } from "../../plan/batch.ts";
import type { Step } from "../../plan/step.ts";
import { TakenError } from "../../engine/step_error.ts";
import { reconcile } from "../../engine/reconcile.ts";
import { isThere } from "../../engine/namespace.ts";
import { type Context, prefixesFor } from "./call.ts";
import { otherRecords, type PluginRecord } from "../../engine/record.ts";

/** The steps to do now, and those that wait until another network of the container is removed. */
export interface PortClaims {
  readonly steps: readonly Step[];
  readonly waiting: readonly Step[];
}

/** Separates the steps for ports that another network of the container already has. */
export function deferTakenPorts(context: Context, steps: readonly Step[]): PortClaims {
  if (steps.every((step) => portOf(step) === undefined)) return { steps, waiting: [] };
  const taken = takenPorts(context);
  const waits = (step: Step) => taken.has(portOf(step) ?? "");
  return { steps: steps.filter((step) => !waits(step)), waiting: steps.filter(waits) };
}

/** The ports that other networks of the container have, or wait for. */
export function takenPorts(context: Context): ReadonlySet<string> {
  return new Set(
    living(context).flatMap(({ steps, waiting = [] }) => [...steps, ...waiting]).flatMap((step) =>
      portOf(step) ?? []
    ),
  );
}

/** Forwards the ports of a removed attachment to another network of the container that waits for them. */
export async function failOverPorts(context: Context, gone: PluginRecord): Promise<void> {
  const free = new Set(gone.steps.flatMap((step) => portOf(step) ?? []));
  if (free.size === 0) return;
  for (const record of living(context)) {
    const next = (record.waiting ?? []).filter((step) => free.delete(portOf(step) ?? ""));
    if (next.length > 0) await takeOver(context, record, next);
  }
}

/** Adds waiting steps to a record. They are recorded before they are done. */
async function takeOver(context: Context, record: PluginRecord, next: readonly Step[]): Promise<void> {
  const waiting = record.waiting!.filter((step) => !next.includes(step));
  const to = { ...record, waiting, steps: [...record.steps, ...next] };
  try {
    await reconcile(context, [{ from: { ...record, waiting }, to }], prefixesFor(context) as Prefixes);
  } catch (error) {
    // Another container has got the port meanwhile.
    if (!(error instanceof TakenError)) throw error;
  }
}

function living({ world, state, key }: Context): readonly PluginRecord[] {
  return otherRecords(world, state, key).filter(({ container }) => isThere(world, container));
}

/** The port that a step forwards: an element of a map, identified by the map and its key. */
export function portOf({ id }: Step): string | undefined {
  return id.kind === "element" && id.value !== undefined ? `${id.set} ${id.key}` : undefined;
}
