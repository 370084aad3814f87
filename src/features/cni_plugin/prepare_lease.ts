/** What ADD of a plugin whose addresses are known, or asked for, comes to. */
import type { Lease, LinkIpam } from "../../drivers/plugin.ts";
import { table } from "../../drivers/table.ts";
import type { ParsedIpam } from "../../engine/chain.ts";
import { findPlugin } from "../../engine/external_plugin.ts";
import { undoClaim } from "../../engine/undo.ts";
import { addressOf, family } from "../../net/address.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Step } from "../../plan/step.ts";
import { CniError } from "../../wire/cni/error.ts";
import { atLeast, emptyResult, parseResult, type Result } from "../../wire/cni/result.ts";
import { abandon, carryOut, giveWay, orAbandon, type Prepared, stepsToKeep } from "./prepared.ts";
import { askingDirectory, callExternalPart, checkNamespace, type Context, externalPart } from "./call.ts";
import { setLaterMac, withLaterMac } from "./later_mac.ts";

/** Plans an ADD of an IPAM plugin that is called by itself. */
export async function prepareLease(context: Context): Promise<Prepared> {
  const { call, conf } = context;
  const row = table[call.type]!;
  if (row.role !== "ipam") throw new Error(`"${call.type}" gives no addresses`);
  const ipam: ParsedIpam = { plugin: row.plugin, conf: row.plugin.parse(conf) };
  const held = row.plugin.kind === "local" && row.plugin.held?.(ipam.conf, context.at, context.world);
  if (held) throw new CniError("internal", held);
  return await prepareAddressed(
    context,
    ipam,
    { steps: [], result: emptyResult },
    ({ ips, routes, dns }) => ({
      steps: [],
      result: { ...emptyResult, ips, routes, dns },
    }),
  );
}

type Addressed = (lease: Lease) => { readonly steps: readonly Step[]; readonly result: Result };

/** Plans an ADD with the addresses that an IPAM plugin gives, now or once the link is there. */
export async function prepareAddressed(
  context: Context,
  { plugin, conf }: ParsedIpam,
  link: Plan,
  addressed: Addressed,
): Promise<Prepared> {
  const { world, at } = context;
  if (plugin.kind === "link") {
    return await prepareAsked(context, link, ownClient(context, plugin, conf), addressed);
  }
  await plugin.prepare?.(conf, at, world);
  const lease = await plugin.lease(conf, at, world);
  try {
    checkFamilies(lease, context.call.version);
    const { steps, result } = addressed(lease);
    const { giveUp } = lease;
    return {
      ...{ context, steps: [...lease.claims, ...lease.steps ?? [], ...link.steps, ...steps], result },
      ...(giveUp ? { giveUp } : {}),
    };
  } catch (error) {
    lease.claims.forEach((claim) => undoClaim(world, claim));
    lease.giveUp?.();
    throw error;
  }
}

/** In the reference's words (host-local's allocator/config.go). @throws CniError also for an address that is given twice */
export function checkFamilies({ ips }: Lease, version: string): void {
  const all = ips.map(({ address }) => addressOf(address));
  const twice = all.find((address, i) => all.indexOf(address) < i);
  if (twice !== undefined) {
    throw new CniError("invalidConfig", `Cannot use address ${twice}: it is given twice`);
  }
  const several = [4, 6].some((of) => ips.filter(({ address }) => family(address) === of).length > 1);
  if (!several || atLeast(version, "0.3.0")) return;
  throw new CniError(
    "internal",
    `CNI version ${version} does not support more than 1 address per family`,
  );
}

/** A server that is asked for addresses through the link. */
interface Asked {
  /** What has to be done to ask, once the link is there; undoing it gives back what was given. */
  readonly steps: readonly Step[];
  answer(): Promise<Lease>;
}

/** @throws CniError for one that is not there, before anything is made */
export function externalPlugin(context: Context): Asked {
  findPlugin(context.world, externalPart(context)!, context.call.environment.path);
  return {
    steps: [],
    answer: async () => {
      const answer = await callExternalPart(context, "ADD");
      const { ips, routes, dns } = parseResult(answer, context.call.version);
      return { ips, routes, dns, claims: [] };
    },
  };
}

/** @throws CniError code 50 when no server can be asked at all */
function ownClient(context: Context, plugin: LinkIpam<unknown>, conf: unknown): Asked {
  const { world, at } = context;
  const [directory, reason] = [askingDirectory(context), plugin.exhausted(conf, at, world)];
  if (reason !== undefined) throw new CniError("unavailable", reason);
  checkNamespace(context);
  return {
    steps: plugin.requestSteps(conf, at, directory),
    answer: async () => plugin.readLease(conf, at, await world.run(plugin.readCommand(directory))),
  };
}

/** Plans an ADD whose addresses are asked for through the link, once that is there. */
export async function prepareAsked(
  context: Context,
  link: Plan,
  asked: Asked,
  addressed: Addressed,
): Promise<Prepared> {
  const done = [...link.steps, ...setLaterMac(context, link.result), ...asked.steps];
  const linked: Prepared = { context, steps: done, result: emptyResult };
  await orAbandon([linked], () => carryOut([linked]));
  try {
    const { steps, result } = addressed(await asked.answer());
    return { context, done, steps, result: withLaterMac(context, result) };
  } catch (error) {
    await abandon({ context, done, steps: [], result: emptyResult });
    throw error;
  }
}

/** Has another plugin do all of it; the file that DEL will need is there before that. */
export async function prepareDelegate(context: Context): Promise<Prepared> {
  await giveWay(context);
  checkNamespace(context);
  const first: Prepared = { context, done: [], steps: stepsToKeep(context), result: emptyResult };
  return await orAbandon([first], async () => {
    await carryOut([first]);
    const result = parseResult(await callExternalPart(context, "ADD") ?? {}, context.call.version);
    return { context, done: first.steps, steps: [], result };
  });
}
