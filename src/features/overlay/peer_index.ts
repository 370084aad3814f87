/**
 * What a network's tables have on this host, by MAC address: what follows from claims does so for the claims of each MAC
 * address by themselves. So a change costs what it changes, and not what the network has.
 */
import { linkLocalFrom } from "../../net/names.ts";
import { readClaim } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import type { HostRecord, OverlayNetwork } from "./keys.ts";
import { type PeerEntries, type Wanted, wantedEntries } from "./peers.ts";

type Claims = ReadonlyMap<string, KeyValue>;

/** What claims and hosts come to. */
export interface PeerIndex {
  readonly entries: Filled;
  /** The underlay addresses of the hosts that entries lead to, with the number of MAC addresses there. */
  readonly hosts: Map<string, number>;
  /** Addresses that are claimed with a MAC address. */
  readonly addresses: Map<string, Set<string>>;
  /** MAC addresses of claims, by address. */
  readonly macs: Map<string, string>;
}

/** The same as PeerEntries, and may change. */
interface Filled extends PeerEntries {
  readonly vteps: Map<string, string>;
  readonly neighbours: Map<string, string>;
}

/** The index of all claims of a network, for what `wantedEntries` has made of them. */
export function indexOf(claims: Claims, { vteps, neighbours }: Wanted): PeerIndex {
  const index: PeerIndex = {
    entries: filled(new Map(vteps), new Map(neighbours)),
    ...{ hosts: new Map(), addresses: new Map(), macs: new Map() },
  };
  for (const host of vteps.values()) count(index, host, 1);
  for (const [address, entry] of claims) move(index, address, readClaim(entry)?.mac);
  return index;
}

/** What changed claims turn: the entries of their MAC addresses as they are, and as they are to be. */
export interface PeerChange {
  readonly now: Filled;
  readonly wanted: Wanted;
  /** The underlay addresses of all hosts of the network afterwards. */
  readonly hosts: ReadonlySet<string>;
}

/**
 * Takes changed claims into the index. Its entries are to be made so: if that fails, the index is of no more use.
 * @param changed the addresses whose claims are others, or gone
 */
export function changePeers(
  index: PeerIndex,
  changed: ReadonlySet<string>,
  { network, claims, hosts, own }: {
    readonly network: OverlayNetwork;
    readonly claims: Claims;
    readonly hosts: ReadonlyMap<string, HostRecord>;
    readonly own: string;
  },
): PeerChange {
  const macs = new Set<string>();
  const touched = new Set(changed);
  const note = (mac: string | undefined) => {
    if (mac === undefined) return;
    macs.add(mac);
    touched.add(linkLocalFrom(mac));
    index.addresses.get(mac)?.forEach((address) => touched.add(address));
  };
  for (const address of changed) {
    const entry = claims.get(address);
    const mac = entry && readClaim(entry)?.mac;
    [index.macs.get(address), mac].forEach(note);
    move(index, address, mac);
  }
  const group = [...changed, ...[...macs].flatMap((mac) => [...index.addresses.get(mac) ?? []])];
  const some = new Map(group.flatMap((address) => {
    const entry = claims.get(address);
    return entry ? [[address, entry] as const] : [];
  }));
  const now = entriesOf(index.entries, macs, touched);
  const wanted = wantedEntries(network, some, hosts, own);
  replace(index, now, wanted);
  return { now, wanted, hosts: new Set(index.hosts.keys()) };
}

function entriesOf(
  { vteps, neighbours }: PeerEntries,
  macs: ReadonlySet<string>,
  addresses: ReadonlySet<string>,
): Filled {
  const pick = (from: ReadonlyMap<string, string>, keys: ReadonlySet<string>) =>
    new Map([...keys].flatMap((key) => from.has(key) ? [[key, from.get(key)!] as const] : []));
  return filled(pick(vteps, macs), pick(neighbours, addresses));
}

function filled(vteps: Map<string, string>, neighbours: Map<string, string>): Filled {
  return { vteps, forwarded: vteps, neighbours };
}

function replace(index: PeerIndex, now: PeerEntries, wanted: PeerEntries): void {
  const { vteps, neighbours } = index.entries;
  for (const [mac, host] of now.vteps) {
    vteps.delete(mac);
    count(index, host, -1);
  }
  for (const address of now.neighbours.keys()) neighbours.delete(address);
  for (const [mac, host] of wanted.vteps) {
    vteps.set(mac, host);
    count(index, host, 1);
  }
  for (const [address, mac] of wanted.neighbours) neighbours.set(address, mac);
}

function count({ hosts }: PeerIndex, host: string, more: number): void {
  const left = (hosts.get(host) ?? 0) + more;
  if (left > 0) hosts.set(host, left);
  else hosts.delete(host);
}

/** An address is claimed with another MAC address now, or with none. */
function move({ addresses, macs }: PeerIndex, address: string, mac: string | undefined): void {
  const before = macs.get(address);
  if (before === mac) return;
  if (before !== undefined) {
    const rest = addresses.get(before)!;
    rest.delete(address);
    if (rest.size === 0) addresses.delete(before);
  }
  if (mac === undefined) return void macs.delete(address);
  macs.set(address, mac);
  if (!addresses.has(mac)) addresses.set(mac, new Set());
  addresses.get(mac)!.add(address);
}
