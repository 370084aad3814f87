import {
  addressOf,
  contains,
  type Family,
  family,
  fromNumber,
  lengthOf,
  networkOf,
  parseAddress,
  toNumber,
} from "../net/address.ts";
import { readRows } from "../plan/ip_json.ts";
import type { World } from "../plan/world.ts";
import { askIp } from "./links.ts";

/**
 * A route of the main table. It is converted to text only when it is shown: there may be hundreds, and a hook must be
 * fast.
 */
export interface HostRoute {
  /** The link's name; `*` or `lo` for a route that rejects packets. */
  readonly link: string;
  /** The destination in hexadecimal, most significant digit first: 8 or 32 digits. */
  readonly hex: string;
  /** The prefix length. */
  readonly length: number;
}

/** A routing table, or its first part. */
export interface RouteTable {
  readonly routes: readonly HostRoute[];
  readonly whole: boolean;
}

/**
 * How much of a table is read, in bytes: about 500 IPv4 or 430 IPv6 routes, which takes half a millisecond. The kernel
 * needs 13 seconds to print 50,000 IPv6 routes. If a table is longer, `ip route get` is used instead.
 */
const most = 65536;

/** An unused address that only a default route covers: the first global IPv6 unicast address. */
export const anywhere6 = "2000::1";
const anywhere4 = "64.0.0.1";

/**
 * The host's routes of a family. The kernel prints IPv4 routes in the order of their addresses, so the default route is
 * first.
 */
export function readRoutes(world: World, of: Family): RouteTable {
  const text = world.readStart(`/proc/self/net/${of === 4 ? "route" : "ipv6_route"}`, most) ?? "";
  const whole = text.length < most;
  const rows = text.split("\n");
  if (!whole) rows.pop();
  return { whole, routes: rows.flatMap(of === 4 ? parse4 : parse6) };
}

/**
 * Whether there are tables to which only rules lead, such as a VPN's. /proc lists those of IPv4; the few programs that
 * have such tables have them for both families. The kernel walks all routes for this file: ask where they are few.
 */
export function hasOtherTables(world: World): boolean {
  return /^Id /m.test(world.readStart("/proc/self/net/fib_triestat", most) ?? "");
}

/** Link, destination, gateway, flags … mask. Addresses are hexadecimal in memory order. */
function parse4(row: string): readonly HostRoute[] {
  const words = row.split("\t");
  const [link, to, mask] = [words[0]!, words[1], words[7]];
  if (to === undefined || mask === undefined || !/^[0-9A-F]{8}$/.test(mask)) return [];
  const length = [...mask].reduce((bits, digit) => bits + bitsSet[parseInt(digit, 16)]!, 0);
  return [{ link, hex: to.match(/../g)!.reverse().join("").toLowerCase(), length }];
}

const bitsSet = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];

/**
 * Destination, length … flags, link. The kernel's own routes for local (RTF_LOCAL), anycast and multicast addresses are
 * left out.
 */
function parse6(row: string): readonly HostRoute[] {
  const words = row.trim().split(/\s+/);
  if (words[9] === undefined || parseInt(words[8]!, 16) >= 0x80000000) return [];
  return [{ link: words[9], hex: words[0]!, length: parseInt(words[1]!, 16) }];
}

/** A route to a subnet in the same form. */
export function routeTo(subnet: string, link: string): HostRoute {
  const digits = family(subnet) === 4 ? 8 : 32;
  const hex = toNumber(addressOf(networkOf(subnet))).toString(16).padStart(digits, "0");
  return { link, hex, length: lengthOf(subnet) };
}

/** The destination as text. */
export function subnetOf({ hex, length }: HostRoute): string {
  return `${fromNumber(BigInt(`0x${hex}`), hex.length === 8 ? 4 : 6)}/${length}`;
}

/** Whether two destinations have addresses in common: they agree in the bits of the shorter prefix. */
export function overlap(one: HostRoute, other: HostRoute): boolean {
  if (one.hex.length !== other.hex.length) return false;
  const length = Math.min(one.length, other.length);
  const digits = length >> 2;
  if (one.hex.slice(0, digits) !== other.hex.slice(0, digits)) return false;
  const [first, second] = [one, other].map(({ hex }) =>
    parseInt(hex[digits] ?? "0", 16) >> (4 - (length & 3))
  );
  return first === second;
}

function fromHex6(hex: string): string {
  return parseAddress(hex.match(/..../g)!.join(":"))!;
}

/** The links of the default routes in a table. */
function defaultLinks({ routes }: RouteTable): readonly string[] {
  return routes.filter(({ link, length }) => length === 0 && link !== "*" && link !== "lo")
    .map(({ link }) => link);
}

/** The link of the host's first default route, preferably IPv4. */
export async function defaultLink(world: World): Promise<string | undefined> {
  const [four] = defaultLinks(readRoutes(world, 4));
  if (four !== undefined) return four;
  const table = readRoutes(world, 6);
  if (table.whole) return defaultLinks(table)[0];
  return (await askIp(world, [`route get ${anywhere6}`]))[0]?.["dev"] as string | undefined;
}

/** Whether the host has a default route of a family. */
export function hasDefaultRoute(world: World, of: Family): boolean {
  const table = readRoutes(world, of);
  if (defaultLinks(table).length > 0) return true;
  return !table.whole && of === 6 && world.ask(["ip", "-6", "route", "get", anywhere6]).trim() === "";
}

