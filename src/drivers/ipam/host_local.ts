import { addressOf, parseAddress, parseCidr } from "../../net/address.ts";
import { parseResolvConf } from "../../net/resolv_conf.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import { type Dns, parseRoute, type Route } from "../../wire/cni/result.ts";
import type { Lease } from "../plugin.ts";
import {
  otherDirectory,
  ownerOf,
  showSet,
  type Taken,
  takeNext,
  takeRequested,
  usualDirectory,
} from "./host_local_take.ts";
import { familiesOf, reserveLiving } from "./living.ts";
import { covers, parseRangeSets, type RangeSet } from "./ranges.ts";
import { forget, giveBackOutlived, type Kept, remember, removeBegun } from "./stale.ts";

/** The addresses are known before the link exists. */
export const kind = "local";

/** Its configuration. */
export interface Conf {
  readonly sets: readonly RangeSet[];
  /** Ours: of each set, what a container may ask for, which can be more than what is given by itself. */
  readonly requestable: readonly RangeSet[];
  readonly routes: readonly Route[];
  readonly dataDir: string;
  readonly resolvConf?: string;
  /** The addresses requested by args.cni and runtimeConfig. Those of CNI_ARGS are in the attachment. */
  readonly wanted: readonly string[];
}

export { checkDrift, collect, exhausted } from "./host_local_check.ts";

/** It reads `IP`. */
export const readsArgs = true;

/** Reads the `ipam` object and the parts of the configuration that concern it. */
export function parse(conf: Fields): Conf {
  const ipam = conf.object("ipam");
  if (!ipam) throw new CniError("internal", "IPAM config missing 'ipam' key");
  const own = ipam.string("subnet") === undefined ? [] : [[ipam]];
  const sets = parseRangeSets([
    ...nested(conf.object("runtimeConfig"), "ipRanges"),
    ...own,
    ...nested(ipam, "ranges"),
  ]);
  if (sets.length === 0) throw new CniError("internal", "no IP ranges specified");
  const wider = parseRangeSets(nested(ipam, "requestable"));
  return {
    sets,
    requestable: sets.map((set, i) => wider[i] ?? set),
    routes: ipam.objects("routes")?.map(parseRoute) ?? [],
    dataDir: ipam.path("dataDir") ?? usualDirectory,
    resolvConf: ipam.path("resolvConf"),
    wanted: [
      ...conf.object("args")?.object("cni")?.strings("ips") ?? [],
      ...conf.object("runtimeConfig")?.strings("ips") ?? [],
    ],
  };
}

function nested(from: Fields | undefined, key: string): readonly (readonly Fields[])[] {
  const lists = from?.raw(key) ?? [];
  const bad = () => new CniError("decode", `Cannot read "${key}": it is not a list of lists of ranges`);
  if (!Array.isArray(lists)) throw bad();
  return lists.map((list) => {
    if (!Array.isArray(list)) throw bad();
    return list.map((entry) => fields(entry, `"${key}"`));
  });
}

/** Addresses of containers that run stay theirs where the directory was emptied. */
export async function prepare({ dataDir, requestable }: Conf, at: Attachment, world: World): Promise<void> {
  const directory = `${dataDir}/${at.network}`;
  if (world.stat(directory) !== undefined) return;
  const all = requestable.flat();
  const families = familiesOf(all.map(({ subnet }) => subnet));
  await reserveLiving(world, at, directory, otherDirectory(world, directory, at), families, isIn(all));
}

/**
 * Takes one address of each set. The reservation is a file named by the address. Creating it is atomic, so no lock is
 * needed, and the cost does not depend on how many addresses are taken.
 */
