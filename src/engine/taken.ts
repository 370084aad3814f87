import { family } from "../net/address.ts";
import { element, elementsIn, memberKey, setOf } from "../plan/nft/element.ts";
import { portOnAll, rangeWith } from "../plan/nft/ports.ts";
import { type ListedElement, parseElements } from "../plan/nft/listing.ts";
import { readRows, type Row } from "../plan/ip_json.ts";
import type { Prefixes } from "../plan/batch.ts";
import { readUndamagedFile } from "../plan/files.ts";
import type { LinkResource } from "../plan/resource.ts";
import type { Line, Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { reasonToGo } from "./namespace.ts";
import { livingNamespaces } from "./process.ts";
import { allPluginKeys, pluginKeys, type PluginRecord, readPlugin, writeRecord } from "./record.ts";
import { stateDirectory } from "./state.ts";
import { StepError, TakenError } from "./step_error.ts";
import { undo } from "./undo.ts";

/** An element that conflicts, and its owner from its comment. */
export interface Holder {
  readonly set: string;
  readonly key: string;
  readonly id: string;
  /** The owner's link on the host. */
  readonly link?: string;
}

/** The existing element that conflicts with a line; undefined if there is none, or if it names no owner. */
export async function holderOf(
  world: World,
  prefix: readonly string[],
  line: Line,
): Promise<Holder | undefined> {
  const candidates = elementsIn([line])
    .flatMap((element) => [element, portOnAll(element) ?? [], rangeWith(element) ?? []]).flat();
  for (const { set, key } of candidates) {
    const argv = [...prefix, "nft", "get", "element", ...set.split(" "), `{ ${key} }`];
    const { stdout } = await world.run(argv, { looks: true });
    const [found] = parseElements(stdout);
    const holder = found && holderIn(tableOfSet(set), found);
    // A port may be in a range.
    if (holder) return found!.key.includes("-") ? holder : { ...holder, key };
  }
  return undefined;
}

/** The owner of a listed element; undefined if it names none. @param table e.g. "inet ocinet" */
export function holderIn(table: string, { set, key, owner }: ListedElement): Holder | undefined {
  const [id, link] = owner?.split(" ") ?? [];
  if (id === undefined) return undefined;
  return { set: `${table} ${set}`, key, id, ...(link === undefined ? {} : { link }) };
}

/**
 * Why a link cannot have a VLAN of its master or, of type ipvlan, an address: another link has it, which the kernel does not
 * name.
 * @returns undefined if that is not why the step failed
 */
export async function linkTaken(
  world: World,
  prefixes: Prefixes,
  step: Line,
  said: string,
): Promise<StepError | undefined> {
  const vlan = vlanOf(step);
  if (vlan && /File exists|already exists/.test(said)) {
    const isSame = (other: { readonly id: unknown; readonly of: unknown } | undefined) =>
      other?.id === vlan.id && other.of === vlan.of;
    const holder = otherWith(world, prefixes.container, (other) => isSame(vlanOf(other)));
    const argv = [...prefixes.host, ..."ip -d -j link show type vlan".split(" ")];
    const rows = holder === undefined ? readRows((await world.run(argv, { looks: true })).stdout) : [];
    const link = rows.find((row) => isSame({ id: idOf(row), of: row["link"] }))?.["ifname"];
    const [who, remedy] = link === undefined
      ? [holder ?? "another container", "end that container"]
      : [`the host's link ${link}`, `use type macvlan with the master ${link}`];
    return new StepError(
      step,
      `${who} has VLAN ${vlan.id} of ${vlan.of} already; choose another vlanId, or ${remedy}`,
    );
  }
  if (step.id.kind !== "address" || !/in use|already assigned/.test(said)) return undefined;
  const { address } = step.id;
  const isSame = ({ id, removes }: Step) => id.kind === "address" && id.address === address && !removes;
  const who = otherWith(world, prefixes.container, isSame) ?? "another link of its master";
  return new StepError(step, `${who} has the address already; choose another, or end that container`);
}

function vlanOf({ id }: Step): LinkResource["vlan"] {
  return id.kind === "link" ? id.vlan : undefined;
}

function idOf(row: Row): unknown {
  return (row["linkinfo"] as { readonly info_data?: { readonly id?: number } } | undefined)?.info_data?.id;
}

/** The container, other than the one that these words enter, with such a step on record. */
export function otherWith(
  world: World,
  container: readonly string[],
  is: (step: Step) => boolean,
): string | undefined {
  const state = stateDirectory(world);
  const found = allPluginKeys(world, state).find((key) => {
    const record = readPlugin(world, state, key);
    return record && !container.includes(`--net=${record.container.netns}`) && record.steps.some(is);
  });
  return found && `container "${found.id}"`;
}

/** Why a route cannot be added where another one leads there: maybe to a container, which then has the address. */
export async function routeTaken(
  world: World,
  prefix: readonly string[],
  step: Line,
): Promise<StepError | undefined> {
  if (step.id.kind !== "route") return undefined;
  const { dst, table = "main" } = step.id;
  const argv = [...prefix, "ip", "-j", `-${family(dst)}`, "route", "show", "table", `${table}`, dst];
  const { stdout } = await world.run(argv, { looks: true });
  const link = /"dev":"([^"]+)"/.exec(stdout)?.[1];
  if (link === undefined) return undefined;
  // A container chooses the names of its links, so they do not say which container has the address.
  const member = step.on === "host" ? element(setOf("members", dst), memberKey(link, dst)) : undefined;
  const holder = member && await holderOf(world, prefix, member);
  return holder
    ? new TakenError(member, holder.id)
    : new StepError(step, `${link} leads there already; remove it, or choose another address`);
}

