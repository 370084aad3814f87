import { table } from "../../drivers/table.ts";
import { RollbackError, StepError } from "../../engine/apply.ts";
import type { Change } from "../../engine/reconcile.ts";
import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import type { CniError } from "../../wire/cni/error.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { emptyResult, parseResult, type Result } from "../../wire/cni/result.ts";
import { abandon, perform, prepare, type Prepared } from "../cni_plugin/add.ts";
import { asksThroughLink, checkVersion } from "../cni_plugin/call.ts";
import { blame, callTheirs, ownContext, type PluginStep, runsHere, type RuntimeCall } from "./call.ts";

/** A plugin of ours that has been planned. */
interface Planned {
  readonly plugin: PluginConf;
  readonly prepared: Prepared;
}

/**
 * Plugins of one or more networks, planned one after the other, each on what those before it will have made, to be done
 * together. It is flushed where somebody has to be asked: a DHCP server, or a program that is not ours.
 */
export interface Fold {
  readonly world: World;
  readonly state: string;
  /** What is planned, and not done yet. */
  planned: readonly Planned[];
  /** Says of an error which plugin it came from, where a person is to be told of that. */
  readonly blames: boolean;
}

/** A fold with nothing in it. */
export function newFold(world: World, state: string, blames: boolean): Fold {
  return { world, state, planned: [], blames };
}

/**
 * Plans the plugins of a network, and does what has to be done for that.
 * @param begun is filled with the plugins that DEL has to be called for when a later one fails
 * @param adjust makes of the steps of one plugin those that are wanted
 * @returns what will be true once the fold is flushed
 * @throws CniError naming the plugin that failed; then nothing is planned any more
 */
export async function foldNetwork(
  fold: Fold,
  call: RuntimeCall,
  begun: PluginConf[],
  adjust: (steps: readonly Step[]) => readonly Step[] = (steps) => steps,
): Promise<Result> {
  let result: Result | undefined;
  for (const plugin of call.list.plugins) {
    const step: PluginStep = { plugin, command: "ADD", ...(result ? { before: result } : {}) };
    result = runsHere(fold.world, call, plugin)
      ? await foldOurs(fold, call, step, { begun, adjust })
      : await foldTheirs(fold, call, step, begun);
  }
  return result ?? emptyResult;
}

interface Folding {
  readonly begun: PluginConf[];
  adjust(steps: readonly Step[]): readonly Step[];
}

async function foldOurs(
  fold: Fold,
  call: RuntimeCall,
  step: PluginStep,
  { begun, adjust }: Folding,
): Promise<Result> {
  const { world, state } = fold;
  const { plugin, before } = step;
  const [context, asks] = await orGiveUp(fold, plugin, async () => {
    checkVersion(plugin.type, call.list.cniVersion);
    const context = await ownContext(world, state, call, step);
    return [context, asksThroughLink(context)] as const;
  });
  // Who comes next may have to write down how a link is that they did not make.
  if (asks || fold.planned.some(({ plugin }) => keepsLink(plugin))) begun.push(...await flush(fold));
  const steps = fold.planned.flatMap(({ prepared }) => prepared.steps);
  const prepared = await orGiveUp(fold, plugin, () => prepare(context, before, steps));
  fold.planned = [...fold.planned, { plugin, prepared: { ...prepared, steps: adjust(prepared.steps) } }];
  return prepared.result;
}

async function foldTheirs(
  fold: Fold,
  call: RuntimeCall,
  step: PluginStep,
  begun: PluginConf[],
): Promise<Result> {
  begun.push(...await flush(fold), step.plugin);
  try {
    const answer = await callTheirs(fold.world, call, step);
    return answer === null ? emptyResult : parseResult(answer, call.list.cniVersion);
  } catch (error) {
    throw blame(error, step.plugin, "add");
  }
}

function keepsLink({ type }: PluginConf): boolean {
  const row = table[type];
  return row?.role === "main" && row.plugin.keepsLink === true;
}

/** @throws CniError naming the plugin; then what is planned is given up */
async function orGiveUp<T>(fold: Fold, plugin: PluginConf, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    for (const { prepared } of [...fold.planned].reverse()) await abandon(prepared);
    fold.planned = [];
    throw blamed(fold, error, plugin);
  }
}

/**
 * Does what is planned, with other changes of records, all at once.
 * @returns the plugins that it was planned by
 * @throws CniError naming the plugin whose step failed
 */
export async function flush(fold: Fold, others: readonly Change[] = []): Promise<readonly PluginConf[]> {
  const { planned } = fold;
  fold.planned = [];
  try {
    await perform(planned.map(({ prepared }) => prepared), others);
    return planned.map(({ plugin }) => plugin);
  } catch (error) {
    const first = error instanceof RollbackError ? error.first : error;
    const failed = planned.find(({ prepared: { steps } }) =>
      first instanceof StepError && steps.includes(first.step)
    );
    throw blamed(fold, error, (failed ?? planned.at(-1)!).plugin);
  }
}

function blamed({ blames }: Fold, error: unknown, plugin: PluginConf): CniError | unknown {
  return blames ? blame(error, plugin, "add") : error;
}
