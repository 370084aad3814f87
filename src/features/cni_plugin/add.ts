import type { Lease } from "../../drivers/plugin.ts";
import { readsArgs, table } from "../../drivers/table.ts";
import { planMeta, stateAfter } from "../../engine/chain.ts";
import { typesOf } from "../../engine/external_plugin.ts";
import { waitForAll } from "../../engine/locks.ts";
import { isRenaming } from "../../plan/ip.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Step } from "../../plan/step.ts";
import { checkArgs } from "../../wire/cni/args.ts";
import type { Result } from "../../wire/cni/result.ts";
import { addressClaims, macClaims } from "./address_claims.ts";
import { asksAnother, checkNamespace, type Context, lock, lookFor, parse, previousResult } from "./call.ts";
import { deferTakenPorts } from "./port_failover.ts";
import {
  externalPlugin,
  prepareAddressed,
  prepareAsked,
  prepareDelegate,
  prepareLease,
} from "./prepare_lease.ts";
import { giveWay, perform, type Prepared, stepsToKeep } from "./prepared.ts";
import { prepareRemote } from "./remote.ts";
import { explainAbsent, explainSharedLink, refuseRenaming } from "./shared_link.ts";
import { withFirstValues } from "./shared_sysctls.ts";

/**
 * ADD: makes what the plugin is for, or nothing at all.
 * @throws CniError with the code that the specification, or the reference plugin, has for it
 */
export async function add(context: Context): Promise<Result> {
  // No process takes away what containers share while we share the lock on the directory.
  const release = await waitForAll([context.world.share(context.state), lock(context)]);
  try {
    const prepared = await prepare(context, previousResult(context));
    await perform([prepared]);
    return prepared.result;
  } catch (error) {
    throw explainSharedLink(context, error);
  } finally {
    release();
  }
}

/**
 * Plans an ADD on what the plugins before it made, or will have made by what is `planned`.
 * @throws CniError; then no address is taken, and nothing done
 */
export async function prepare(
  context: Context,
  before: Result | undefined,
  planned: readonly Step[] = [],
): Promise<Prepared> {
  const { delegation } = context;
  if (delegation?.external) return await prepareDelegate(context);
  const prepared = await prepareOwn(context, before, planned);
  const { steps, waiting } = deferTakenPorts(context, withFirstValues(context, prepared.steps));
  return { ...prepared, steps: [...stepsToKeep(context), ...steps], waiting };
}

async function prepareOwn(
  context: Context,
  before: Result | undefined,
  planned: readonly Step[],
): Promise<Prepared> {
  const { call, at } = context;
  if (typesOf({ ...call.request, type: call.type }).some(readsArgs)) checkArgs(call.environment.args);
  await giveWay(context);
  if (table[call.type]!.role === "ipam") return await prepareLease(context);
  checkNamespace(context);
  const parsed = parse(context);
  const seen = await lookFor(context, parsed, before);
  if (parsed.role === "meta") {
    const plan = planMeta(parsed, at, before, stateAfter(seen, planned));
    return { context, ...plan, steps: [...macClaims(context, parsed), ...plan.steps] };
  }
  let link: Plan;
  try {
    link = parsed.plugin.link(parsed.conf, at, seen, before);
    link = { ...link, steps: [...macClaims(context, parsed), ...link.steps] };
  } catch (error) {
    throw explainAbsent(context, error);
  }
  if (link.steps.some(isRenaming)) refuseRenaming(context, link.steps);
  const addressed = (lease: Lease) => {
    const { steps, result } = parsed.plugin.address(parsed.conf, at, lease, link.result, seen);
    return { steps: [...addressClaims(context, parsed, lease, seen, before), ...steps], result };
  };
  if (asksAnother(parsed.plugin, parsed.ipam?.plugin)) {
    return await prepareRemote(context, parsed, link, seen);
  }
  if (parsed.externalIpam !== undefined) {
    return await prepareAsked(context, link, externalPlugin(context), addressed);
  }
  return parsed.ipam ? await prepareAddressed(context, parsed.ipam, link, addressed) : { context, ...link };
}
