import { contains } from "../../net/address.ts";
import { identifierProblem } from "../../net/names.ts";
import { overlaps } from "../networks/ipam_options.ts";
import { readClaim, showHolder, showSome } from "./claims.ts";
import type { Etcd } from "./etcd.ts";
import type { Write } from "./etcd_wire.ts";
import {
  keysBelow,
  LaterRecord,
  type OverlayNetwork,
  parseNetwork,
  parseSubnets,
  readHost,
  smallestMtu,
  writeNetwork,
  writeRecord,
} from "./keys.ts";

/** The lowest VNI that is allotted: those below are used by hand, and by others. */
const firstVni = 4097;
/** Subnets for networks that name none: 10.201.0.0/24 and on. */
const usualSubnets = Array.from({ length: 256 }, (_, i) => `10.201.${i}.0/24`);

/** What a network is to be. */
export interface NetworkWish {
  readonly name: string;
  readonly subnets: readonly string[];
  readonly internal?: boolean;
  readonly mtu?: number;
  readonly encrypted?: boolean;
  readonly multicast?: boolean;
}

/** A cluster's etcd, and what its keys begin with. */
export interface Store {
  readonly etcd: Etcd;
  readonly prefix: string;
  /** What chance chooses by: see `Chance.random`. */
  readonly random: () => number;
}

/** All networks of the cluster by name; those that cannot be read are left out, and told. */
export async function listNetworks(
  { etcd, prefix }: Store,
  tell: (problem: string) => void = () => {},
): Promise<readonly OverlayNetwork[]> {
  const { networks } = keysBelow(prefix);
  const { keys } = await etcd.list(networks);
  return keys.flatMap(({ key, value }) => {
    try {
      return [parseNetwork(key.slice(networks.length), value)];
    } catch (error) {
      tell(`Cannot read ${JSON.stringify(key)} in etcd: ${(error as Error).message}`);
      return [];
    }
  });
}

/**
 * Makes a network that is known on all hosts. Its VNI is allotted in the transaction that makes it: two hosts never
 * allot the same one.
 * @throws Error naming what is in the way
 */
export async function createNetwork(store: Store, wish: NetworkWish): Promise<OverlayNetwork> {
  const { name, internal = false, mtu, encrypted, multicast } = wish;
  const problem = identifierProblem(name) ??
    (name.length > 100 ? "it is longer than 100 characters" : undefined);
  if (problem !== undefined) throw new Error(`Cannot create network ${JSON.stringify(name)}: ${problem}`);
  const { network, vni: vniKey } = keysBelow(store.prefix);
  const taken = new Error(`Cannot create network "${name}": the cluster has one of that name`);
  const held = new Set<number>();
  for (;;) {
    const others = await listNetworks(store);
    if (others.some((one) => one.name === name)) throw taken;
    const subnets = chooseSubnets(wish, others);
    await refuseUnderlay(store, name, subnets);
    const vni = freeVni(others, held);
    const made = parseNetwork(
      name,
      writeRecord({ vni, subnets, internal, encrypted, multicast, ...(mtu === undefined ? {} : { mtu }) }),
    );
    refuseSmall(made);
    // By this it is told from another that is to be the same.
    const record = writeNetwork(Object.assign({ id: crypto.randomUUID() }, made));
    const done = await store.etcd.change(
      [{ key: network(name), created: "0" }, { key: vniKey(vni), created: "0" }],
      [{ put: network(name), value: record }, { put: vniKey(vni), value: name }],
    );
    if (done) return made;
    // An answer that was lost, or another host was quicker.
    const [there, holder] = await Promise.all([store.etcd.get(network(name)), store.etcd.get(vniKey(vni))]);
    if (there?.value === record) return made;
    // Its record may be one that cannot be read here, and so may that of the network that has the VNI.
    if (there) throw taken;
    if (holder && !await freeStrayVni(store, vni, holder.value)) held.add(vni);
  }
}

