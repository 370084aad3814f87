import { lengthOf } from "../../net/address.ts";
import { vethFrom } from "../../net/names.ts";
import { route } from "../../plan/ip.ts";
import { linkOf } from "../../plan/resource.ts";
import type { Step } from "../../plan/step.ts";
import { removeAbandoned } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { alone, gatewayFor } from "../../drivers/main/layer3.ts";
import { attachmentOf } from "../../engine/attachment.ts";
import { parseChain, releaseAddresses } from "../../engine/chain.ts";
import { tryLockToRemove } from "../../engine/locks.ts";
import { livePrefixes, staleness } from "../../engine/namespace.ts";
import { type Change, reconcile, undoRecords } from "../../engine/reconcile.ts";
import {
  type Attached,
  type BaseRecord,
  type ContainerRecord,
  pluginKeys,
  readPlugin,
  readUndamaged,
  writeRecord,
} from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import type { Prefixes } from "../../plan/batch.ts";
import { delExternal } from "../cni_runtime/external_network.ts";
import { forgetNames, nameSteps, resolversOf } from "../networks/names.ts";
import { askResolvers } from "./asked_resolvers.ts";
import { movePorts } from "./lead_ports.ts";
import { believeAll, stepsOf } from "./links.ts";

/**
 * Takes the network off a container that is being connected to it or disconnected from it, for who has its lock: what was
 * begun is undone, and a default route moves to the next network. If only published ports were being moved, that is
 * done instead.
 * @returns what is recorded of the container now
 * @throws Error when something resisted; another try goes on
 */
export async function takeOffChanging(
  world: World,
  state: string,
  record: ContainerRecord,
): Promise<ContainerRecord> {
  // What comes after may not have been done.
  const { changing, before = record.steps.length, ...rest } = record;
  removeAbandoned(world, containerPaths(state, record.id).directory);
  const going = record.attachments.filter(({ ifname }) => ifname === changing);
  const plugins = going.flatMap((attached) => pluginRecords(world, state, record, attached));
  const steps = record.steps.slice(0, before).filter((step) =>
    !going.some((attached) => isOf(world, state, record, attached, step))
  );
  const left = { ...record, steps };
  await undoRecords(
    { world, state },
    [...plugins.map((from) => ({ from })), { from: record, to: left }],
    `interface "${changing}" of container "${record.id}"`,
  );
  for (const attached of going) await release(world, state, record, attached);
  const attachments = record.attachments.filter((attached) => !going.includes(attached));
  const remaining: ContainerRecord = { ...rest, steps, attachments };
  const { changing: __, ...settled } = await moveDefaults(world, state, {
    ...remaining,
    changing: changing!,
  });
  const done = writeRecord<ContainerRecord>(world, state, await leadAgain(world, state, changing!, settled));
  askResolvers(world, containerPaths(state, record.id).directory, resolversOf(done.attachments));
  await forgetNames(world, state, going, record.id);
  return done;
}

/** Where it was ports that were being moved, by a network or from it, they are led as the networks are now. */
async function leadAgain(
  world: World,
  state: string,
  changing: string,
  record: ContainerRecord,
): Promise<ContainerRecord> {
  if (changing !== "") return record;
  const { attachments: all } = record;
  const any = [all, ...all.map((one) => all.filter((other) => other !== one))];
  return await movePorts(world, state, { ...record, changing }, any, all, ({ changing: _, ...done }) => done);
}

/** The same for each of these containers over which a process was killed. @returns their ids */
export async function takeOffAbandoned(
  world: World,
  state: string,
  ids: readonly string[],
): Promise<readonly string[]> {
  const done: string[] = [];
  for (const id of ids) {
    if (readUndamaged(world, state, id)?.changing === undefined) continue;
    const paths = containerPaths(state, id);
    const unlock = await tryLockToRemove(world, paths.lock, paths.directory);
    if (!unlock) continue;
    try {
      const record = readUndamaged(world, state, id);
      if (record?.changing === undefined || staleness(world, record) !== undefined) continue;
      await takeOffChanging(world, state, record);
      done.push(id);
    } finally {
      unlock();
    }
  }
  return done;
}

/** What our plugins did for one interface. */
function pluginRecords(world: World, state: string, { id }: ContainerRecord, attached: Attached) {
  if (attached.path) return [];
  return pluginKeys(world, state, id)
    .filter(({ network, ifname }) => network === attached.network.name && ifname === attached.ifname)
    .flatMap((key) => readPlugin(world, state, key) ?? []);
}

/** Gives back addresses that no step names yet, where a connect was cut off, and has other programs do their part. */
async function release(
  world: World,
  state: string,
  record: ContainerRecord,
  attached: Attached,
): Promise<void> {
  if (attached.path) return await delExternal(world, state, record, attached);
  // A result is recorded after the steps that hold its addresses.
  if (attached.result) return;
  const chain = parseChain(attached.network.plugins, { dataDir: `${state}/networks` });
  releaseAddresses(chain, attachmentOf(attached, record.id, record.container), world);
}

