import { messageOf } from "../cni/error.ts";
import type { Spawn, Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { apply, explain, undo } from "./apply.ts";
import { livePrefixes, staleness } from "./container.ts";
import { type Journal, readJournal } from "./journal.ts";
import { note } from "./log.ts";
import { ownerIsAlive, readPids } from "./process.ts";
import { containerPaths } from "./state.ts";

/**
 * Starts a container's uplink again if it has died before the container, with all that died with it.
 * @returns the name of the uplink that was started, or undefined when none had to be
 * @throws Error when it could not be started
 */
export async function repair(world: World, state: string, id: string): Promise<string | undefined> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) return undefined;
  const unlock = await world.lock(paths.lock);
  try {
    const journal = readJournal(world, paths);
    const isUp = journal?.phase === "done" && staleness(world, journal) === undefined;
    const dead = isUp ? deadUplink(world, journal) : undefined;
    if (!dead) return undefined;
    await startAgain(world, journal!, dead);
    note(world, state, `repair ${id}: ${dead.name} had ended, and runs again`);
    return dead.name;
  } catch (error) {
    const explained = explain(error);
    note(world, state, `repair ${id}: ${messageOf(explained)}`);
    throw explained;
  } finally {
    unlock();
  }
}

/** The start of a container's uplink, if that has died. Its keeper, the first in the file, may live still. */
export function deadUplink(world: World, { steps }: Journal): Spawn | undefined {
  const start = steps.find((step) => step.tool === "spawn");
  if (!start) return undefined;
  const pid = readPids(world, start.pidFile).at(-1);
  return pid !== undefined && ownerIsAlive(world, pid, start.mark) ? undefined : start;
}

async function startAgain(world: World, { container, steps }: Journal, start: Spawn): Promise<void> {
  const prefixes = livePrefixes(world, container);
  if (prefixes.container === undefined) return;
  const lost = diedWith(start, steps).map((step) =>
    step === start ? { ...start, run: start.again ?? start.run } : step
  );
  // Of the container's own links, some outlived it.
  await undo(world, prefixes, lost.filter(({ on }) => on === "container"));
  await apply(world, { host: prefixes.host, container: prefixes.container }, lost);
}

/** With the process goes its link, and what was done to that. Rules are by name, and files are mounted: those stay. */
function diedWith(start: Spawn, steps: readonly Step[]): readonly Step[] {
  return steps.slice(steps.indexOf(start)).filter(({ tool }) =>
    ["spawn", "sysctl", "ip", "tc", "send"].includes(tool)
  );
}
