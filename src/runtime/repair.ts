import { messageOf } from "../cni/error.ts";
import type { Spawn, Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { apply, explain } from "./apply.ts";
import { livePrefixes, ownNamespace, staleness } from "./container.ts";
import { type Journal, readJournal } from "./journal.ts";
import { note } from "./log.ts";
import { ownerIsAlive, readPids } from "./process.ts";
import { restoreRules } from "./restore.ts";
import { forwardAgain, readUndamaged } from "./session_ports.ts";
import { containerPaths } from "./state.ts";
import { undo } from "./undo.ts";
import { isRoot } from "./user.ts";

/**
 * Starts a container's uplink and relay again if they have died before the container, with all that died with them; and puts
 * back the rules of all containers, if somebody has taken our tables away.
 * @returns the names of those that were started, and "rules"
 * @throws Error when it could not be started
 */
export async function repair(world: World, state: string, id: string): Promise<readonly string[]> {
  const started = await repairPrograms(world, state, id);
  return isRoot(world) && await restoreRules(world, state) ? [...started, "rules"] : started;
}

async function repairPrograms(world: World, state: string, id: string): Promise<readonly string[]> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) return [];
  const unlock = await world.lock(paths.lock);
  try {
    const journal = readJournal(world, paths);
    const isUp = journal?.phase === "done" && staleness(world, journal) === undefined;
    const dead = isUp ? deadPrograms(world, journal) : [];
    for (const program of dead) {
      await startAgain(world, journal!, program);
      note(world, state, `repair ${id}: ${program.name} had ended, and runs again`);
    }
    if (dead.length > 0 && journal!.session) await forwardAgain(world, state, journal!, dead);
    return dead.map(({ name }) => name);
  } catch (error) {
    const explained = explain(error);
    note(world, state, `repair ${id}: ${messageOf(explained)}`);
    throw explained;
  } finally {
    unlock();
  }
}

/**
 * Starts a container's programs again whose keepers, which would do so themselves, have died as well.
 * @throws Error when one could not be started
 */
export async function repairUnkept(world: World, state: string, id: string): Promise<void> {
  const journal = readUndamaged(world, state, id);
  const isOurs = journal?.phase === "done" && journal.host === ownNamespace(world) &&
    staleness(world, journal) === undefined;
  const unkept = isOurs &&
    deadPrograms(world, journal).some(({ pidFile, mark }) =>
      !readPids(world, pidFile).some((pid) => ownerIsAlive(world, pid, mark))
    );
  if (unkept) await repairPrograms(world, state, id);
}

/** What started those of a container's programs that have died. Their keepers, the first in the file, may live still. */
export function deadPrograms(world: World, { steps }: Journal): readonly Spawn[] {
  return steps.filter((step) => step.tool === "spawn").filter(({ pidFile, mark }) => {
    const pid = readPids(world, pidFile).at(-1);
    return pid === undefined || !ownerIsAlive(world, pid, mark);
  });
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

/**
 * With the process goes what it was asked for, and with most uplinks their link, and what was done to that. Rules are by
 * name, and files are mounted: those stay.
 */
function diedWith(start: Spawn, steps: readonly Step[]): readonly Step[] {
  const links = start.sparesLinks ? [] : ["sysctl", "ip", "tc"];
  return steps.slice(steps.indexOf(start)).filter((step) =>
    step === start || links.includes(step.tool) ||
    (step.tool === "send" && start.leaves.includes(step.socket))
  );
}
