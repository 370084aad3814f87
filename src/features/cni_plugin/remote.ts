/** Types that have another program, a plugin of Docker's, give addresses or make the link. */
import { CniError, messageOf } from "../../wire/cni/error.ts";
import { emptyResult } from "../../wire/cni/result.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Lease } from "../../drivers/plugin.ts";
import { type Parsed, together } from "../../engine/chain.ts";
import { observe } from "../../engine/observe.ts";
import { abandon, carryOut, orAbandon, type Prepared } from "./prepared.ts";
import { checkFamilies } from "./prepare_lease.ts";
import type { Context } from "./call.ts";

/** A type that makes interfaces, with its configuration. */
export type ParsedMain = Parsed & { readonly role: "main" };

/** Asks other programs for addresses or for the link. What takes it back is recorded before it is used. */
export async function prepareRemote(
  context: Context,
  parsed: ParsedMain,
  link: Plan,
  seen: HostState,
): Promise<Prepared> {
  const { at } = context;
  const { plugin, conf } = parsed;
  const lease = await takeLease(context, parsed);
  const done = [...lease.claims, ...lease.steps ?? [], ...plugin.askSteps?.(conf, at) ?? []];
  await orAbandon(
    [{ context, steps: lease.claims, result: emptyResult, ...giveUpOf(lease) }],
    () => carryOut([{ context, steps: done, result: emptyResult }]),
  );
  try {
    checkFamilies(lease, context.call.version);
    const state = await askForLink(context, parsed, lease, seen);
    const { steps, result } = plugin.address(conf, at, lease, link.result, state);
    return { context, done, steps: [...link.steps, ...steps], result };
  } catch (error) {
    await abandon({ context, done, steps: [], result: emptyResult });
    throw error instanceof CniError ? error : new CniError("internal", messageOf(error));
  }
}

function giveUpOf({ giveUp }: Lease): Pick<Prepared, "giveUp"> {
  return giveUp ? { giveUp } : {};
}

/** The addresses, if the type has IPAM. */
async function takeLease({ world, at }: Context, { ipam }: ParsedMain): Promise<Lease> {
  if (ipam === undefined || ipam.plugin.kind === "link") return { ips: [], routes: [], dns: {}, claims: [] };
  await ipam.plugin.prepare?.(ipam.conf, at, world);
  return await ipam.plugin.lease(ipam.conf, at, world);
}

/** Asks another program for the link. @returns the host's state, with the program's answers and what is looked up because of them */
async function askForLink(
  { world, at }: Context,
  { plugin, conf }: ParsedMain,
  lease: Lease,
  seen: HostState,
): Promise<HostState> {
  if (!plugin.ask) return seen;
  const answers = await plugin.ask(conf, at, lease, world);
  const found = await observe(world, together([plugin.answerLookups?.(conf, at, answers) ?? {}]), undefined);
  return {
    ...seen,
    links: new Map([...seen.links, ...found.links]),
    answers: new Map([...seen.answers ?? [], ...answers]),
  };
}