function tableOfSet(set: string): string {
  return set.slice(0, set.lastIndexOf(" "));
}

/**
 * Removes the element if its container is gone, so that the port leads nowhere. What is recorded of that container loses
 * its rules with it: its DEL may come when the same rules are another container's.
 * @returns whether it was removed
 */
export async function freeAbandoned(
  world: World,
  prefix: readonly string[],
  holder: Holder,
): Promise<boolean> {
  const { set, key, link } = holder;
  const state = stateDirectory(world);
  const records = pluginKeys(world, state, holder.id).flatMap((one) => readPlugin(world, state, one) ?? []);
  const living = livingNamespaces(world);
  const dead = records.filter((record) => reasonToGo(world, record, living) !== undefined);
  if (!(link && await isLinkGone(world, prefix, link)) && !isRecordGone(holder, records, dead)) return false;
  for (const record of dead) {
    const rules = record.steps.filter(({ tool }) => tool === "nft" || tool === "conntrack");
    const { left } = await undo(world, { host: prefix }, rules);
    const steps = record.steps.filter((step) => !rules.includes(step) || left.has(step));
    writeRecord(world, state, { ...record, steps });
  }
  const argv = ["nft", "delete", "element", ...set.split(" "), `{ ${key} }`];
  const { code, stderr } = await world.run([...prefix, ...argv]);
  return code === 0 || stderr.includes("No such file or directory");
}

/**
 * The container that has claimed an address. One that is gone loses it, and so does one without a record of it: records are
 * written before such claims, and removed after them.
 * @returns undefined if the address is free now
 */
export async function claimHolder(world: World, path: string): Promise<string | undefined> {
  const state = stateDirectory(world);
  // A second process that is late could remove the claim that the first has made since.
  const release = await world.lock(`${state}/locks/.addresses`);
  try {
    const id = readUndamagedFile(world, path)?.split(" ")[0];
    if (id === undefined) return undefined;
    const living = livingNamespaces(world);
    const isHeld = pluginKeys(world, state, id).some((key) => {
      const record = readPlugin(world, state, key);
      return !record || reasonToGo(world, record, living) === undefined &&
          record.steps.some((step) => step.tool === "claim" && step.path === path);
    });
    if (isHeld) return id;
    world.remove(path);
    return undefined;
  } finally {
    release();
  }
}

/** A veth ends with the namespace of its peer. */
async function isLinkGone(world: World, prefix: readonly string[], link: string): Promise<boolean> {
  const look = await world.run([...prefix, "ip", "link", "show", "dev", link], { looks: true });
  return look.code !== 0 && look.stderr.includes("does not exist");
}

/**
 * A macvlan, among others, has no link on the host, and stands by the one that the host reaches it through, which stays.
 * What is recorded of the element tells whose namespace it leads to.
 */
function isRecordGone(
  { set, key }: Holder,
  records: readonly PluginRecord[],
  dead: readonly PluginRecord[],
): boolean {
  const isOf = (step: Step) => step.id.kind === "element" && step.id.set === set && step.id.key === key;
  const having = records.filter(({ steps }) => steps.some(isOf));
  return having.length > 0 && having.every((record) => dead.includes(record));
}
