import { messageOf } from "../../wire/cni/error.ts";
import type { Spawn, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { apply, explain } from "../../engine/apply.ts";
import { livePrefixes, staleness } from "../../engine/namespace.ts";
import { type ContainerRecord, readContainer, readUndamaged, writeRecord } from "../../engine/record.ts";
import { note } from "../../engine/hook_log.ts";
import { judge, ownerIsAlive, ownNamespace, readPids } from "../../engine/process.ts";
import { refreshNames } from "../networks/names.ts";
import { renewNames, toldFile } from "./host_names.ts";
import { repairLinks } from "./repair_links.ts";
import { restorePassRule, restoreRules } from "./restore_rules.ts";
import { forwardAgain } from "../rootless/host_forwarding.ts";
import { undoBegun } from "./port_change.ts";
import { containerPaths } from "../../engine/state.ts";
import { undo } from "../../engine/undo.ts";
import { isRoot } from "../../engine/user.ts";

/**
 * Makes a container again what is recorded of it: its uplink and relay run, it asks the host's name servers of now if it
 * asked those of then, and links, addresses, routes, settings and
 * rules that are missing are made again; and the rules of all containers, if one of our tables was taken away.
 * @returns what was done, in a few words each
 * @throws Error when it could not be done
 */
export async function repair(world: World, state: string, id: string): Promise<readonly string[]> {
  const programs = (await repairPrograms(world, state, id)).map((name) =>
    `${name} had ended, and runs again`
  );
  const started = [...programs, ...await repairNames(world, state, id)];
  if (!isRoot(world)) return started;
  const rules = await restoreRules(world, state) ? ["rules were gone, and are there again"] : [];
  const passes = (await restorePassRule(world, state, id)).map((program) =>
    `the rule of ${program} in FORWARD was gone, and is there again`
  );
  const links = await repairLinks(world, state, id);
  const named = readUndamaged(world, state, id)?.attachments.filter(({ network }) => network.named) ?? [];
  if (named.length > 0) await refreshNames(world, state, named.map(({ network }) => network.name));
  return [...started, ...rules, ...passes, ...links];
}

/**
 * The same, of what nobody keeps running any more: with a program its keeper has died, or whoever started it again. What
 * somebody is busy with is left to them.
 * @throws Error when it could not be started
 */
export async function repairUnsupervised(world: World, state: string, id: string): Promise<void> {
  const record = readUndamaged(world, state, id);
  if (record?.host !== ownNamespace(world) || !isUp(world, record)) return;
  // By pids that are another PID namespace's all would seem to have ended.
  const { init } = record.container;
  if (init && judge(world, init) !== "there") return;
  const isUnsupervised = ({ pidFile, cmdlineMarker }: Spawn) =>
    record.restarting?.includes(pidFile) ||
    !readPids(world, pidFile).some((pid) => ownerIsAlive(world, pid, cmdlineMarker));
  if (!deadPrograms(world, record).some(isUnsupervised)) return;
  const unlock = await world.tryLock(containerPaths(state, id).lock);
  if (unlock) await repairLocked(world, state, id).finally(unlock);
}

async function repairNames(world: World, state: string, id: string): Promise<readonly string[]> {
  const paths = containerPaths(state, id);
  if (world.stat(toldFile(paths.directory)) === undefined) return [];
  const unlock = await world.lock(paths.lock);
  try {
    return renewNames(world, state, id);
  } finally {
    unlock();
  }
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
    // Until all is done, a program that runs may lack what it was asked for.
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
 * What started those of a container's programs that have died, or are only being started again. Their keepers, the first
 * in the file, may live still.
 */
export function deadPrograms(world: World, { steps, restarting = [] }: ContainerRecord): readonly Spawn[] {
  return steps.filter((step) => step.tool === "spawn").filter((step) =>
    restarting.includes(step.pidFile) || !runs(world, step)
  );
}

function runs(world: World, { pidFile, cmdlineMarker }: Spawn): boolean {
  const pid = readPids(world, pidFile).at(-1);
  return pid !== undefined && ownerIsAlive(world, pid, cmdlineMarker);
}

async function startAgain(world: World, { container, steps }: ContainerRecord, start: Spawn): Promise<void> {
  const prefixes = livePrefixes(world, container);
  if (prefixes.container === undefined) return;
  const lost = diedWith(start, steps).map((step) =>
    step === start ? { ...start, run: start.again ?? start.run } : step
  );
  // Of the container's own links, some outlived it. Where it was being started when somebody was killed, it runs.
  const unended = runs(world, start) ? [start] : [];
  await undo(world, prefixes, [...unended, ...lost.filter(({ on }) => on === "container")]);
  await apply(world, { host: prefixes.host, container: prefixes.container }, lost);
}

/**
 * With the process goes what it was asked for, and with most uplinks their link, and what was done to that. Rules are by
 * name, and files are mounted: those stay.
 */
function diedWith(start: Spawn, steps: readonly Step[]): readonly Step[] {
  const links = start.keepsLinks ? [] : ["sysctl", "ip", "tc"];
  return steps.slice(steps.indexOf(start)).filter((step) =>
    step === start || links.includes(step.tool) ||
    (step.tool === "send" && start.cleanupPaths.includes(step.socket))
  );
}
