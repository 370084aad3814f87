import { findDrift } from "../../engine/drift.ts";
import { apply } from "../../engine/apply.ts";
import { explain } from "../../engine/step_error.ts";
import { livePrefixes, staleness } from "../../engine/namespace.ts";
import { ownNamespace } from "../../engine/process.ts";
import {
  type Attached,
  type BaseRecord,
  type ContainerRecord,
  pluginKeys,
  readContainer,
  readPlugin,
  writeRecord,
} from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import type { Prefixes } from "../../plan/batch.ts";
import { isRenaming } from "../../plan/ip.ts";
import { type Step, stepKey } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { stepsForRepair } from "../cni_plugin/plan_again.ts";
import { ownContext } from "../cni_runtime/call.ts";
import { callOf } from "../cni_runtime/external_network.ts";

const ways = { down: "up", gone: "there", changed: "set" } as const;

/** A record, and the steps that are to be done again for it. */
export interface Repaired {
  readonly record: BaseRecord;
  readonly wanted: readonly Step[];
}

/**
 * Makes again what is missing of a container that is attached by root: what is recorded, and what its networks' plugins
 * would make now that is shared and was there when it was attached, such as a bridge.
 * @returns what was missing, in a few words
 * @throws Error when it could not be made
 */
export async function repairLinks(world: World, state: string, id: string): Promise<readonly string[]> {
  const unlock = await world.lock(containerPaths(state, id).lock);
  try {
    const record = readContainer(world, state, id);
    if (record?.phase !== "done" || record.host !== ownNamespace(world)) return [];
    const prefixes = livePrefixes(world, record.container);
    if (staleness(world, record) !== undefined || prefixes.container === undefined) return [];
    const renamed = await renameBack(world, prefixes as Prefixes, await wantedOf(world, state, record));
    const all = await wantedOf(world, state, record);
    const { again: missing, first } = await findDrift(
      world,
      prefixes,
      all.flatMap(({ wanted }) => wanted),
    );
    if (!first) return renamed;
    await makeAgain(world, state, prefixes as Prefixes, { all, missing });
    return [
      ...renamed,
      `${first.thing} was ${first.is}, and is ${ways[first.is]} again`,
    ];
  } catch (error) {
    throw explain(error);
  } finally {
    unlock();
  }
}

/** A bridge that was renamed is not made a second time. */
async function renameBack(
  world: World,
  prefixes: Prefixes,
  all: readonly Repaired[],
): Promise<readonly string[]> {
  const now = all.flatMap(({ record, wanted }) => wanted.filter((step) => !record.steps.includes(step)));
  const steps = now.filter(isRenaming);
  await apply(world, prefixes, steps);
  return steps.length > 0 ? ["its bridge had another name, and has its own again"] : [];
}

async function makeAgain(
  world: World,
  state: string,
  prefixes: Prefixes,
  { all, missing }: { readonly all: readonly Repaired[]; readonly missing: readonly Step[] },
): Promise<void> {
  // What runs is started again by itself, and names are claimed still.
  const steps = missing.filter(({ tool }) => !["spawn", "claim", "send", "call"].includes(tool));
  for (const { record, wanted } of all) {
    const known = new Set(record.steps.map(stepKey));
    const added = wanted.filter((step) => missing.includes(step) && !known.has(stepKey(step)));
    if (added.length > 0) writeRecord(world, state, { ...record, steps: [...record.steps, ...added] });
  }
  await apply(world, prefixes, steps);
}

/**
 * All that is to be there for a container: what is recorded, and on the host what its plugins would make now; a record
 * after the other. It only looks.
 */
export async function wantedOf(
  world: World,
  state: string,
  record: ContainerRecord,
): Promise<readonly Repaired[]> {
  return [...await pluginSteps(world, state, record), { record, wanted: record.steps }];
}

async function pluginSteps(
  world: World,
  state: string,
  record: ContainerRecord,
): Promise<readonly Repaired[]> {
  const found: Repaired[] = [];
  for (const attached of record.attachments.filter(({ path, result }) => !path && result)) {
    for (const plugin of attached.network.plugins) {
      const own = pluginKeys(world, state, record.id).find(({ network, ifname, part }) =>
        network === attached.network.name && ifname === attached.ifname && part === plugin.type
      );
      const done = own && readPlugin(world, state, own);
      if (done) {
        found.push({
          record: done,
          wanted: await wantedNow(world, state, record, { attached, plugin, done }),
        });
      }
    }
  }
  return found;
}

/**
 * What would be made on the host now comes first: a bridge is there before its ports. The container's side is all
 * recorded: of several default routes only one was made.
 */
async function wantedNow(
  world: World,
  state: string,
  { id, container }: ContainerRecord,
  { attached, plugin, done }: {
    readonly attached: Attached;
    readonly plugin: PluginConf;
    readonly done: BaseRecord;
  },
): Promise<readonly Step[]> {
  const call = callOf(state, { id, netns: container.netns }, attached);
  const context = await ownContext(world, state, call, { plugin, command: "ADD", before: attached.result! });
  const recorded = new Set(done.steps.map(stepKey));
  const now = await stepsForRepair({ ...context, container }, attached.result!);
  return [
    ...now.filter((step) => step.on === "host" && (!recorded.has(stepKey(step)) || isRenaming(step))),
    ...done.steps,
  ];
}
