import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import { type Dns, type Ip, parseRoute, type Result, type Route } from "../../wire/cni/result.ts";
import { addressOf, parseAddress, parseCidr } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { type Claim, claim as makeClaim } from "../../plan/step.ts";
import { createWithDirectory, readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import type { Lease } from "../plugin.ts";
import {
  forget,
  giveBackEmpty,
  giveBackOutlived,
  isEmpty,
  type Kept,
  outlived,
  remember,
  removeBegun,
} from "./stale.ts";
import {
  anyOf,
  type Candidate,
  candidates,
  covers,
  parseRangeSets,
  type RangeSet,
  show,
  withLength,
} from "./ranges.ts";
import { familiesOf, reserveLiving } from "./living.ts";
import { parseResolvConf } from "../../net/resolv_conf.ts";

/** The addresses are known before the link exists. */
export const kind = "local";

interface Conf {
  readonly sets: readonly RangeSet[];
  readonly routes: readonly Route[];
  readonly dataDir: string;
  readonly resolvConf?: string;
  /** The addresses requested by args.cni and runtimeConfig. Those of CNI_ARGS are in the attachment. */
  readonly wanted: readonly string[];
}

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
  return {
    sets,
    routes: ipam.objects("routes")?.map(parseRoute) ?? [],
    dataDir: ipam.path("dataDir") ?? "/var/lib/cni/networks",
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

/**
 * How many addresses are tried in order, and then at random, before the whole directory is read. If all are taken,
 * `looks` reservations are checked for being empty.
 */
const [patience, throws, looks] = [16, 128, 256];

/** Addresses of containers that run stay theirs where the directory was emptied. */
export async function prepare({ dataDir, sets }: Conf, { network }: Attachment, world: World): Promise<void> {
  const all = sets.flat();
  const isWanted = (address: string) => all.some((range) => covers(range, address));
  await reserveLiving(world, `${dataDir}/${network}`, familiesOf(all.map(({ subnet }) => subnet)), isWanted);
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
      const asked = wanted.findIndex((address) => set.some((range) => covers(range, address)));
      taken.push(
        asked >= 0
          ? takeRequested({ world, directory, set, i, at }, wanted.splice(asked, 1)[0]!)
          : takeNext({ world, directory, set, i, at }),
      );
    });
    if (wanted.length > 0) {
      throw new CniError("internal", `failed to allocate all requested IPs: ${wanted.join(" ")}`);
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

function keptOf({ dataDir }: Conf, { network }: Attachment): Kept {
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

/** The content of a reservation, as the reference plugin writes it; without a final newline. */
function ownerOf({ containerId, ifname }: Attachment): string {
  return `${containerId}\r\n${ifname}`;
}

/** The search for a free address in the set with index `i`. */
interface Search {
  readonly world: World;
  readonly directory: string;
  readonly set: RangeSet;
  readonly i: number;
  readonly at: Attachment;
}

interface Taken {
  readonly ip: Ip;
  readonly claim: Claim;
  /** Restores the pointer, unless another process has moved it since. */
  readonly putBack?: () => void;
}

function take({ world, directory, at }: Search, { address, range }: Candidate): Taken | undefined {
  const claim = makeClaim(`${directory}/${address}`, ownerOf(at));
  const ip: Ip = { address: withLength(address, range), gateway: range.gateway };
  return createWithDirectory(world, claim.path, claim.owner) ? { ip, claim } : undefined;
}

function takeRequested(search: Search, address: string): Taken {
  const { world, directory, set } = search;
  const range = set.find((range) => covers(range, address))!;
  if (address === range.gateway) throw refuse(search, `requested ip ${address} is subnet's gateway`);
  const taken = take(search, { address, range });
  if (taken) return taken;
  const owner = world.read(`${directory}/${address}`)?.split(/\s/)[0];
  throw refuse(
    search,
    `requested IP address ${address} is not available in range set ${showSet(set)}`,
    owner ? `container "${owner}" has it` : "",
  );
}

function takeNext(search: Search): Taken {
  const { world, directory, set, i } = search;
  const marker = `${directory}/last_reserved_ip.${i}`;
  const before = readUndamagedFile(world, marker);
  const last = parseAddress(before?.trim() ?? "");
  for (const candidate of order(search, last)) {
    const taken = take(search, candidate);
    if (!taken) continue;
    return { ...taken, putBack: movePointer(world, marker, { before, address: candidate.address }) };
  }
  throw refuse(search, `no IP addresses available in range set: ${showSet(set)}`);
}

/** Stores the address as the start of the next search. A failure, e.g. on a full disk, does not fail the ADD. */
function movePointer(
  world: World,
  marker: string,
  { before, address }: { readonly before: string | undefined; readonly address: string },
): () => void {
  const write = (text: string) => {
    try {
      world.write(marker, text);
    } catch {
      // The next search starts from the old address.
    }
  };
  write(address);
  return () => {
    if (readUndamagedFile(world, marker) !== address) return;
    if (before === undefined) world.remove(marker);
    else write(before);
  };
}

function refuse({ i }: Search, reason: string, details = ""): CniError {
  return new CniError("internal", `failed to allocate for range ${i}: ${reason}`, details);
}

function showSet(set: RangeSet): string {
  return set.map(show).join(",");
}

/**
 * The addresses to try: the next few in order, some at random, all without a reservation, and last those whose
 * reservation is empty.
 */
function* order({ world, directory, set }: Search, last: string | undefined): Generator<Candidate> {
  let tries = 0;
  for (const candidate of candidates(set, last)) {
    if (tries++ === patience) break;
    yield candidate;
  }
  for (let i = 0; i < throws; i++) {
    const candidate = anyOf(set, world.random);
    if (candidate && world.stat(`${directory}/${candidate.address}`) === undefined) yield candidate;
  }
  const names = new Set(world.list(directory));
  for (const candidate of candidates(set, last)) if (!names.has(candidate.address)) yield candidate;
  let looked = 0;
  for (const candidate of candidates(set, last)) {
    if (looked++ === looks) return;
    if (!isEmpty(world, `${directory}/${candidate.address}`)) continue;
    giveBackEmpty(world, `${directory}/${candidate.address}`);
    yield candidate;
  }
}

/** A reservation: a file named by the address. `owner` is its text without surrounding white space. */
interface Reservation {
  readonly path: string;
  readonly owner: string;
}

function reservations({ dataDir }: Conf, { network }: Attachment, world: World): readonly Reservation[] {
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

function giveBack(conf: Conf, at: Attachment, world: World, one: Reservation): void {
  world.remove(one.path);
  forget(world, keptOf(conf, at), addressOfFile(one));
}

function addressOfFile({ path }: Reservation): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Plugins before 0.8 wrote only the container's id. */
function owned(conf: Conf, at: Attachment, world: World): readonly Reservation[] {
  const all = reservations(conf, at, world);
  const exact = all.filter(({ owner }) => owner === ownerOf(at));
  return exact.length > 0 ? exact : all.filter(({ owner }) => owner === at.containerId);
}

/** The error in the reference's words. A requested address is refused as taken. */
export function held(conf: Conf, at: Attachment, world: World): string | undefined {
  giveBackOutlived(world, keptOf(conf, at));
  const [own, wanted] = [owned(conf, at, world).map(addressOfFile), requested(conf, at)];
  const isIn = (set: RangeSet) => (address: string) => set.some((range) => covers(range, address));
  for (const [i, set] of conf.sets.entries()) {
    const address = wanted.some(isIn(set)) ? undefined : own.find(isIn(set));
    if (address === undefined) continue;
    return `failed to allocate for range ${i}: ${address} has been allocated to ${at.containerId}, ` +
      "duplicate allocation is not allowed";
  }
  return undefined;
}

/**
 * The reference's CHECK accepts any one address. We require one of each set. The result's addresses are checked first,
 * because looking for others means reading every reservation.
 */
export function checkDrift(
  conf: Conf,
  at: Attachment,
  world: World,
  made: Result | undefined,
): string | undefined {
  const own = (made?.ips ?? []).filter(({ address }) =>
    world.read(`${conf.dataDir}/${at.network}/${addressOf(address)}`)?.trim() === ownerOf(at)
  );
  if (own.length >= conf.sets.length || owned(conf, at, world).length >= conf.sets.length) return undefined;
  return `host-local: Failed to find address added by container ${at.containerId}`;
}

/** Releases what no attachment in `valid` holds. A file that stays empty is left from a crash. */
export function collect(conf: Conf, at: Attachment, valid: ReadonlySet<string>, world: World): void {
  giveBackOutlived(world, keptOf(conf, at));
  removeBegun(world, keptOf(conf, at));
  const containers = new Set([...valid].map((attachment) => attachment.split(" ")[0]));
  for (const one of reservations(conf, at, world)) {
    const [containerId, ifname] = one.owner.split(/\s+/);
    const known = ifname === undefined ? containers.has(containerId!) : valid.has(`${containerId} ${ifname}`);
    const begun = one.owner === "" && !isEmpty(world, one.path);
    if (!known && !begun) giveBack(conf, at, world, one);
  }
}

/** The reason why no address is available, if all addresses of a set are taken. */
export function exhausted(conf: Conf, at: Attachment, world: World): string | undefined {
  const directory = `${conf.dataDir}/${at.network}`;
  const names = new Set(world.list(directory));
  outlived(world, keptOf(conf, at)).forEach((address) => names.delete(address));
  const isFree = (address: string, i: number) =>
    !names.has(address) || (i < looks && isEmpty(world, `${directory}/${address}`));
  const full = conf.sets.find((set) => {
    let i = 0;
    for (const { address } of candidates(set, undefined)) if (isFree(address, i++)) return false;
    return true;
  });
  return full && `no IP addresses available in range set: ${showSet(full)}`;
}

function readResolvConf(world: World, path: string): Dns {
  const text = world.read(path);
  if (text === undefined) {
    throw new CniError("internal", `Cannot read resolvConf "${path}": there is no such file`);
  }
  return parseResolvConf(text);
}