export function lease(conf: Conf, at: Attachment, world: World): Lease {
  const directory = `${conf.dataDir}/${at.network}`;
  const wanted = requested(conf, at);
  const dns = conf.resolvConf === undefined ? {} : readResolvConf(world, conf.resolvConf);
  world.makeDirectory(directory, 0o755);
  giveBackOutlived(world, keptOf(conf, at));
  const taken: Taken[] = [];
  try {
    conf.sets.forEach((set, i) => {
      const asked = wanted.findIndex(isIn(conf.requestable[i]!));
      taken.push(
        asked >= 0
          ? takeRequested({ world, directory, set: conf.requestable[i]!, i, at }, wanted.splice(asked, 1)[0]!)
          : takeNext({ world, directory, set, i, at }),
      );
    });
    if (wanted.length > 0) {
      throw new CniError(
        "internal",
        `failed to allocate all requested IPs: ${wanted.join(" ")}`,
        `containers can have ${conf.requestable.map(showSet).join(" or ")}`,
      );
    }
    const claims = taken.flatMap(({ claim, ip }) => [
      claim,
      ...remember(world, keptOf(conf, at), addressOf(ip.address)),
    ]);
    const giveUp = () => taken.forEach(({ putBack }) => putBack?.());
    return { ips: taken.map(({ ip }) => ip), routes: conf.routes, dns, claims, giveUp };
  } catch (error) {
    taken.forEach(({ claim: { path, owner }, putBack }) => {
      giveBack(conf, at, world, { path, owner });
      putBack?.();
    });
    throw error;
  }
}

function isIn(set: RangeSet): (address: string) => boolean {
  return (address) => set.some((range) => covers(range, address));
}

/** Where the network's reservations are. */
export function keptOf({ dataDir }: Conf, { network }: Attachment): Kept {
  return { dataDir, network };
}

function requested({ wanted }: Conf, at: Attachment): string[] {
  const all = [at.args.get("IP") ?? "", ...wanted].filter((text) => text !== "").map((text) => {
    const address = parseAddress(text) ?? parseCidr(text)?.address;
    if (!address) throw new CniError("internal", `invalid IP address: ${text}`);
    return address;
  });
  return [...new Set(all)];
}

/** A reservation: a file named by the address. `owner` is its text without surrounding white space. */
interface Reservation {
  readonly path: string;
  readonly owner: string;
}

/** All reservations of the network. */
export function reservations(
  { dataDir }: Conf,
  { network }: Attachment,
  world: World,
): readonly Reservation[] {
  const directory = `${dataDir}/${network}`;
  return world.list(directory).filter((name) => parseAddress(name) !== undefined).map((name) => {
    const path = `${directory}/${name}`;
    return { path, owner: readUndamagedFile(world, path)?.trim() ?? "" };
  });
}

/** Releases every address in the directory that is reserved for the attachment, also by other programs. */
export function release(conf: Conf, at: Attachment, world: World): void {
  removeBegun(world, keptOf(conf, at));
  owned(conf, at, world).forEach((one) => giveBack(conf, at, world, one));
}

/** Releases an address. */
export function giveBack(conf: Conf, at: Attachment, world: World, one: Reservation): void {
  world.remove(one.path);
  forget(world, keptOf(conf, at), addressOfFile(one));
}

function addressOfFile({ path }: Reservation): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The attachment's reservations. Plugins before 0.8 wrote only the container's id. */
export function owned(conf: Conf, at: Attachment, world: World): readonly Reservation[] {
  const all = reservations(conf, at, world);
  const exact = all.filter(({ owner }) => owner === ownerOf(at));
  return exact.length > 0 ? exact : all.filter(({ owner }) => owner === at.containerId);
}

/** The error in the reference's words. A requested address is refused as taken. */
export function held(conf: Conf, at: Attachment, world: World): string | undefined {
  giveBackOutlived(world, keptOf(conf, at));
  const [own, wanted] = [owned(conf, at, world).map(addressOfFile), requested(conf, at)];
  for (const [i, set] of conf.requestable.entries()) {
    const address = wanted.some(isIn(set)) ? undefined : own.find(isIn(set));
    if (address === undefined) continue;
    return `failed to allocate for range ${i}: ${address} has been allocated to ${at.containerId}, ` +
      "duplicate allocation is not allowed";
  }
  return undefined;
}

function readResolvConf(world: World, path: string): Dns {
  const text = world.read(path);
  if (text === undefined) {
    throw new CniError("internal", `Cannot read resolvConf "${path}": there is no such file`);
  }
  return parseResolvConf(text);
}
