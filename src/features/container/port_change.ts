import type { World } from "../../plan/world.ts";
import { livePrefixes } from "../../engine/namespace.ts";
import { type Journal, writeJournal } from "../../engine/journal.ts";
import { containerPaths } from "../../engine/state.ts";
import { undoAll } from "../../engine/rollback.ts";

/**
 * A container's journal, for who has its lock, once what somebody was killed over is taken back: the publishing of ports
 * that nobody has been told of.
 * @throws Error when something resisted
 */
export async function finishPortChange(world: World, state: string, journal: Journal): Promise<Journal> {
  const { settled: before, ...rest } = journal;
  if (before === undefined) return journal;
  const begun = journal.steps.slice(before);
  const what = `the ports that were being published for container "${journal.id}"`;
  await undoAll(world, livePrefixes(world, journal.container), begun, what);
  const next = { ...rest, steps: journal.steps.slice(0, before) };
  writeJournal(world, containerPaths(state, journal.id), next);
  return next;
}
