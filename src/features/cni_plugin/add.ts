import { checkArgs } from "../../wire/cni/args.ts";
import { CniError } from "../../wire/cni/error.ts";
import { atLeast, emptyResult, parseResult, type Result, resultFor } from "../../wire/cni/result.ts";
import { family } from "../../net/address.ts";
import type { Prefixes } from "../../plan/batch.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Claim, Step } from "../../plan/step.ts";
import type { Lease, LinkIpam } from "../../drivers/plugin.ts";
import { readsArgs, table } from "../../drivers/table.ts";
import { RollbackError } from "../../engine/apply.ts";
import { type ParsedIpam, planMeta, stateAfter } from "../../engine/chain.ts";
import { withFirstValues } from "./shared_sysctls.ts";
import { hasBootEnded, isThere } from "../../engine/namespace.ts";
import { linkExists } from "../../engine/links.ts";
import { vethsOf } from "../../plan/ip.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { findPlugin, typesOf } from "../../engine/external_plugin.ts";
import {
  askingDirectory,
  asksAnother,
  callExternalPart,
  checkNamespace,
  type Context,
  externalPart,
  lock,
  lookFor,
  parse,
  prefixesFor,
  previousResult,
} from "./call.ts";
import { rollBack } from "./del.ts";
import { prepareRemote } from "./remote.ts";
import { type Namespace, newRecord, type PluginRecord, readPlugin } from "../../engine/record.ts";
import { type Change, reconcile } from "../../engine/reconcile.ts";
import { waitForAll } from "../../engine/locks.ts";
import { setLaterMac, withLaterMac } from "./later_mac.ts";
import { deferTakenPorts } from "./port_failover.ts";
import { undoClaim } from "../../engine/undo.ts";

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
  } finally {
    release();
  }
}

/** An ADD that has been planned, and for which addresses have been taken. */
export interface Prepared {
  readonly context: Context;
  /** What had to be done already, so that a server or another program could be asked. */
  readonly done?: readonly Step[];
  readonly steps: readonly Step[];
  /** What is only recorded: it is done when another of the container's networks has gone. */
  readonly waiting?: readonly Step[];
  readonly result: Result;
  /** Takes back what taking addresses changed beside the claims. */
  readonly giveUp?: () => void;
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

/** What is in the way is of an attachment that is over, or one that has a record. */
function stepsToKeep({ world, delegation }: Context): readonly Step[] {
  const kept = delegation?.kept;
  if (kept === undefined) return [];
  if (readUndamagedFile(world, kept.path)?.trim() !== kept.owner) world.remove(kept.path);
  return [kept];
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
    return { context, ...planMeta(parsed, at, before, stateAfter(seen, planned)) };
  }
  const link = parsed.plugin.link(parsed.conf, at, seen, before);
  const addressed = (lease: Lease) => parsed.plugin.address(parsed.conf, at, lease, link.result, seen);
  if (asksAnother(parsed.plugin, parsed.ipam?.plugin)) {
    return await prepareRemote(context, parsed, link, seen);
  }
  if (parsed.externalIpam !== undefined) {
    return await prepareAsked(context, link, externalPlugin(context), addressed);
  }
  return parsed.ipam ? await prepareAddressed(context, parsed.ipam, link, addressed) : { context, ...link };
}

/** A record of what no longer exists makes way; one of what does is a reason to refuse. */
async function giveWay(context: Context): Promise<void> {
  const { world, state, key, container } = context;
  const old = readPlugin(world, state, key);
  if (!old) return;
  if (isSame(world, old, container)) {
    throw new CniError(
      "internal",
      `Cannot attach "${key.ifname}" of container "${key.id}" to network "${key.network}": ` +
        `it is attached by ${key.part} already; DEL comes first`,
    );
  }
  await rollBack(context, old);
}

/** A namespace's number may be another's by now: the kernel gives it again. The link tells, which went with the first. */
function isSame(world: World, old: PluginRecord, container: Namespace): boolean {
  const { identity, netns } = old.container;
  if (identity !== container.identity || netns !== container.netns || hasBootEnded(world, old)) return false;
  return isThere(world, container) && vethsOf(old.steps).every((name) => linkExists(world, name));
}

async function prepareLease(context: Context): Promise<Prepared> {
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

async function prepareAddressed(
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

/** In the reference's words (host-local's allocator/config.go). */
export function checkFamilies({ ips }: Lease, version: string): void {
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
function externalPlugin(context: Context): Asked {
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

async function prepareAsked(
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
async function prepareDelegate(context: Context): Promise<Prepared> {
  await giveWay(context);
  checkNamespace(context);
  const first: Prepared = { context, done: [], steps: stepsToKeep(context), result: emptyResult };
  return await orAbandon([first], async () => {
    await carryOut([first]);
    const result = parseResult(await callExternalPart(context, "ADD") ?? {}, context.call.version);
    return { context, done: first.steps, steps: [], result };
  });
}

/**
 * Does what was prepared, and makes other changes of records, all at once; or nothing of it stays.
 * @throws CniError, StepError, RollbackError
 */
export async function perform(all: readonly Prepared[], others: readonly Change[] = []): Promise<void> {
  await orAbandon(all, async () => {
    // What could not be told in the version that was asked for is not done.
    all.forEach(({ context, result }) => resultFor(context.call.version, result));
    await carryOut(all, others);
  });
}

/** Runs an action. If it fails, what was prepared is given up. */
export async function orAbandon<T>(all: readonly Prepared[], action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    // What could not be undone now is left, with what is recorded of it, to DEL.
    if (!(error instanceof RollbackError)) { for (const one of [...all].reverse()) await abandon(one); }
    throw error;
  }
}

/** Does what was prepared, with its records. */
export async function carryOut(all: readonly Prepared[], others: readonly Change[] = []): Promise<void> {
  const [first] = all;
  if (!first) return;
  await reconcile(
    first.context,
    [...all.flatMap(changeOf), ...others],
    prefixesFor(first.context) as Prefixes,
  );
}

function changeOf({ context, done, steps, waiting = [], result }: Prepared): readonly Change[] {
  const all = [...done ?? [], ...steps];
  if (all.length + waiting.length === 0) return [];
  const to = recordOf(context, all, { result, ...(waiting.length > 0 ? { waiting } : {}) });
  return [done && done.length > 0 ? { from: recordOf(context, done), to } : { to }];
}

function recordOf(
  { world, key, container, entered, call: { request } }: Context,
  steps: readonly Step[],
  more: Partial<Pick<PluginRecord, "waiting" | "result">> = {},
): PluginRecord {
  return newRecord<PluginRecord>(world, {
    ...{ ...key, container: entered?.recorded ?? container, request, steps, ...more },
  });
}

/**
 * Gives up an ADD that is not, or no longer, done: what it had to do beforehand, and the addresses it took. What resists
 * is left, with what is recorded of it, to DEL.
 */
export async function abandon({ context, done = [], steps, giveUp }: Prepared): Promise<void> {
  const { world } = context;
  if (done.length > 0 && externalPart(context) !== undefined) {
    await callExternalPart(context, "DEL").catch(() => {});
  }
  steps.filter((step): step is Claim => step.tool === "claim").forEach((claim) => undoClaim(world, claim));
  giveUp?.();
  if (done.length > 0) await reconcile(context, [{ from: recordOf(context, done) }]).catch(() => {});
}
