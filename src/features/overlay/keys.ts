/** What is in etcd, below the cluster's prefix. Whatever is read may be another program's, or a hostile host's. */
import { contains, family, lastOf, networkOf, parseAddress, parseCidr, plus } from "../../net/address.ts";
import { addressOf, lengthOf } from "../../net/address.ts";
import { identifierProblem, parseMac } from "../../net/names.ts";
import { isHostName } from "../networks/names.ts";
import type { MeshPort } from "../networks/services.ts";
import { parseObject } from "../../wire/overlay/requests.ts";

/**
 * The version of records, and that of those which an older ocinet has to refuse: of networks that are encrypted, and of
 * services with ports on some addresses only.
 */
const [usualVersion, secondVersion] = [1, 2];

/** A host, for as long as its lease. */
export interface HostRecord {
  readonly underlay: string;
  /** Of the underlay. */
  readonly mtu: number;
  /** UDP port of VXLAN. */
  readonly port: number;
  /** Tells one start of a machine from another, and two machines of one name. */
  readonly instance: string;
  /** Its WireGuard: the public key, the UDP port, and the address if that is not the underlay's. */
  readonly tunnel?: { readonly key: string; readonly port: number; readonly address?: string };
}

/** A network. */
export interface OverlayNetwork {
  readonly name: string;
  readonly vni: number;
  /** At most one of each family. */
  readonly subnets: readonly string[];
  /** It leads nowhere but to its own containers and their hosts. */
  readonly internal: boolean;
  /** Of the containers' links, where it is not to follow from the underlay. */
  readonly mtu?: number;
  /** Between hosts it is carried by WireGuard alone. */
  readonly encrypted?: true;
  /** Multicast and broadcast reach the containers of other hosts, too. */
  readonly multicast?: true;
}

/** Who has an address: a container's interface, or with no `id` a host itself. */
export interface AddressClaim {
  readonly host: string;
  readonly id: string;
  readonly ifname: string;
  readonly mac: string;
}

/** The keys. */
export const keysBelow = (prefix: string) => ({
  hosts: `${prefix}hosts/`,
  networks: `${prefix}networks/`,
  host: (name: string) => `${prefix}hosts/${name}`,
  network: (name: string) => `${prefix}networks/${name}`,
  vni: (vni: number) => `${prefix}vnis/${vni}`,
  addresses: (network: string) => `${prefix}addresses/${network}/`,
  address: (network: string, address: string) => `${prefix}addresses/${network}/${address}`,
  /** What a container's interface is a member of: `NETWORK/HOST/ID/IFNAME`. */
  services: `${prefix}services/`,
  /** Who is known by which names on a network: `HOST/ID/IFNAME`. */
  names: (network: string) => `${prefix}names/${network}/`,
});

/** The names of a container's interface. They go with the lease of its host. */
export interface NamesRecord {
  readonly addresses: readonly string[];
  readonly names: readonly string[];
}

/** What a container's interface is a member of. It goes with the lease of its host. */
export interface ServiceRecord {
  readonly service: string;
  readonly addresses: readonly string[];
  /** Addresses instead of those, while it gets no new connections: packets of the others still go there. */
  readonly drained?: readonly string[];
  readonly ports: readonly MeshPort[];
  readonly affinity: boolean;
}

/** The most addresses and names of a record that are read. */
const mostNames = 64;
/** The most ports of a member that are read. */
const mostPorts = 100;

/** A record as it is written. */
export function writeRecord(record: object): string {
  return JSON.stringify({ version: usualVersion, ...record });
}

/** A network's record. One that is encrypted has a version by which older agents leave it alone. */
export function writeNetwork({ name: _, ...record }: OverlayNetwork): string {
  return JSON.stringify({ version: record.encrypted ? secondVersion : usualVersion, ...record });
}

/** Why a record cannot be used that this version cannot read. */
export class LaterRecord extends Error {}

/** @throws Error giving the reason */
function readRecord(text: string, highest = usualVersion): Readonly<Record<string, unknown>> {
  const json = parseObject(text.slice(0, 65536));
  const version = json["version"];
  need(Number.isInteger(version) && version as number > 0, "it has no version");
  if (version as number > highest) {
    throw new LaterRecord(`it is of version ${version}, which a later ocinet wrote; update this host`);
  }
  return json;
}

/** @throws Error giving the reason */
export function parseHost(name: string, text: string): HostRecord {
  refuseName(name);
  const { underlay, mtu, port, instance, tunnel } = readRecord(text);
  const address = parseAddress(String(underlay));
  need(address !== undefined && isUnicast(address), "its underlay is no host's address");
  return {
    underlay: address,
    mtu: within(mtu, 576, 65535, "MTU"),
    port: portOf(port),
    instance: String(instance).slice(0, 200),
    ...(tunnel === undefined ? {} : { tunnel: parseTunnel(tunnel) }),
  };
}

/** The same, or undefined where it cannot be read. */
export function readHost(name: string, text: string): HostRecord | undefined {
  try {
    return parseHost(name, text);
  } catch {
    return undefined;
  }
}

function refuseName(name: string): void {
  const problem = identifierProblem(name);
  need(problem === undefined, `its name cannot be used: ${problem}`);
}

function parseTunnel(value: unknown): NonNullable<HostRecord["tunnel"]> {
  const { key, port, address } = (value ?? {}) as Readonly<Record<string, unknown>>;
  need(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(String(key)), "its key is none of WireGuard's");
  const parsed = parseAddress(String(address));
  need(
    address === undefined || parsed !== undefined && isUnicast(parsed),
    "its WireGuard's address is no host's",
  );
  return { key: String(key), port: portOf(port), ...(parsed ? { address: parsed } : {}) };
}

