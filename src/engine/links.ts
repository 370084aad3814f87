import { contains, lengthOf, parseCidr } from "../net/address.ts";
import { linkNameProblem } from "../net/names.ts";
import { ownAlias } from "../plan/ip.ts";
import { readRows, type Row } from "../plan/ip_json.ts";
import type { Link, PortFlags } from "../plan/host_state.ts";
import { whyFailed, type World } from "../plan/world.ts";

/**
 * Whether a link is in our network namespace. /proc/sys/net is always that of our own, and has a directory for each link
 * but those whose MTU is under 68, on which there is no IPv4. /sys/class/net shows the namespace that it was mounted in.
 */
export function linkExists(world: World, name: string): boolean {
  return linkNameProblem(name) === undefined && world.stat(`/proc/sys/net/ipv4/conf/${name}`) !== undefined;
}

/** What is asked of the host's `ip`. Names are those of links, or alternative ones (`ip link property`). */
export interface Questions {
  readonly links: readonly string[];
  /** Addresses, for how they are reached; or behind `matching`. */
  readonly reached: readonly string[];
  /** MAC addresses, for the links that have them: that takes a look at every link. */
  readonly macs: readonly string[];
  /** Bridges that we made, by name and MAC address, for that which has the address by now. */
  readonly renamed?: readonly OwnBridge[];
}

/** What `ip` answers. */
export interface Answers {
  readonly links: ReadonlyMap<string, Link>;
  readonly reached: ReadonlyMap<string, string>;
  readonly macs: ReadonlyMap<string, Link>;
}

/** Asks `ip` for all of it at once; where there is nothing to ask, no program is started. */
export async function askLinks(world: World, questions: Questions): Promise<Answers> {
  const rows = await askIp(world, linesFor(questions));
  const links = rows.filter((row) => row["ifindex"] !== undefined).map(parseLink);
  const routes = rows.filter((row) => row["dst"] !== undefined && row["dev"] !== undefined);
  const named = (asked: string) =>
    links.find(({ name }) => name === asked) ?? links.find(({ altNames }) => altNames?.includes(asked));
  const found = <T>(asked: readonly string[], find: (one: string) => T | undefined) =>
    new Map(asked.flatMap((one) => {
      const answer = find(one);
      return answer === undefined ? [] : [[one, answer] as const];
    }));
  const renamed = (questions.renamed ?? []).flatMap(({ name, mac }) => {
    const is = links.find((link) => link.kind === "bridge" && link.alias === ownAlias && link.mac === mac);
    return is && !named(name) ? [[name, is] as const] : [];
  });
  return {
    links: new Map([...found(questions.links, named), ...renamed]),
    reached: found(
      questions.reached,
      (asked) => asked.startsWith(matching) ? matched(routes, asked) : wayTo(routes, asked),
    ),
    macs: found(questions.macs, (wanted) => links.find(({ mac }) => mac === wanted)),
  };
}

/** Asks for the route that an address is reached by, whose answer is its destination and its link. */
export const matching = "fibmatch ";

function wayTo(routes: readonly Row[], address: string): string | undefined {
  return routes.find(({ dst }) => dst === address)?.["dev"] as string | undefined;
}

/** Of several answers the longest prefix is that of the address. */
function matched(routes: readonly Row[], asked: string): string | undefined {
  const address = asked.slice(matching.length);
  const isOn = ({ dst }: Row) => parseCidr(String(dst)) !== undefined && contains(String(dst), address);
  const [row] = routes.filter(isOn).toSorted((a, b) =>
    lengthOf(String(b["dst"])) - lengthOf(String(a["dst"]))
  );
  return row && `${row["dst"]} ${row["dev"]}`;
}

/** A name that is no plain word is no link's that we could use. */
const plainWord = /^[A-Za-z0-9_.+][A-Za-z0-9_.:+-]{0,126}$/;

function linesFor({ links, reached, macs, renamed = [] }: Questions): readonly string[] {
  const named = links.filter((name) => plainWord.test(name)).map((name) => `address show dev ${name}`);
  return [
    ...(macs.length > 0 ? ["address show"] : named),
    ...(renamed.length > 0 ? ["address show type bridge"] : []),
    ...reached.map((address) => `route get ${address}`),
  ];
}

/** Prints what lines of its input ask for, until they end. */
export const lookingIp: readonly string[] = ["ip", "-d", "-json", "-force", "-batch", "-"];

/** What `ip` prints for lines that only look. What is not there has no answer, and stops nothing. */
export async function askIp(world: World, lines: readonly string[]): Promise<readonly Row[]> {
  if (lines.length === 0) return [];
  const stdin = lines.map((line) => `${line}\n`).join("");
  const output = await world.run(lookingIp, { stdin, looks: true });
  // 1 is for what is not there, which it says; who was killed, or could not begin, has told nothing.
  if (output.code > 1 || output.code === 1 && !isGone(output.stderr)) {
    throw new Error(`Cannot look at links by ip: ${whyFailed(output)}`);
  }
  return readRows(output.stdout);
}