/**
 * Links whose default route comes from router advertisements that the kernel would ignore once the host forwards IPv6.
 * Empty if the host forwards already.
 */
export async function advertisedLinks(world: World): Promise<readonly string[]> {
  if (world.read("/proc/sys/net/ipv6/conf/all/forwarding")?.trim() === "1") return [];
  const table = readRoutes(world, 6);
  const links = table.whole ? defaultLinks(table) : await askDefaults6(world);
  return [...new Set(links)].filter((link) =>
    world.read(`/proc/sys/net/ipv6/conf/${link}/accept_ra`)?.trim() === "1"
  );
}

/** The cost grows with the number of routes. It is needed only once, before IPv6 forwarding is turned on. */
async function askDefaults6(world: World): Promise<readonly string[]> {
  const { stdout } = await world.run(["ip", "-6", "-json", "route", "show", "default", "proto", "ra"], {
    looks: true,
  });
  return readRows(stdout).flatMap(({ dev }) => typeof dev === "string" ? [dev] : []);
}

/** Whether the host has IPv6 beyond its own links: an address of global scope (0x00) on a link other than lo. */
export function hasIpv6(world: World): boolean {
  const text = world.readStart("/proc/self/net/if_inet6", most) ?? "";
  const rows = text.split("\n").map((row) => row.trim().split(/\s+/));
  return rows.some((row) => row[3] === "00" && row[5] !== undefined && row[5] !== "lo") ||
    text.length >= most && hasDefaultRoute(world, 6);
}

/**
 * The link by which the host reaches most of the world. A VPN may have two halves of it beside the default route, or a table
 * of its own.
 */
async function wayOut(world: World): Promise<string | undefined> {
  const { routes, whole } = readRoutes(world, 4);
  const [found] = whole && hasOtherTables(world)
    ? await askIp(world, [`route get ${anywhere4}`]).catch(() => [])
    : [];
  if (typeof found?.["dev"] === "string") return found["dev"];
  return routes.find(({ hex, length }) => length === 1 && hex === "00000000")?.link ??
    await defaultLink(world);
}

/**
 * The MTU of the host's way out. For IPv6 it is read from /proc/sys, which is always that of our namespace,
 * unlike /sys. It is the link's own MTU, unless routers announced a smaller one.
 */
export async function defaultMtu(world: World): Promise<number | undefined> {
  const link = await wayOut(world);
  if (link === undefined) return undefined;
  const text = world.read(`/proc/sys/net/ipv6/conf/${link}/mtu`) ?? world.read(`/sys/class/net/${link}/mtu`);
  return text === undefined ? undefined : Number(text);
}

/**
 * Whether an address is the host's: a program can listen on it, or the kernel accepts packets to it. Trying to listen
 * takes no process. Only if that fails, as for a link-local address without a link, `ip` is asked.
 */
export async function isHostAddress(world: World, address: string): Promise<boolean> {
  if (await world.hasAddress(address)) return true;
  return (await askIp(world, [`route get ${address}`])).some(({ type }) => type === "local");
}

/**
 * A function that tells whether an address belongs to the network namespace of a process that we cannot enter. It is
 * needed for ports in a session that are published on a host address. If a table is too long to be read, the answer is
 * yes, and the uplink that forwards the port must report an error.
 */
export function addressesSeenBy(world: World, pid: number): (address: string) => boolean {
  const table = (name: string) => world.readStart(`/proc/${pid}/net/${name}`, most) ?? "";
  const [trie, addresses, routes] = [table("fib_trie"), table("if_inet6"), table("ipv6_route")];
  const subnets = [...subnets4(trie), ...subnets6(addresses, routes)];
  const unknown = [trie.length >= most, Math.max(addresses.length, routes.length) >= most];
  const nonLocal = ["4", "6"].map((version) =>
    world.read(`/proc/sys/net/ipv${version}/ip_nonlocal_bind`)?.trim() === "1"
  );
  return (address) => {
    const of = address.includes(":") ? 1 : 0;
    return unknown[of]! || nonLocal[of]! || subnets.some((subnet) => contains(subnet, address));
  };
}

/** The local destinations of IPv4: addresses, and subnets such as 127.0.0.0/8. */
function subnets4(trie: string): readonly string[] {
  const leaves = trie.matchAll(/\|-- (\S+)((?:\n +\/.*)+)/g);
  return Array.from(
    leaves,
    ([, address, rows]) =>
      Array.from(rows!.matchAll(/\/([0-9]+) \S+ LOCAL/g), ([, length]) => `${address}/${length}`),
  ).flat();
}

/** The local destinations of IPv6: routes with the flag RTF_LOCAL, and addresses under duplicate address detection. */
function subnets6(addresses: string, routes: string): readonly string[] {
  const rows = (text: string, words: number) =>
    text.split("\n").map((row) => row.trim().split(/\s+/)).filter(({ length }) => length >= words);
  const local = rows(routes, 10).filter((row) => parseInt(row[8]!, 16) >= 0x80000000);
  return [...rows(addresses, 6).map(([address]) => [address!, "80"]), ...local].map(([address, length]) =>
    `${fromHex6(address!)}/${parseInt(length!, 16)}`
  );
}
