import { table } from "../../drivers/table.ts";
import { RollbackError, StepError } from "../../engine/step_error.ts";
import type { Change } from "../../engine/reconcile.ts";
import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { emptyResult, parseResult, type Result } from "../../wire/cni/result.ts";
import { prepare } from "../cni_plugin/add.ts";
import { abandon, perform, type Prepared } from "../cni_plugin/prepared.ts";
import { explainSharedLink } from "../cni_plugin/shared_link.ts";
import { asksThroughLink, checkVersion } from "../cni_plugin/call.ts";
import { blame, callTheirs, ownContext, type PluginStep, runsHere, type RuntimeCall } from "./call.ts";

/** One of our plugins with its plan. */
interface Planned {
  readonly plugin: PluginConf;
  readonly prepared: Prepared;
}

/**
 * The plans of plugins of one or more networks, to be done together. Each plugin plans on the state that the plugins
 * before it will have made. The plans are done earlier (flushed) if another program must be asked: a DHCP server, or a
 * plugin that is not ours.
 */
export interface Fold {
  readonly world: World;
  readonly state: string;
  /** The plans that are not done yet. */
  planned: readonly Planned[];
}

/** How to add a network to the fold. */
export interface Folding {
  /** Collects the plugins for which DEL must be called if a later one fails. */
  readonly begun: PluginConf[];
  /** Whether errors name the plugin that failed. */
  readonly blames: boolean;
  /** Changes the planned steps of a plugin. */
  adjust?(steps: readonly Step[]): readonly Step[];
}

/** An empty fold. */
export function newFold(world: World, state: string): Fold {
  return { world, state, planned: [] };
}

/**
 * Plans the plugins of a network, and flushes where necessary.
 * @returns the result once the fold is flushed
 * @throws Error, or CniError naming the plugin that failed; then all plans are dropped
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
  // A later plugin may need to record the original state of a link that it did not make.
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

/** Runs an action. If it fails, all plans are dropped. */
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
 * Does what is planned, together with other changes of records.
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
    const { plugin, prepared } = failed ?? planned.at(-1)!;
    throw blamed(folding.blames ? explainSharedLink(prepared.context, error) : error, plugin, folding);
  }
}

function blamed(error: unknown, plugin: PluginConf, { blames }: Folding): unknown {
  return blames ? blame(error, plugin, "add") : error;
}
