import type { World } from "../plan/world.ts";
import { livePrefixes } from "./container.ts";
import { type Journal, writeJournal } from "./journal.ts";
import { containerPaths } from "./state.ts";
import { undoAll } from "./take_back.ts";

/**
 * A container's journal, for who has its lock, once what somebody was killed over is taken back: the publishing of ports
 * that nobody has been told of.
 * @throws Error when something resisted
 */
export async function settled(world: World, state: string, journal: Journal): Promise<Journal> {
  const { settled: before, ...rest } = journal;
  if (before === undefined) return journal;
  const begun = journal.steps.slice(before);
  const what = `the ports that were being published for container "${journal.id}"`;
  await undoAll(world, livePrefixes(world, journal.container), begun, what);
  const next = { ...rest, steps: journal.steps.slice(0, before) };
  writeJournal(world, containerPaths(state, journal.id), next);
  return next;
}
