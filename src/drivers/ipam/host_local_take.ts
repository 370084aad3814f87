/** How host-local takes an address of a set of ranges. */
import { parseAddress } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { createWithDirectory, readUndamagedFile } from "../../plan/files.ts";
import { type Claim, claim as makeClaim } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Ip } from "../../wire/cni/result.ts";
import { anyOf, type Candidate, candidates, covers, type RangeSet, show, withLength } from "./ranges.ts";
import { giveBackEmpty, giveBackOutlived, isEmpty } from "./stale.ts";

/**
 * How many addresses are tried in order, and then at random, before the whole directory is read. If all are taken,
 * `looks` reservations are checked for being empty.
 */
const [mostTries, throws] = [16, 128];
/** The most reservations that are checked for being empty. */
export const looks = 256;

/** The reference's directory. */
export const usualDirectory = "/var/lib/cni/networks";

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

/** An address that has been taken, and its reservation. */
export interface Taken {
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
export function otherDirectory(
  world: World,
  directory: string,
  { leases, network }: Attachment,
): string | undefined {
  if (!leases || world.stat("/etc")?.uid !== world.uid) return undefined;
  return `${directory === `${leases}/${network}` ? usualDirectory : leases}/${network}`;
}

/**
 * The owner of an address by a reservation in the network's other directory. Our own reservation is written first: if two
 * containers take the address at the same time, at most one keeps it.
 */
function ownerBeside({ world, directory, at }: Search, address: string): string | undefined {
  const other = otherDirectory(world, directory, at);
  const read = () => other && readUndamagedFile(world, `${other}/${address}`);
  if (!other || read() === undefined) return undefined;
  giveBackOutlived(world, { dataDir: other.slice(0, -at.network.length - 1), network: at.network });
  return read();
}

/** Takes an address that was asked for. @throws CniError if it is taken */
export function takeRequested(search: Search, address: string): Taken {
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

/** Takes the next free address of the set. @throws CniError if there is none */
export function takeNext(search: Search): Taken {
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
