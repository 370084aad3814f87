import { emptyResult } from "../../wire/cni/result.ts";
import { identifierProblem, linkNameProblem, vethFrom } from "../../net/names.ts";
import { CniError } from "../../wire/cni/error.ts";
import { removeLinkAtUndo } from "../../plan/ip.ts";
import { resourceKey } from "../../plan/resource.ts";
import type { Step } from "../../plan/step.ts";
import type { Ipam } from "../../drivers/plugin.ts";
import { hostLinks } from "../../wire/cni/previous_result.ts";
import { namedIfb } from "../../drivers/meta/bandwidth.ts";
import { table } from "../../drivers/table.ts";
import type { Parsed, ParsedIpam } from "../../engine/chain.ts";
import { withOthersValues } from "./shared_sysctls.ts";
import { hasBootEnded, isHostGone, isThere } from "../../engine/namespace.ts";
import { releaseClaims } from "./address_claims.ts";
import {
  accepted,
  askingDirectory,
  callExternalPart,
  type Context,
  contextOf,
  externalPart,
  ipamOf,
  lock,
  lookFor,
  outsideOthers,
  parse,
  prefixesFor,
  previousResult,
} from "./call.ts";
import {
  allPluginKeys,
  hasRecord,
  isAttachedByOther,
  otherRecords,
  pluginKeys,
  type PluginRecord,
  readPlugin,
  recordFile,
  type RecordKey,
  removeRecord,
} from "../../engine/record.ts";
import { isPluginType } from "../../wire/cni/network_list.ts";
import { planAgain } from "./plan_again.ts";
import { waitForAll } from "../../engine/locks.ts";
import { failOverPorts } from "./port_failover.ts";
import { ownNamespace } from "../../engine/process.ts";
import { rememberedResult } from "./remembered_result.ts";
import { removeLeftovers } from "./reference_leftovers.ts";
import { linkExists } from "../../engine/links.ts";
import { ownedRules } from "../../engine/owned_rules.ts";
import { isRoot } from "../../engine/user.ts";
import { undoRecords } from "../../engine/reconcile.ts";
import { undoAll } from "../../engine/rollback.ts";
import { undoClaim } from "../../engine/undo.ts";

/**
 * DEL: takes away what ADD made, from what is written down of it, or else from what the configuration would make.
 * What is gone already is fine, the namespace too.
 * @throws Error when something resisted, after all else has been done
 */
export async function del(context: Context): Promise<void> {
  const { world, state, key, delegation } = context;
  if (delegation?.unknown) return;
  const unlock = await lock(context);
  try {
    // If that fails, what is written down of it is all that another try has.
    const external = accepted(() => externalPart(context));
    if (delegation?.external) await callExternalPart(context, "DEL");
    const problems: unknown[] = [];
    const attempt = (action: () => Promise<unknown>) => action().catch((error) => void problems.push(error));
    if (!delegation?.external && external !== undefined && isPluginType(external)) {
      await attempt(() => callExternalPart(context, "DEL"));
    }
    const record = readPlugin(world, state, key) ?? recordBeforeRenaming(context);
    await attempt(() => record ? rollBack(context, record) : delUnrecorded(outsideOthers(context)));
    if (!record && !delegation?.external) await attempt(() => removeLeftovers(context));
    if (delegation?.kept && problems.length === 0) undoClaim(world, delegation.kept);
    if (problems.length > 0) throw problems[0];
  } finally {
    unlock();
  }
}

/**
 * DEL of neighbours in a chain at once, as far as all there is to it is to undo what is written down: it takes as many
 * processes for all as for one. What resists is left to `del`, which says what it was.
 * @returns the types that are gone
 */
export async function delTogether(contextsOf: () => Promise<readonly Context[]>): Promise<readonly string[]> {
  try {
    // A type that a chain has twice has one record, and one lock.
    const all = (await contextsOf()).map((context) =>
      [recordFile(context.state, context.key), context] as const
    );
    const contexts = [...new Map(all).values()];
    const release = await waitForAll(contexts.map(lock));
    try {
      const own = contexts.filter((context) => externalPart(context) === undefined && !context.delegation);
      // What cannot be read is undone by what the others tell, which has to be before those are gone.
      if (own.some(isDamaged)) return [];
      const records = own.flatMap((context) =>
        readPlugin(context.world, context.state, context.key) ?? recordBeforeRenaming(context) ?? []
      );
      await rollBackTogether(contexts[0]!, records);
      return records.map(({ part }) => part);
    } finally {
      release();
    }
  } catch {
    return [];
  }
}

