import { ownNamespace } from "../../engine/process.ts";
import { again, tableOf } from "../../plan/nft/element.ts";
import type { Line, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { loadRules, passFirewalls } from "../../engine/apply_rules.ts";
import { keptGuards } from "../../engine/kept_changes.ts";
import { missingOf } from "../../engine/own_table.ts";
import { staleness } from "../../engine/namespace.ts";
import { type BaseRecord, containerIds, pluginKeys, readContainer, readPlugin } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";

/**
 * Restores the containers' rules on the host if one of our tables, or its rules, were removed, e.g. by
 * `nft flush ruleset` or `nft flush table`.
 * @returns whether they were missing
 * @throws StepError if they could not be restored
 */
export async function restoreRules(world: World, state: string): Promise<boolean> {
  const ids = containerIds(world, state).filter((id) => rulesOf(world, state, id).length > 0);
  const rules = ids.flatMap((id) => rulesOf(world, state, id));
  if (!await isMissing(world, rules)) return false;
  for (const id of ids) await restoreOne(world, state, id);
  const guards = keptGuards(world, state);
  if (guards.length > 0) await loadRules(world, guards);
  return true;
}

/** Has the host's firewalls let a container's packets pass again. @returns what had gone, in a few words each */
export async function restorePasses(world: World, state: string, id: string): Promise<readonly string[]> {
  return await passFirewalls(world, [], rulesOf(world, state, id));
}

/** The same for all containers. */
export async function restoreAllPasses(world: World, state: string): Promise<readonly string[]> {
  return await passFirewalls(
    world,
    [],
    containerIds(world, state).flatMap((id) => rulesOf(world, state, id)),
  );
}

async function isMissing(world: World, rules: readonly Line[]): Promise<boolean> {
  for (const family of ["inet", "bridge"]) {
    const isNeeded = rules.some((rule) => tableOf(rule) === `${family} ocinet`);
    if (isNeeded && await missingOf(world, family)) return true;
  }
  return false;
}

/**
 * Holds the container's lock. Otherwise rules could be restored while another process removes the container, and stay.
 */
async function restoreOne(world: World, state: string, id: string): Promise<void> {
  const unlock = await world.lock(containerPaths(state, id).lock);
  try {
    const rules = rulesOf(world, state, id);
    if (rules.length > 0) await loadRules(world, rules.map(again));
  } finally {
    unlock();
  }
}

/** The rules of an attached container and of CNI plugins' ADDs, if their links are in our network namespace. */
function rulesOf(world: World, state: string, id: string): readonly Line[] {
  const plugins = pluginKeys(world, state, id).flatMap((key) => readPlugin(world, state, key) ?? []);
  try {
    const record = readContainer(world, state, id);
    const attached = record?.phase === "done"
      ? [{ ...record, steps: record.steps.slice(0, record.before) }]
      : [];
    const all: readonly BaseRecord[] = [...plugins, ...attached];
    return all.filter((record) => isCurrent(world, record)).flatMap(({ steps }) => steps.filter(isRule));
  } catch {
    // A damaged record is left to gc.
    return [];
  }
}

function isCurrent(world: World, record: BaseRecord): boolean {
  return record.host === ownNamespace(world) && staleness(world, record) === undefined;
}

function isRule(step: Step): step is Line {
  return step.tool === "nft" && step.on === "host";
}