function refuseSmall(network: OverlayNetwork): void {
  const least = smallestMtu(network);
  if ((network.mtu ?? least) >= least) return;
  throw new Error(
    `Cannot create network "${network.name}" with MTU ${network.mtu}: IPv6 needs ${least}; use that or more, or no IPv6 subnet`,
  );
}

/** Frees a VNI whose network is gone, as after a key was deleted by hand. @returns whether it did */
async function freeStrayVni({ etcd, prefix }: Store, vni: number, name: string): Promise<boolean> {
  const { network, vni: vniKey } = keysBelow(prefix);
  return await etcd.change(
    [{ key: network(name), created: "0" }, { key: vniKey(vni), value: name }],
    [{ delete: vniKey(vni) }],
  );
}

function chooseSubnets(
  { name, subnets }: NetworkWish,
  others: readonly OverlayNetwork[],
): readonly string[] {
  const taken = others.flatMap((one) => one.subnets.map((subnet) => ({ subnet, name: one.name })));
  const overlap = (subnet: string) => taken.find((one) => overlaps(one.subnet, subnet));
  if (subnets.length === 0) {
    const free = usualSubnets.find((subnet) => overlap(subnet) === undefined);
    if (free === undefined) {
      throw new Error(`Cannot create network "${name}": name a subnet; the usual ones are taken`);
    }
    return [free];
  }
  const wanted = parseSubnets(subnets);
  for (const subnet of wanted) {
    const other = overlap(subnet);
    if (other) {
      throw new Error(
        `Cannot create network "${name}" with subnet ${subnet}: network "${other.name}" has ${other.subnet}`,
      );
    }
  }
  return wanted;
}

/** A host whose own address is in the subnet would send what is for it into the network. */
async function refuseUnderlay(
  { etcd, prefix }: Store,
  name: string,
  subnets: readonly string[],
): Promise<void> {
  const { hosts } = keysBelow(prefix);
  for (const { key, value } of (await etcd.list(hosts)).keys) {
    const host = key.slice(hosts.length);
    const underlay = readHost(host, value)?.underlay;
    const subnet = underlay && subnets.find((one) => contains(one, underlay));
    if (!subnet) continue;
    throw new Error(
      `Cannot create network "${name}" with subnet ${subnet}: it contains ${underlay}, which is the address of ` +
        `host "${host}"`,
    );
  }
}

function freeVni(others: readonly OverlayNetwork[], held: ReadonlySet<number>): number {
  const taken = new Set([...held, ...others.map(({ vni }) => vni)]);
  let vni = firstVni;
  while (taken.has(vni)) vni++;
  return vni;
}

/**
 * Removes a network without addresses that are taken, also one whose record is damaged.
 * @throws Error naming the containers that have some
 */
export async function removeNetwork(store: Store, name: string): Promise<void> {
  const { etcd, prefix } = store;
  const { network: networkKey, vni, addresses, names } = keysBelow(prefix);
  const refused = (reason: string) => new Error(`Cannot remove network "${name}": ${reason}`);
  const there = await etcd.get(networkKey(name));
  if (there === undefined) throw refused("the cluster has none of that name");
  let vnis: readonly Write[] = [];
  try {
    vnis = [{ delete: vni(parseNetwork(name, there.value).vni) }];
  } catch (error) {
    if (error instanceof LaterRecord) throw refused(error.message);
  }
  const done = await etcd.change(
    [
      { key: networkKey(name), created: there.created },
      { key: addresses(name), created: "0", prefix: true },
    ],
    [{ delete: networkKey(name) }, ...vnis, { delete: names(name), prefix: true }],
  );
  if (done || (await etcd.get(networkKey(name)))?.created !== there.created) return;
  const { keys } = await etcd.list(addresses(name));
  const holders = keys.map((entry) => {
    const [address, claim] = [entry.key.slice(addresses(name).length), readClaim(entry)];
    return claim ? `${showHolder(claim)} (${address})` : address;
  });
  // Hosts have addresses as long as their containers have.
  const first = holders.toSorted((a, b) =>
    Number(b.startsWith("container")) - Number(a.startsWith("container"))
  );
  throw refused(`it is used by ${showSome(first)}`);
}
