import { messageOf } from "../../wire/cni/error.ts";
import type { Spawn, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { apply } from "../../engine/apply.ts";
import { explain } from "../../engine/step_error.ts";
import { livePrefixes, staleness } from "../../engine/namespace.ts";
import { type ContainerRecord, readContainer, readUndamaged, writeRecord } from "../../engine/record.ts";
import { note } from "../../engine/hook_log.ts";
import { judge, ownerIsAlive, ownNamespace, programRuns, readPids } from "../../engine/process.ts";
import { refreshNames } from "../networks/names.ts";
import { repairNames } from "./names_again.ts";
import { repairLinks } from "./repair_links.ts";
import { restorePasses, restoreRules } from "./restore_rules.ts";
import { forwardAgain } from "../rootless/host_forwarding.ts";
import { undoBegun } from "./port_change.ts";
import { containerPaths } from "../../engine/state.ts";
import { undo } from "../../engine/undo.ts";
import { isRoot } from "../../engine/user.ts";

/**
 * Restores a container to what is recorded. Its uplink and relay are started if necessary. If it uses the host's name
 * servers, they are updated. Missing links, addresses, routes, sysctls and rules are made again. If one of our tables
 * was removed, the rules of all containers are restored.
 * @returns what was done, in a few words each
 * @throws Error if it could not be done
 */
export async function repair(world: World, state: string, id: string): Promise<readonly string[]> {
  const programs = (await repairPrograms(world, state, id)).map((name) =>
    `${name} had ended, and runs again`
  );
  const started = [...programs, ...await repairNames(world, state, id)];
  if (!isRoot(world)) return started;
  const rules = await restoreRules(world, state) ? ["rules were gone, and are there again"] : [];
  const passes = (await restorePasses(world, state, id)).map((what) =>
    `${what} was gone, and is there again`
  );
  const links = await repairLinks(world, state, id);
  const named = readUndamaged(world, state, id)?.attachments.filter(({ network }) => network.named) ?? [];
  if (named.length > 0) await refreshNames(world, state, named.map(({ network }) => network.name));
  return [...started, ...rules, ...passes, ...links];
}

/**
 * Like `repair`, but only for programs that no process keeps running any more: the keeper has died too, or the process
 * that was restarting it. If another process holds the container's lock, nothing is done.
 * @throws Error if a program could not be started
 */
export async function repairUnsupervised(world: World, state: string, id: string): Promise<void> {
  const record = readUndamaged(world, state, id);
  if (record?.host !== ownNamespace(world) || !isUp(world, record)) return;
  // In another PID namespace all pids would seem to have ended.
  const { init } = record.container;
  if (init && judge(world, init) !== "there") return;
  const isUnsupervised = ({ pidFile, cmdlineMarker }: Spawn) =>
    record.restarting?.includes(pidFile) ||
    !readPids(world, pidFile).some((pid) => ownerIsAlive(world, pid, cmdlineMarker));
  if (!deadPrograms(world, record).some(isUnsupervised)) return;
  const unlock = await world.tryLock(containerPaths(state, id).lock);
  if (unlock) await repairLocked(world, state, id).finally(unlock);
}

async function repairPrograms(world: World, state: string, id: string): Promise<readonly string[]> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) return [];
  const unlock = await world.lock(paths.lock);
  return await repairLocked(world, state, id).finally(unlock);
}

async function repairLocked(world: World, state: string, id: string): Promise<readonly string[]> {
  try {
    const found = readContainer(world, state, id);
    if (!found || !isUp(world, found)) return [];
    const { restarting: _, ...record } = await undoBegun(world, state, found);
    const dead = deadPrograms(world, found).filter((program) => record.steps.includes(program));
    if (dead.length === 0) return [];
    // Until everything is done, a running program may not have got all its requests.
    writeRecord(world, state, { ...record, restarting: dead.map(({ pidFile }) => pidFile) });
    for (const program of dead) {
      await startAgain(world, record, program);
      note(world, state, `repair ${id}: ${program.name} had ended, and runs again`);
    }
    if (record.session) await forwardAgain(world, state, record, dead);
    writeRecord(world, state, record);
    return dead.map(({ name }) => name);
  } catch (error) {
    const explained = explain(error);
    note(world, state, `repair ${id}: ${messageOf(explained)}`);
    throw explained;
  }
}

function isUp(world: World, record: ContainerRecord): boolean {
  return record.phase === "done" && staleness(world, record) === undefined;
}

/**
 * The steps of a container's programs that have died or are being restarted. Their keepers, the first pid in the file,
 * may still be alive.
 */
export function deadPrograms(world: World, { steps, restarting = [] }: ContainerRecord): readonly Spawn[] {
  return steps.filter((step) => step.tool === "spawn").filter((step) =>
    restarting.includes(step.pidFile) || !programRuns(world, step)
  );
}

async function startAgain(world: World, { container, steps }: ContainerRecord, start: Spawn): Promise<void> {
  const prefixes = livePrefixes(world, container);
  if (prefixes.container === undefined) return;
  const lost = diedWith(start, steps).map((step) =>
    step === start ? { ...start, run: start.again ?? start.run } : step
  );
  // Some of the container's own links may be left. If a process was killed during a restart, the program runs already.
  const unended = programRuns(world, start) ? [start] : [];
  await undo(world, prefixes, [...unended, ...lost.filter(({ on }) => on === "container")]);
  await apply(world, { host: prefixes.host, container: prefixes.container }, lost);
}

/**
 * The steps that ended with a program: the requests to it and, with most uplinks, the link and its settings. Rules
 * refer to names, and files are mounted, so these steps are still in effect.
 */
function diedWith(start: Spawn, steps: readonly Step[]): readonly Step[] {
  const links = start.keepsLinks ? [] : ["sysctl", "ip", "tc"];
  return steps.slice(steps.indexOf(start)).filter((step) =>
    step === start || links.includes(step.tool) ||
    (step.tool === "send" && start.cleanupPaths.includes(step.socket))
  );
}