/** @throws Error giving the reason */
export function parseNetwork(name: string, text: string): OverlayNetwork {
  refuseName(name);
  const { vni, subnets, internal, mtu, encrypted, multicast } = readRecord(text, secondVersion);
  need(Array.isArray(subnets), "it has no subnets");
  return {
    ...{ name, vni: within(vni, 1, 2 ** 24 - 1, "VNI"), subnets: parseSubnets(subnets.map(String)) },
    internal: internal === true,
    ...(mtu === undefined ? {} : { mtu: within(mtu, 68, 65535, "MTU") }),
    ...(encrypted === true ? { encrypted } : {}),
    ...(multicast === true ? { multicast } : {}),
  };
}

/** One subnet, or one of each family, IPv4 first. @throws Error giving the value and the reason */
export function parseSubnets(texts: readonly string[]): readonly string[] {
  const subnets = texts.map((text) => {
    const parsed = parseCidr(text);
    const refused = `Cannot use subnet "${text}":`;
    need(parsed, `${refused} it is not of the form 10.9.0.0/24`);
    const subnet = networkOf(text);
    const most = family(subnet) === 4 ? 29 : 120;
    need(parsed.length >= 8 && parsed.length <= most, `${refused} its length has to be from 8 to ${most}`);
    need(isUnicast(addressOf(subnet)), `${refused} its addresses are not for hosts`);
    return subnet;
  }).toSorted((a, b) => family(a) - family(b));
  const families = new Set(subnets.map(family));
  need(
    subnets.length > 0 && families.size === subnets.length,
    "Cannot use the subnets: a network has one, or one of each family",
  );
  return subnets;
}

/** @throws Error giving the reason */
export function parseClaim(text: string): AddressClaim {
  const { host, id, ifname, mac } = readRecord(text);
  const parsed = parseMac(String(mac));
  need(identifierProblem(String(host)) === undefined, "its host cannot be a host's name");
  need(parsed && parsed.startsWith("02:"), "its MAC address is none of ours");
  return { host: String(host), id: String(id ?? ""), ifname: String(ifname ?? ""), mac: parsed };
}

/** @throws Error giving the reason */
export function parseNames(text: string): NamesRecord {
  const { addresses, names } = readRecord(text);
  need(Array.isArray(addresses) && Array.isArray(names), "it has no addresses, or no names");
  return {
    addresses: readAddresses(addresses),
    names: names.slice(0, mostNames).map(String).filter(isHostName),
  };
}

/** @throws Error giving the reason */
export function parseService(text: string): ServiceRecord {
  const { service, addresses, drained, ports, affinity } = readRecord(text, secondVersion);
  need(isHostName(String(service)), "it is no service's name");
  need(Array.isArray(addresses) && Array.isArray(ports), "it has no addresses, or no ports");
  return {
    service: String(service),
    addresses: readAddresses(addresses),
    ...(Array.isArray(drained) ? { drained: readAddresses(drained) } : {}),
    ports: ports.slice(0, mostPorts).map(parsePort),
    affinity: affinity === true,
  };
}

function readAddresses(all: readonly unknown[]): readonly string[] {
  return all.slice(0, mostNames).map(String).filter((one) => parseAddress(one) === one);
}

function parsePort(value: unknown): MeshPort {
  const { protocol, hostPort, port, on } = (value ?? {}) as Readonly<Record<string, unknown>>;
  need(
    protocol === "tcp" || protocol === "udp" || protocol === "sctp",
    "its protocol is neither tcp, udp nor sctp",
  );
  need(on === undefined || parseCidr(String(on)), "its subnet is none");
  return {
    ...{ protocol, hostPort: portOf(hostPort), port: portOf(port) },
    ...(on === undefined ? {} : { on: networkOf(String(on)) }),
  };
}

/** The subnet's gateway, which every host has for its own containers. */
export function gatewayOf(subnet: string): string {
  return plus(addressOf(subnet), 1n);
}

/** Whether an address of the subnet may be given away. */
export function isFree(subnet: string, address: string): boolean {
  return contains(subnet, address) && address !== addressOf(subnet) && address !== gatewayOf(subnet) &&
    (family(subnet) === 6 || address !== lastOf(subnet));
}

/** The network's subnet that the address is of. */
export function subnetOf({ subnets }: OverlayNetwork, address: string): string | undefined {
  return subnets.find((subnet) => isFree(subnet, address));
}

/** The smallest MTU that the network's links may have: the kernel takes IPv6 off those below 1280 (RFC 8200). */
export function smallestMtu({ subnets }: OverlayNetwork): number {
  return subnets.some((subnet) => family(subnet) === 6) ? 1280 : 68;
}

/** How many addresses a subnet has for containers and hosts. */
export function sizeOf(subnet: string): bigint {
  const bits = BigInt((family(subnet) === 4 ? 32 : 128) - lengthOf(subnet));
  return (1n << bits) - (family(subnet) === 4 ? 3n : 2n);
}

function isUnicast(address: string): boolean {
  return family(address) === 4
    ? !/^(0|127|22[4-9]|23\d|24\d|25[0-5])\./.test(address)
    : !/^(::1?$|ff|::ffff:|fe[89ab])/.test(address);
}

function portOf(value: unknown): number {
  return within(value, 1, 65535, "port");
}

/** @throws Error naming what has the value */
function within(value: unknown, least: number, most: number, what: string): number {
  need(
    Number.isInteger(value) && value as number >= least && value as number <= most,
    `its ${what} is no number from ${least} to ${most}`,
  );
  return value as number;
}

/** @throws Error giving the reason, unless it holds */
function need(holds: unknown, problem: string): asserts holds {
  if (!holds) throw new Error(problem);
}
