import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import { type Dns, type Ip, parseRoute, type Route } from "../../wire/cni/result.ts";
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

/** Its configuration. */
export interface Conf {
  readonly sets: readonly RangeSet[];
  readonly routes: readonly Route[];
  readonly dataDir: string;
  readonly resolvConf?: string;
  /** The addresses requested by args.cni and runtimeConfig. Those of CNI_ARGS are in the attachment. */
  readonly wanted: readonly string[];
}

export { checkDrift, collect, exhausted } from "./host_local_check.ts";

/** The reference's directory. */
const usual = "/var/lib/cni/networks";

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
    dataDir: ipam.path("dataDir") ?? usual,
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
const [mostTries, throws] = [16, 128];
export const looks = 256;

/** Addresses of containers that run stay theirs where the directory was emptied. */
export async function prepare({ dataDir, sets }: Conf, at: Attachment, world: World): Promise<void> {
  const [all, { network }] = [sets.flat(), at];
  const isWanted = (address: string) => all.some((range) => covers(range, address));
  const families = familiesOf(all.map(({ subnet }) => subnet));
  const directory = `${dataDir}/${network}`;
  await reserveLiving(world, directory, otherDirectory(world, directory, at), families, isWanted);
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

/** The content of a reservation, as the reference plugin writes it; without a final newline. */
export function ownerOf({ containerId, ifname }: Attachment): string {
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

function take(search: Search, { address, range }: Candidate): Taken | undefined {
  const { world, directory, at } = search;
  const claim = makeClaim(`${directory}/${address}`, ownerOf(at));
  const ip: Ip = { address: withLength(address, range), gateway: range.gateway };
  if (!createWithDirectory(world, claim.path, claim.owner)) return undefined;
  if (ownerBeside(search, address) === undefined) return { ip, claim };
  world.remove(claim.path);
  return undefined;
}

/**
 * Where the network's addresses are reserved by the other of `up` and CNI runtimes. Of a session, which has a network of
 * its own, the host's /etc is another user's.
 */
function otherDirectory(
  world: World,
  directory: string,
  { leases, network }: Attachment,
): string | undefined {
  if (!leases || world.stat("/etc")?.uid !== world.uid) return undefined;
  return `${directory === `${leases}/${network}` ? usual : leases}/${network}`;
}

/**
 * Who has the address on the same network in the other directory. It is asked once the own reservation is there, so that
 * of two at the same time not both keep the address.
 */
function ownerBeside({ world, directory, at }: Search, address: string): string | undefined {
  const other = otherDirectory(world, directory, at);
  const read = () => other && readUndamagedFile(world, `${other}/${address}`);
  if (!other || read() === undefined) return undefined;
  giveBackOutlived(world, { dataDir: other.slice(0, -at.network.length - 1), network: at.network });
  return read();
}

function takeRequested(search: Search, address: string): Taken {
  const { world, directory, set } = search;
  const range = set.find((range) => covers(range, address))!;
  if (address === range.gateway) throw refuse(search, `requested ip ${address} is subnet's gateway`);
  const taken = take(search, { address, range });
  if (taken) return taken;
  const owner = (world.read(`${directory}/${address}`) ?? ownerBeside(search, address))?.split(/\s/)[0];
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

/** The ranges of a set. */
export function showSet(set: RangeSet): string {
  return set.map(show).join(",");
}

/**
 * The addresses to try: the next few in order, some at random, all without a reservation, and last those whose
 * reservation is empty.
 */
function* order({ world, directory, set }: Search, last: string | undefined): Generator<Candidate> {
  let tries = 0;
  for (const candidate of candidates(set, last)) {
    if (tries++ === mostTries) break;
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
  const isIn = (set: RangeSet) => (address: string) => set.some((range) => covers(range, address));
  for (const [i, set] of conf.sets.entries()) {
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
