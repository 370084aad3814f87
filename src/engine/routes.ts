import { contains, fromNumber, lengthOf, parseAddress, toNumber } from "../net/address.ts";
import type { Family } from "../net/address.ts";
import { readRows } from "../plan/ip_json.ts";
import type { World } from "../plan/world.ts";
import { askIp } from "./links.ts";

/** A route of the main table. */
export interface HostRoute {
  /** `*` or `lo` for one that refuses. */
  readonly link: string;
  readonly subnet: string;
}

/** A table of routes, or the beginning of one. */
export interface RouteTable {
  readonly routes: readonly HostRoute[];
  readonly whole: boolean;
}

/**
 * How much of a table is read, in bytes: of IPv4 some 500 routes, of IPv6 some 430, which takes half a millisecond. A
 * table of 50,000 IPv6 routes takes the kernel 13 seconds to print. Longer ones are asked, not read.
 */
const most = 65536;

/** An address that no route leads to but a default one: the first of what IPv6 has for the world, which is nobody's. */
export const anywhere6 = "2000::1";

/** The host's routes of a family: the kernel prints IPv4's in the order of their addresses, so the default comes first. */
export function readRoutes(world: World, family: Family): RouteTable {
  const text = world.readStart(`/proc/self/net/${family === 4 ? "route" : "ipv6_route"}`, most) ?? "";
  const whole = text.length < most;
  const rows = text.split("\n");
  if (!whole) rows.pop();
  return { whole, routes: rows.flatMap(family === 4 ? parse4 : parse6) };
}

/** Link, destination, gateway, flags … mask; addresses are hexadecimal, as they lie in memory. */
function parse4(row: string): readonly HostRoute[] {
  const words = row.split("\t");
  if (!/^[0-9A-F]{8}$/.test(words[7] ?? "")) return [];
  const length = toNumber(fromHex(words[7]!)).toString(2).replaceAll("0", "").length;
  return [{ link: words[0]!, subnet: `${fromHex(words[1]!)}/${length}` }];
}

function fromHex(hex: string): string {
  return fromNumber(BigInt(`0x${hex.match(/../g)!.reverse().join("")}`), 4);
}

/** Destination, length … flags, link. Left out are the kernel's own for local addresses (RTF_LOCAL), anycast, groups. */
function parse6(row: string): readonly HostRoute[] {
  const words = row.trim().split(/\s+/);
  if (words[9] === undefined || parseInt(words[8]!, 16) >= 0x80000000) return [];
  return [{ link: words[9]!, subnet: `${fromHex6(words[0]!)}/${parseInt(words[1]!, 16)}` }];
}

function fromHex6(hex: string): string {
  return parseAddress(hex.match(/..../g)!.join(":"))!;
}

/** The links of the default routes in a table. */
function defaultLinks({ routes }: RouteTable): readonly string[] {
  return routes.filter(({ link, subnet }) => lengthOf(subnet) === 0 && link !== "*" && link !== "lo")
    .map(({ link }) => link);
}

/** The link of the host's first default route, of IPv4 if it has one. */
export async function defaultLink(world: World): Promise<string | undefined> {
  const [four] = defaultLinks(readRoutes(world, 4));
  if (four !== undefined) return four;
  const table = readRoutes(world, 6);
  if (table.whole) return defaultLinks(table)[0];
  return (await askIp(world, [`route get ${anywhere6}`]))[0]?.["dev"] as string | undefined;
}

/** Whether the host has a default route of a family. */
export function hasDefaultRoute(world: World, family: Family): boolean {
  const table = readRoutes(world, family);
  if (defaultLinks(table).length > 0) return true;
  return !table.whole && family === 6 && world.ask(["ip", "-6", "route", "get", anywhere6]).trim() === "";
}

/**
 * Links whose default route is from router advertisements that the kernel would no longer take once the host forwards
 * IPv6. A host that forwards already stays as it is.
 */
export async function advertisedLinks(world: World): Promise<readonly string[]> {
  if (world.read("/proc/sys/net/ipv6/conf/all/forwarding")?.trim() === "1") return [];
  const table = readRoutes(world, 6);
  const links = table.whole ? defaultLinks(table) : await askDefaults6(world);
  return [...new Set(links)].filter((link) =>
    world.read(`/proc/sys/net/ipv6/conf/${link}/accept_ra`)?.trim() === "1"
  );
}

/** What that costs grows with the number of routes; it is asked but once, before IPv6 is forwarded. */
async function askDefaults6(world: World): Promise<readonly string[]> {
  const { stdout } = await world.run(["ip", "-6", "-json", "route", "show", "default", "proto", "ra"], {
    looks: true,
  });
  return readRows(stdout).flatMap(({ dev }) => typeof dev === "string" ? [dev] : []);
}

/** Whether the host has IPv6 beyond its own links: an address of global scope (0x00) that is not lo's. */
export function hasIpv6(world: World): boolean {
  const text = world.readStart("/proc/self/net/if_inet6", most) ?? "";
  const rows = text.split("\n").map((row) => row.trim().split(/\s+/));
  return rows.some((row) => row[3] === "00" && row[5] !== undefined && row[5] !== "lo") ||
    text.length >= most && hasDefaultRoute(world, 6);
}

/**
 * The MTU of the host's default route. IPv6 has it for each link where /proc/sys is, which is our namespace's whatever
 * /sys shows; it is the link's own unless routers told of a smaller one.
 */
export async function defaultMtu(world: World): Promise<number | undefined> {
  const link = await defaultLink(world);
  if (link === undefined) return undefined;
  const text = world.read(`/proc/sys/net/ipv6/conf/${link}/mtu`) ?? world.read(`/sys/class/net/${link}/mtu`);
  return text === undefined ? undefined : Number(text);
}

/**
 * Whether an address is the host's: programs can listen on it, or the kernel takes in what is sent to it. To try takes
 * no process; only what cannot be listened on, as a link-local address without its link, is asked for.
 */
export async function isHostAddress(world: World, address: string): Promise<boolean> {
  if (await world.hasAddress(address)) return true;
  return (await askIp(world, [`route get ${address}`])).some(({ type }) => type === "local");
}

/**
 * Tells whether addresses are those of the namespace that a process is in, which we cannot enter: for ports of containers
 * in a session, on addresses of the host's. Of tables too long to be read, who brings the port has to say.
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

/** What the kernel takes in as its own: addresses, and subnets such as 127.0.0.0/8. */
function subnets4(trie: string): readonly string[] {
  const leaves = trie.matchAll(/\|-- (\S+)((?:\n +\/.*)+)/g);
  return Array.from(
    leaves,
    ([, address, rows]) =>
      Array.from(rows!.matchAll(/\/([0-9]+) \S+ LOCAL/g), ([, length]) => `${address}/${length}`),
  ).flat();
}

/** The same of IPv6: routes with the flag RTF_LOCAL, and addresses that are still looked for elsewhere. */
function subnets6(addresses: string, routes: string): readonly string[] {
  const rows = (text: string, words: number) =>
    text.split("\n").map((row) => row.trim().split(/\s+/)).filter(({ length }) => length >= words);
  const local = rows(routes, 10).filter((row) => parseInt(row[8]!, 16) >= 0x80000000);
  return [...rows(addresses, 6).map(([address]) => [address!, "80"]), ...local].map(([address, length]) =>
    `${fromHex6(address!)}/${parseInt(length!, 16)}`
  );
}
