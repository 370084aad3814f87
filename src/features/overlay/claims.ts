import { addressOf, family, fromNumber, lengthOf, toNumber } from "../../net/address.ts";
import { macOfAddress } from "../../net/names.ts";
import type { Claimed } from "../../wire/overlay/requests.ts";
import type { KeyValue } from "./etcd_wire.ts";
import {
  type AddressClaim,
  gatewayOf,
  isFree,
  keysBelow,
  type OverlayNetwork,
  parseClaim,
  sizeOf,
  writeRecord,
} from "./keys.ts";
import type { Store } from "./networks.ts";

/** The attachment that wants an address, and its host. */
export type Claimant = Omit<AddressClaim, "mac">;

/** A network whose addresses are known, as of a moment ago. */
export interface KnownNetwork {
  readonly network: OverlayNetwork;
  /** The revision that made it: a network that was made anew under its name is another one. */
  readonly created: string;
  /** Its claims by address. */
  readonly claims: ReadonlyMap<string, KeyValue>;
  /** Those, and what etcd has lost and will have again. */
  readonly held?: ReadonlyMap<string, KeyValue>;
}

/** How many addresses are tried when others take them first. */
const attempts = 50;

/**
 * Claims an address of each of the network's subnets, all or none: the same place in each where nothing is wished for.
 * What it costs does not grow with the number of claims. A claim that was made before is taken for this one.
 * @throws Error when none is free, or one that is wished for is not
 */
export async function claimAddresses(
  store: Store,
  known: KnownNetwork,
  who: Claimant,
  wanted: readonly string[] = [],
): Promise<Claimed> {
  const { network, claims } = known;
  refuseStrangers(network, wanted);
  const before = claimsOf(claims, who);
  if (before.length > 0 && wanted.every((one) => before.includes(one))) return shown(network, before);
  const places = freePlaces(network, known.held ?? claims, store.random);
  for (let tries = 0; tries < attempts; tries++) {
    const { value: place, done } = places.next();
    if (done === true) break;
    const addresses = network.subnets.map((subnet) =>
      wanted.find((address) => isFree(subnet, address)) ?? addressAt(subnet, place)
    );
    if (await claim(store, known, addresses, who)) return shown(network, addresses);
    if (wanted.length > 0) await refuseTaken(store, network, wanted, who);
  }
  throw new Error(`Cannot give an address on network "${network.name}": ${usage(network, claims)}`);
}

/** How many addresses are taken, in the subnet with the fewest. */
function usage({ subnets }: OverlayNetwork, claims: ReadonlyMap<string, KeyValue>): string {
  const smallest = subnets.reduce((a, b) => sizeOf(b) < sizeOf(a) ? b : a);
  const taken = [...claims.keys()].filter((address) => isFree(smallest, address)).length;
  return `${taken} of ${
    sizeOf(smallest)
  } are taken in ${smallest}; "ocinet cluster status" shows by which hosts`;
}

function refuseStrangers(network: OverlayNetwork, wanted: readonly string[]): void {
  const stranger = wanted.find((address) => !network.subnets.some((subnet) => isFree(subnet, address)));
  if (stranger === undefined) return;
  throw new Error(
    `Cannot give address ${stranger} on network "${network.name}": ` +
      `it is not for containers of ${network.subnets.join(", ")}`,
  );
}

/** What is written down of who has addresses. */
export function claimValue({ host, id, ifname }: Claimant, addresses: readonly string[]): string {
  return writeRecord({ host, id, ifname, mac: macOfAddress(addresses[0]!) });
}

async function claim(
  { etcd, prefix }: Store,
  { network, created }: KnownNetwork,
  addresses: readonly string[],
  who: Claimant,
): Promise<boolean> {
  const keys = keysBelow(prefix);
  const value = claimValue(who, addresses);
  const own = addresses.map((address) => keys.address(network.name, address));
  const done = await etcd.change(
    [{ key: keys.network(network.name), created }, ...own.map((key) => ({ key, created: "0" }))],
    own.map((key) => ({ put: key, value })),
  );
  if (done) return true;
  const there = await etcd.get(keys.network(network.name));
  if (there?.created !== created) {
    throw new Error(`Cannot use network "${network.name}": it has just been removed`);
  }
  // The answer to an earlier try may have been lost.
  return (await etcd.get(own[0]!))?.value === value;
}