function isDamaged({ world, state, key }: Context): boolean {
  return hasRecord(world, state, key) && readPlugin(world, state, key) === undefined;
}

/** What an ADD did for the same interface by the same configuration, when its network had another name. */
function recordBeforeRenaming({ world, state, key, call }: Context): PluginRecord | undefined {
  const own = apartFromName(call.request);
  return otherRecords(world, state, key).find(({ ifname, request }) =>
    ifname === key.ifname && apartFromName(request) === own
  );
}

function apartFromName(request: Readonly<Record<string, unknown>>): string {
  const isOfCall = (key: string) => /^(name|prevResult|runtimeConfig|cni\.dev\/.*)$/i.test(key);
  return JSON.stringify(Object.entries(request).filter(([key]) => !isOfCall(key)).sort());
}

async function rollBackTogether(context: Context, records: readonly PluginRecord[]): Promise<void> {
  const [first, ...others] = records;
  const alike = ({ host, bootId, container }: PluginRecord) =>
    host === first!.host && bootId === first!.bootId && container.identity === first!.container.identity;
  if (!first || !others.every(alike)) throw new Error("they are not of one kind");
  await rollBack(context, first, ...others);
}

/** Undoes records that are alike and removes them; what resists is left recorded, for another try. */
export async function rollBack(
  context: Context,
  first: PluginRecord,
  ...others: readonly PluginRecord[]
): Promise<void> {
  const { container } = context;
  // The namespace may be known by another path by now.
  const now = container.identity === first.container.identity ? container : first.container;
  const records = [first, ...others].map((record) => ({
    ...record,
    container: now,
    steps: withOthersValues(context, record),
  }));
  await undoRecords(context, records.map((from) => ({ from })), whatOf(first));
  for (const record of records) await failOverPorts({ ...context, key: record }, record);
}

function whatOf({ part, ifname, id, network }: RecordKey): string {
  return `${part}'s "${ifname}" of container "${id}" on network "${network}"`;
}

/** Another program's ADD, or one whose record is lost: the same plan again, only to be undone. */
async function delUnrecorded(context: Context): Promise<void> {
  const { world, state, call, key, delegation } = context;
  const row = table[call.type];
  if (row?.role === "ipam") await releaseAlone(context, row.plugin);
  else if (!delegation?.external) {
    const parsed = accepted(() => parse(context));
    if (!parsed || parsed.role === "main") await releaseOfMain(context, parsed?.ipam);
    const steps = parsed ? await plannedAgain(context, parsed) : deleteLink(context);
    const rules = await rulesOf(context);
    const isRule = ({ id }: Step) => rules.some((rule) => resourceKey(rule.id) === resourceKey(id));
    const all = [...rules, ...steps.filter((step) => !isRule(step))];
    await undoAll(world, prefixesFor(context), all, whatOf(key));
    if (parsed?.role === "main") releaseClaims(context);
  }
  removeRecord(world, state, key);
}

/** Rules say whose they are: those of all plugins for the interface go with its link, where nothing tells its addresses. */
async function rulesOf(context: Context): Promise<readonly Step[]> {
  const { world, state, key, call, at } = context;
  const known = accepted(() => previousResult(context)) ?? rememberedResult(context);
  if (known || table[call.type]?.role !== "main" || !isRoot(world)) return [];
  const more = pluginKeys(world, state, key.id).some(({ ifname }) => ifname !== key.ifname);
  return await ownedRules(world, key.id, [vethFrom(at.digest)], more || "alone");
}

/** @param parsed the IPAM type's part, where the rest of the configuration can be used as well */
async function releaseOfMain(context: Context, parsed: ParsedIpam | undefined): Promise<void> {
  if (parsed) return await release(context, parsed);
  const plugin = accepted(() => externalPart(context) === undefined ? ipamOf(context) : undefined);
  if (plugin) await releaseAlone(context, plugin).catch(() => {});
}

/** A type that holds nothing need not understand its configuration. */
async function releaseAlone(context: Context, plugin: Ipam<unknown>): Promise<void> {
  if (plugin.kind === "link" || plugin.release) {
    await release(context, { plugin, conf: plugin.parse(context.conf) });
  }
}

/** Gives back the addresses that an attachment may hold, without knowing which. */
async function release(context: Context, { plugin, conf }: ParsedIpam): Promise<void> {
  const { world, at, key } = context;
  if (plugin.kind === "local") return plugin.release?.(conf, at, world);
  const steps = plugin.requestSteps(conf, at, askingDirectory(context));
  await undoAll(world, prefixesFor(context), steps, whatOf(key));
}

