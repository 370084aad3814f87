import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import {
  addressOf,
  contains,
  family,
  fromNumber,
  hostLength,
  lastOf,
  lengthOf,
  networkOf,
  parseAddress,
  parseCidr,
  plus,
  toNumber,
} from "../../net/address.ts";

/** A range of addresses in one subnet, both ends included. The gateway is not given away. */
export interface Range {
  readonly subnet: string;
  readonly start: string;
  readonly end: string;
  readonly gateway: string;
}

/** Ranges of one family, used in this order. An attachment gets one address from each set. */
export type RangeSet = readonly Range[];

/**
 * Reads and completes the range sets.
 * @throws CniError in the reference plugin's words (host-local 1.9.1, range.go and range_set.go)
 */
export function parseRangeSets(sets: readonly (readonly Fields[])[]): readonly RangeSet[] {
  const parsed = sets.map((set, i) => {
    try {
      return parseRangeSet(set);
    } catch (error) {
      throw refuse(`invalid range set ${i}: ${(error as Error).message}`);
    }
  });
  parsed.forEach((a, i) =>
    parsed.slice(i + 1).forEach((b, j) => {
      if (a.some((one) => b.some((other) => overlap(one, other)))) {
        throw refuse(`range set ${i} overlaps with ${i + 1 + j}`);
      }
    })
  );
  return parsed;
}

function parseRangeSet(set: readonly Fields[]): RangeSet {
  if (set.length === 0) throw refuse("empty range set");
  const ranges = set.map(parseRange);
  if (new Set(ranges.map(({ subnet }) => family(subnet))).size > 1) throw refuse("mixed address families");
  ranges.forEach((a, i) =>
    ranges.slice(i + 1).forEach((b) => {
      if (overlap(a, b)) throw refuse(`subnets ${show(a)} and ${show(b)} overlap`);
    })
  );
  return ranges;
}

/** A range as in the reference plugin's messages: `10.1.2.1-10.1.2.254`. */
export function show({ start, end }: Range): string {
  return `${start}-${end}`;
}

function parseRange(entry: Fields): Range {
  const subnet = parseSubnet(entry.string("subnet") ?? "", entry.has("rangeStart") && entry.has("rangeEnd"));
  const last = lastOf(subnet);
  const start = parseIp(entry, "rangeStart") ?? plus(addressOf(subnet), 1n);
  const end = parseIp(entry, "rangeEnd") ?? (family(subnet) === 4 ? plus(last, -1n) : last);
  const gateway = parseIp(entry, "gateway") ?? plus(addressOf(subnet), 1n);
  if (!contains(subnet, start)) throw refuse(`RangeStart ${start} not in network ${subnet}`);
  if (!contains(subnet, end)) throw refuse(`RangeEnd ${end} not in network ${subnet}`);
  if (toNumber(start) > toNumber(end)) throw refuse(`RangeStart ${start} is after RangeEnd ${end}`);
  return { subnet, start, end, gateway };
}

/** @param isBounded its ends are given, and so may be both of its addresses (RFC 3021); the reference refuses that, too */
function parseSubnet(text: string, isBounded: boolean): string {
  const parsed = parseCidr(text);
  if (!parsed) throw refuse(`invalid CIDR address: ${text}`);
  const subnet = `${parsed.address}/${parsed.length}`;
  if (hostLength(parsed.address) - parsed.length < (isBounded ? 1 : 2)) {
    throw refuse(`Network ${subnet} too small to allocate from`);
  }
  const network = addressOf(networkOf(subnet));
  if (network !== parsed.address) {
    throw refuse(
      `Network has host bits set. For a subnet mask of length ${parsed.length} the network address is ${network}`,
    );
  }
  return subnet;
}

function parseIp(entry: Fields, key: string): string | undefined {
  const text = entry.string(key);
  if (text === undefined) return undefined;
  const address = parseAddress(text);
  if (!address) throw refuse(`invalid IP address: ${text}`);
  return address;
}

function overlap(a: Range, b: Range): boolean {
  if (family(a.subnet) !== family(b.subnet)) return false;
  return toNumber(a.start) <= toNumber(b.end) && toNumber(b.start) <= toNumber(a.end);
}

/** Whether a range contains an address. The gateway counts too. */
export function covers({ start, end }: Range, address: string): boolean {
  if (family(start) !== family(address)) return false;
  return toNumber(start) <= toNumber(address) && toNumber(address) <= toNumber(end);
}

/** An address to try, and its range. */
export interface Candidate {
  readonly address: string;
  readonly range: Range;
}

/**
 * All addresses of a set once, without gateways. The order starts after `last`, and wraps around. If `last` is not in
 * the set, it starts at the first address.
 */
export function* candidates(
  set: RangeSet,
  last: string | undefined,
): Generator<Candidate> {
  const at = last === undefined ? -1 : set.findIndex((range) => covers(range, last));
  const order = at < 0 ? set : [...set.slice(at), ...set.slice(0, at)];
  const from = at < 0 ? toNumber(order[0]!.start) : toNumber(last!) + 1n;
  yield* count(order[0]!, from, toNumber(order[0]!.end));
  for (const range of order.slice(1)) yield* count(range, toNumber(range.start), toNumber(range.end));
  yield* count(order[0]!, toNumber(order[0]!.start), from - 1n);
}

function* count(range: Range, from: bigint, to: bigint): Generator<Candidate> {
  for (let value = from; value <= to; value++) {
    const address = fromNumber(value, family(range.subnet));
    if (address !== range.gateway) yield { address, range };
  }
}

/** A random address of a set; undefined if it is a gateway. */
export function anyOf(set: RangeSet, random: () => number): Candidate | undefined {
  const range = set[Math.floor(random() * set.length)]!;
  const [first, last] = [toNumber(range.start), toNumber(range.end)];
  const size = Number(last - first + 1n);
  const address = fromNumber(first + BigInt(Math.floor(random() * size)), family(range.subnet));
  return address === range.gateway ? undefined : { address, range };
}

/** An address as it appears in a result: with the prefix length of its subnet. */
export function withLength(address: string, { subnet }: Range): string {
  return `${address}/${lengthOf(subnet)}`;
}

function refuse(message: string): CniError {
  return new CniError("internal", message);
}