async function refuseTaken(
  { etcd, prefix }: Store,
  network: OverlayNetwork,
  wanted: readonly string[],
  who: Claimant,
): Promise<void> {
  for (const address of wanted) {
    const there = await etcd.get(keysBelow(prefix).address(network.name, address));
    if (there === undefined) continue;
    const claim = parseClaim(there.value);
    if (claim.host === who.host && claim.id === who.id) continue;
    throw new Error(
      `Cannot give address ${address} on network "${network.name}": ${showHolder(claim)} has it`,
    );
  }
}

/** The container and host that hold a claim, for a message; what etcd has is quoted. */
export function showHolder({ host, id }: Pick<AddressClaim, "host" | "id">): string {
  return `${id === "" ? "" : `container ${JSON.stringify(id)} on `}host ${JSON.stringify(host)}`;
}

/** The first five items, and how many more there are, for a message. */
export function showSome(all: readonly string[]): string {
  return all.slice(0, 5).join(", ") + (all.length > 5 ? ` and ${all.length - 5} more` : "");
}

/** Gives back what an attachment has. @throws EtcdError when it cannot be done now */
export async function releaseAddresses(
  { etcd, prefix }: Store,
  { network, claims }: Pick<KnownNetwork, "network" | "claims">,
  who: Claimant,
): Promise<void> {
  for (const address of claimsOf(claims, who)) {
    const key = keysBelow(prefix).address(network.name, address);
    await etcd.change([{ key, value: claims.get(address)!.value }], [{ delete: key }]);
  }
}

/** The addresses that an attachment has. */
export function claimsOf(claims: ReadonlyMap<string, KeyValue>, who: Claimant): readonly string[] {
  return [...claims].filter(([, entry]) => isClaimOf(entry, who)).map(([address]) => address)
    .toSorted((a, b) => family(a) - family(b));
}

/** Whether it is there, and a claim of this interface. */
export function isClaimOf(entry: KeyValue | undefined, { host, id, ifname }: Claimant): boolean {
  const claim = entry && readClaim(entry);
  return claim?.host === host && claim.id === id && claim.ifname === ifname;
}

/** What a host and its containers have. */
export function claimsOfHost(
  claims: ReadonlyMap<string, KeyValue>,
  host: string,
): readonly (AddressClaim & { readonly address: string })[] {
  return [...claims].flatMap(([address, entry]) => {
    const claim = readClaim(entry);
    return claim?.host === host ? [{ ...claim, address }] : [];
  });
}

/** Claims that have been read, by what etcd told: there may be many, and they are looked at after every change. */
const read = new WeakMap<KeyValue, AddressClaim | undefined>();

/** A claim, unless it is none. */
export function readClaim(entry: KeyValue): AddressClaim | undefined {
  if (!read.has(entry)) read.set(entry, parsed(entry.value));
  return read.get(entry);
}

function parsed(value: string): AddressClaim | undefined {
  try {
    return parseClaim(value);
  } catch {
    return undefined;
  }
}

function shown(network: OverlayNetwork, addresses: readonly string[]): Claimed {
  return {
    mac: macOfAddress(addresses[0]!),
    ips: network.subnets.flatMap((subnet) => {
      const address = addresses.find((one) => isFree(subnet, one));
      if (address === undefined) return [];
      return [{ address: `${address}/${lengthOf(subnet)}`, gateway: gatewayOf(subnet) }];
    }),
  };
}

function addressAt(subnet: string, place: bigint): string {
  return fromNumber(toNumber(addressOf(subnet)) + place, family(subnet));
}

/** Places in the smallest subnet that are free as far as is known: some at random, then each in turn. */
function* freePlaces(
  { subnets }: OverlayNetwork,
  claims: ReadonlyMap<string, KeyValue>,
  random: () => number,
): Generator<bigint> {
  const sizes = subnets.map(sizeOf);
  const size = Number(sizes.reduce((a, b) => a < b ? a : b, 1n << 31n));
  const isKnown = (place: bigint) => subnets.some((subnet) => claims.has(addressAt(subnet, place)));
  for (let i = 0; i < attempts; i++) {
    const place = BigInt(2 + Math.floor(random() * size));
    if (!isKnown(place)) yield place;
  }
  for (let i = 0; i < Math.min(size, 65536); i++) if (!isKnown(BigInt(2 + i))) yield BigInt(2 + i);
}