/** Whether `ip` says nothing but that what was asked for is not there. */
function isGone(stderr: string): boolean {
  const words = stderr.split("\n").filter((row) => row !== "" && !row.startsWith("Command failed"));
  return words.length > 0 && words.every((word) => missing.test(word));
}

const missing =
  /does not exist|Cannot find device|unreachable|No route to host|Invalid argument|No such|not supported/;

function parseLink(row: Row): Link {
  const flags = row["flags"] as readonly string[] | undefined ?? [];
  const info = row["linkinfo"] as {
    readonly info_kind?: string;
    readonly info_slave_kind?: string;
    readonly info_data?: { readonly vlan_filtering?: number; readonly vlan_default_pvid?: number };
    readonly info_slave_data?: Partial<PortFlags>;
  } | undefined;
  const port = info?.info_slave_data;
  const { vlan_filtering: filtering, vlan_default_pvid: pvid = 1 } = info?.info_data ?? {};
  return {
    name: String(row["ifname"]),
    altNames: row["altnames"] as readonly string[] | undefined ?? [],
    index: Number(row["ifindex"]),
    mac: String(row["address"] ?? ""),
    mtu: Number(row["mtu"]),
    kind: info?.info_kind ?? "",
    alias: String(row["ifalias"] ?? ""),
    up: flags.includes("UP"),
    promiscuous: flags.includes("PROMISC"),
    allMulticast: flags.includes("ALLMULTI"),
    queueLength: Number(row["txqlen"] ?? 0),
    hardware: row["parentdev"] !== undefined,
    ...(filtering === undefined ? {} : { vlans: { filtering: filtering === 1, default: pvid } }),
    ...(row["master"] === undefined ? {} : {
      master: String(row["master"]),
      port: {
        ...{ hairpin: port?.hairpin === true, isolated: port?.isolated === true },
        ...(port?.learning === undefined ? {} : { learning: port.learning }),
      },
    }),
    addresses: addressesOf(row),
  };
}

/** Those of link scope left out. */
function addressesOf(row: Row): readonly string[] {
  const all = row["addr_info"] as
    | readonly { readonly local?: string; readonly prefixlen: number; readonly scope: string }[]
    | undefined;
  return all?.filter(({ local, scope }) => local !== undefined && scope !== "link")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`) ?? [];
}

/** A bridge that we may have made for a network, by its name and the MAC address that it then has. */
export interface OwnBridge {
  readonly name: string;
  readonly mac: string;
}

/**
 * A bridge that we made for this network, without its addresses; undefined for any other, which `ip` has to be asked of.
 * That takes no process, and the containers after a bridge's first pay for none. Should /sys show another network
 * namespace, what we read of such a bridge there is the same as here.
 */
export function readOwnBridge(world: World, { name, mac }: OwnBridge): Link | undefined {
  if (!linkExists(world, name)) return undefined;
  const file = (leaf: string) => world.read(`/sys/class/net/${name}/${leaf}`)?.trim() ?? "";
  if (file("ifalias") !== ownAlias || file("address") !== mac) return undefined;
  const kind = /^DEVTYPE=(.*)$/m.exec(file("uevent"))?.[1] ?? "";
  if (kind !== "bridge") return undefined;
  const up = (Number(file("flags")) & 1) !== 0;
  return {
    ...{ name, mac, kind, up, alias: ownAlias },
    index: Number(file("ifindex")),
    mtu: Number(file("mtu")),
    ...bridgeFacts(file),
  };
}

/** An address that was set is of type 3 (NET_ADDR_SET). A kernel without VLANs on bridges has no such files. */
export function bridgeFacts(file: (leaf: string) => string): Pick<Link, "floatingMac" | "vlans"> {
  const [assigned, filtering] = [file("addr_assign_type"), file("bridge/vlan_filtering")];
  return {
    ...(assigned === "" || assigned === "3" ? {} : { floatingMac: true }),
    ...(filtering === ""
      ? {}
      : { vlans: { filtering: filtering === "1", default: Number(file("bridge/default_pvid")) } }),
  };
}

/** The names of all links of our network namespace that have IPv4 or IPv6 (see `linkExists`). */
export function linkNames(world: World): readonly string[] {
  const names = ["ipv4", "ipv6"].flatMap((family) => world.list(`/proc/sys/net/${family}/conf`));
  return [...new Set(names)].filter((name) => name !== "all" && name !== "default");
}

/** Every link of our network namespace, with an index each: what that costs grows with their number. */
export async function listLinks(world: World): Promise<readonly Link[]> {
  return (await askIp(world, ["address show"])).map(parseLink);
}