/** What ADD would do now, and what it certainly has made: a link of this name in the container. */
async function plannedAgain(context: Context, parsed: Parsed): Promise<readonly Step[]> {
  const { world, at } = context;
  if (parsed.role === "main" && parsed.plugin.unrecorded) {
    return parsed.plugin.unrecorded(at, parsed.conf);
  }
  const before = accepted(() => previousResult(context)) ?? rememberedResult(context) ?? emptyResult;
  if (parsed.role === "meta" && parsed.plugin.unrecorded) {
    return parsed.plugin.unrecorded(parsed.conf, at, before, await lookFor(context, parsed, before));
  }
  const link = deleteLink(context);
  try {
    const { steps } = await planAgain(context, parsed, before);
    // Rules name addresses and ports, which are another's by now unless this one is still there. The ifb link goes with
    // bandwidth's own DEL, which comes before that of other types.
    const links = hostLinks(before).filter((name) => name !== namedIfb(before));
    const still = links.length > 0 && links.every((name) => linkExists(world, name));
    const veth = vethFrom(at.digest);
    const own = ({ tool, id }: Step) => !["nft", "exec"].includes(tool) || resourceKey(id).includes(veth);
    return [...still ? steps : steps.filter(own), ...link];
  } catch {
    // Where ADD would refuse, it has not made anything else either.
    return link;
  }
}

/** Whichever program made the container's link, it has this name; unless another network's ADD made it, and this one's failed. */
function deleteLink({ world, state, key, call, at: { ifname } }: Context): readonly Step[] {
  const row = table[call.type];
  if (row?.role !== "main" || row.plugin.keepsLink === true) return [];
  if (isAttachedByOther(world, state, key)) return [];
  return [removeLinkAtUndo("container", ifname)];
}

/** GC: takes away all of this type on the network that no attachment of the list has; goes on after errors. */
export async function collectGarbage(context: Context): Promise<void> {
  const { world, state, key } = context;
  const valid = validAttachments(context);
  const problems: unknown[] = [];
  const attempt = (action: () => Promise<unknown>) => action().catch((error) => void problems.push(error));
  const ofThis = ({ part, network }: RecordKey) => part === key.part && network === key.network;
  for (const stale of allPluginKeys(world, state).filter(ofThis)) {
    if (!valid.has(`${stale.id} ${stale.ifname}`)) await attempt(() => collect(context, stale));
  }
  await attempt(() => Promise.resolve(collectLeases(context, valid)));
  if (externalPart(context) !== undefined) await attempt(() => callExternalPart(context, "GC"));
  if (problems.length > 0) throw problems[0];
}

/**
 * The attachments of the list, each as `containerID ifname`. Without a list, or with null, none is valid: libcni calls so
 * when it is told of none. An entry that names nothing is a mistake, by which every container would go.
 * @throws CniError code 7, before anything is taken away
 */
function validAttachments({ conf }: Context): ReadonlySet<string> {
  const key = "cni.dev/valid-attachments";
  const listed = conf.objects(key) ?? conf.objects("cni.dev/attachments");
  return new Set((listed ?? []).map((one, i) => {
    const [id, ifname] = [one.string("containerID") ?? "", one.string("ifname") ?? ""];
    const problem = identifierProblem(id) ?? linkNameProblem(ifname);
    if (problem === undefined) return `${id} ${ifname}`;
    throw new CniError(
      "invalidConfig",
      `Cannot collect garbage: entry ${i + 1} of "${key}" names no attachment: ${problem}`,
    );
  }));
}

/** What is another network namespace's is left to the processes in there. */
async function collect({ world, state, call, delegation }: Context, key: RecordKey): Promise<void> {
  const record = readPlugin(world, state, key);
  if (
    record && !hasBootEnded(world, record) && record.host !== ownNamespace(world) &&
    !isHostGone(world, record)
  ) {
    return;
  }
  const { id: containerId, ifname } = key;
  const netns = record && isThere(world, record.container) ? record.container.netns : "";
  const environment = { ...call.environment, containerId, ifname, netns };
  const request = record?.request ?? call.request;
  const context = await contextOf(world, state, { ...call, environment, request });
  await del({ ...context, ...(delegation ? { delegation } : {}) });
}

function collectLeases({ world, conf, call, at }: Context, valid: ReadonlySet<string>): void {
  const type = table[call.type]?.role === "ipam" ? call.type : conf.object("ipam")?.string("type");
  const row = type === undefined ? undefined : table[type];
  if (row?.role !== "ipam" || row.plugin.kind === "link") return;
  row.plugin.collect?.(row.plugin.parse(conf), at, valid, world);
}
