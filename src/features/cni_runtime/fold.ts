import { table } from "../../drivers/table.ts";
import { RollbackError, StepError } from "../../engine/apply.ts";
import type { Change } from "../../engine/reconcile.ts";
import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
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
}

/** How a network is folded. */
export interface Folding {
  /** It is filled with the plugins that DEL has to be called for when a later one fails. */
  readonly begun: PluginConf[];
  /** An error names the plugin that it came from. */
  readonly blames: boolean;
  /** Makes of the steps of one plugin those that are wanted. */
  adjust?(steps: readonly Step[]): readonly Step[];
}

/** A fold with nothing in it. */
export function newFold(world: World, state: string): Fold {
  return { world, state, planned: [] };
}

/**
 * Plans the plugins of a network, and does what has to be done for that.
 * @returns what will be true once the fold is flushed
 * @throws Error, or CniError naming the plugin that failed; then nothing is planned any more
 */
export async function foldNetwork(fold: Fold, call: RuntimeCall, folding: Folding): Promise<Result> {
  let result: Result | undefined;
  for (const plugin of call.list.plugins) {
    const step: PluginStep = { plugin, command: "ADD", ...(result ? { before: result } : {}) };
    result = runsHere(fold.world, call, plugin)
      ? await foldOurs(fold, call, step, folding)
      : await foldTheirs(fold, call, step, folding);
  }
  return result ?? emptyResult;
}

async function foldOurs(
  fold: Fold,
  call: RuntimeCall,
  step: PluginStep,
  folding: Folding,
): Promise<Result> {
  const { world, state } = fold;
  const { plugin, before } = step;
  const [context, asks] = await orGiveUp(fold, plugin, folding, async () => {
    checkVersion(plugin.type, call.list.cniVersion);
    const context = await ownContext(world, state, call, step);
    return [context, asksThroughLink(context)] as const;
  });
  // Who comes next may have to write down how a link is that they did not make.
  if (asks || fold.planned.some(({ plugin }) => keepsLink(plugin))) await flush(fold, folding);
  const steps = fold.planned.flatMap(({ prepared }) => prepared.steps);
  const prepared = await orGiveUp(fold, plugin, folding, () => prepare(context, before, steps));
  const wanted = folding.adjust?.(prepared.steps) ?? prepared.steps;
  fold.planned = [...fold.planned, { plugin, prepared: { ...prepared, steps: wanted } }];
  return prepared.result;
}

async function foldTheirs(
  fold: Fold,
  call: RuntimeCall,
  step: PluginStep,
  folding: Folding,
): Promise<Result> {
  await flush(fold, folding);
  folding.begun.push(step.plugin);
  try {
    const answer = await callTheirs(fold.world, call, step);
    return answer === null ? emptyResult : parseResult(answer, call.list.cniVersion);
  } catch (error) {
    throw blamed(error, step.plugin, folding);
  }
}

function keepsLink({ type }: PluginConf): boolean {
  const row = table[type];
  return row?.role === "main" && row.plugin.keepsLink === true;
}

/** What fails gives up all that is planned. */
async function orGiveUp<T>(
  fold: Fold,
  plugin: PluginConf,
  folding: Folding,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    for (const { prepared } of [...fold.planned].reverse()) await abandon(prepared);
    fold.planned = [];
    throw blamed(error, plugin, folding);
  }
}

/**
 * Does what is planned, with other changes of records, all at once.
 * @throws Error, or CniError naming the plugin whose step failed
 */
export async function flush(fold: Fold, folding: Folding, others: readonly Change[] = []): Promise<void> {
  const { planned } = fold;
  fold.planned = [];
  try {
    await perform(planned.map(({ prepared }) => prepared), others);
    folding.begun.push(...planned.map(({ plugin }) => plugin));
  } catch (error) {
    const first = error instanceof RollbackError ? error.first : error;
    const failed = planned.find(({ prepared: { steps } }) =>
      first instanceof StepError && steps.includes(first.step)
    );
    throw blamed(error, (failed ?? planned.at(-1)!).plugin, folding);
  }
}

function blamed(error: unknown, plugin: PluginConf, { blames }: Folding): unknown {
  return blames ? blame(error, plugin, "add") : error;
}