/** Whether a step of a container's own record is there for one of its interfaces alone. */
function isOf(
  world: World,
  state: string,
  record: ContainerRecord,
  attached: Attached,
  step: Step,
): boolean {
  const { ifname, digest } = attached;
  const link = linkOf(step.id);
  const { id } = step;
  if (id.kind === "rule") {
    return attached.result?.ips.some(({ address }) => alone(address) === id.from) === true;
  }
  if (step.on === "container" && (link === ifname || link === `ifb-${ifname}`)) return true;
  const text = JSON.stringify(step);
  if (text.includes(vethFrom(digest)) || step.tool === "claim" && step.path.endsWith(` ${ifname}`)) {
    return true;
  }
  const others = record.attachments.filter((other) => other !== attached);
  const kept = new Set(
    [...believing(record, others), ...nameSteps(world, state, record, others)].map((one) =>
      JSON.stringify(one)
    ),
  );
  const at = attachmentOf(attached, record.id, record.container);
  const own = attached.result ? stepsOf(world, { attached, at }, attached.result, []) : [];
  const all = [
    ...own,
    ...believing(record, record.attachments),
    ...nameSteps(world, state, record, record.attachments),
  ];
  return !kept.has(text) && all.some((one) => JSON.stringify(one) === text);
}

/** By each interface a container may send with the addresses of the others. */
export function believing(
  { id, container }: ContainerRecord,
  attachments: readonly Attached[],
): readonly Step[] {
  const linked = attachments.filter(({ path, result }) => result && !path);
  return believeAll(
    linked.map((attached) => ({ attached, at: attachmentOf(attached, id, container) })),
    linked.map(({ result }) => result!),
  );
}

/**
 * Leads the default route of each family by the network that is to have it: of those that have one, that with the
 * greatest priority; of equals the one that has it already, or else the first by name.
 * @returns what is recorded of the container then
 */
export async function moveDefaults(
  world: World,
  state: string,
  record: ContainerRecord,
): Promise<ContainerRecord> {
  const prefixes = livePrefixes(world, record.container);
  if (prefixes.container === undefined) return record;
  let now = record;
  for (const dst of ["0.0.0.0/0", "::/0"]) {
    const changes = changesOf(world, state, now, dst);
    if (changes.length === 0) continue;
    await reconcile({ world, state }, changes, prefixes as Prefixes);
    now = changes.at(-1)!.to as ContainerRecord;
  }
  return now;
}

function changesOf(world: World, state: string, record: ContainerRecord, dst: string): readonly Change[] {
  const able = record.attachments.filter(({ result }) =>
    result?.routes.some((one) => one.dst === dst && one.table === undefined)
  );
  const isHeld = (attached: Attached) => ({ on, id, removes }: Step) =>
    on === "container" && !removes && id.kind === "route" && id.dst === dst && id.table === undefined &&
    id.dev === attached.ifname;
  const records = able.flatMap((
    attached,
  ): BaseRecord[] => [...pluginRecords(world, state, record, attached)]);
  const holder = able.find((attached) =>
    attached.path !== undefined || [record, ...records].some(({ steps }) => steps.some(isHeld(attached)))
  );
  const wanted =
    [...able].sort((a, b) =>
      (b.gwPriority ?? 0) - (a.gwPriority ?? 0) || Number(b === holder) - Number(a === holder) ||
      (a.network.name < b.network.name ? -1 : 1)
    )[0];
  if (!wanted || wanted === holder) return [];
  const without = <R extends BaseRecord>(one: R): R => ({
    ...one,
    steps: holder ? one.steps.filter((step) => !isHeld(holder)(step)) : one.steps,
  });
  const changed = records.filter((one) => without(one).steps.length < one.steps.length);
  return [
    ...changed.map((from) => ({ from, to: without(from) })),
    { from: record, to: { ...record, steps: withDefault(without(record).steps, defaultBy(wanted, dst)) } },
  ];
}

/** Those of both families stand at the end, IPv4's first, in whichever order they came. */
function withDefault(steps: readonly Step[], added: Step): readonly Step[] {
  const dstOf = ({ on, id }: Step) =>
    on === "container" && id.kind === "route" && lengthOf(id.dst) === 0 ? id.dst : undefined;
  const defaults = [...steps.filter((step) => dstOf(step) !== undefined), added];
  const sorted = defaults.sort((a, b) => dstOf(a)! < dstOf(b)! ? -1 : 1);
  return [...steps.filter((step) => dstOf(step) === undefined), ...sorted];
}

function defaultBy({ ifname, result }: Attached, dst: string): Step {
  const found = result!.routes.find((one) => one.dst === dst && one.table === undefined)!;
  const gateway = found.gw ?? gatewayFor(result!.ips, dst);
  return route("replace", "container", {
    ...{ dst, dev: ifname },
    attributes: gateway === undefined ? [] : [["via", gateway]],
  });
}
