import { addressOf, family, hostLength, networkOf } from "../net/address.ts";
import { readRows, type Row } from "./ip_json.ts";
import type { Resource, RouteResource } from "./resource.ts";
import type { Step } from "./step.ts";

/** A link in the container's namespace. A planned link lacks the values that only the kernel knows. */
export interface InsideLink {
  readonly name: string;
  /** Its alternative names, which udev assigns. */
  readonly altNames?: readonly string[];
  readonly mac?: string;
  readonly mtu?: number;
  readonly queueLength?: number;
  readonly promiscuous?: boolean;
  readonly allMulticast?: boolean;
  readonly up?: boolean;
  /** Addresses with prefix lengths, including those of link scope. */
  readonly addresses?: readonly string[];
  /** The ifindex of a veth's peer, or of the link below it, in that link's own namespace. */
  readonly linkIndex?: number;
  /** The name of that link, if it is in this namespace. */
  readonly link?: string;
  readonly alias?: string;
  readonly kind?: string;
  /** The attributes of its kind, in `ip`'s words: `mode`, `id` … */
  readonly details?: Readonly<Record<string, unknown>>;
  /** The routing table of a VRF. */
  readonly table?: number;
  readonly master?: string;
}

/** A policy routing rule: packets from this source are routed by this table. The source "all" means any. */
export interface InsideRule {
  readonly from: string;
  readonly table: number;
}

/** A route; its destination is in canonical text. */
export interface InsideRoute {
  readonly dst: string;
  readonly dev: string;
  /** Absent: the main table. */
  readonly table?: number;
  /**
   * Its other attributes, in `ip route`'s words and order: `via`, `proto`, `scope` …; "" for a word without a value.
   */
  readonly attributes: readonly (readonly [string, string])[];
}

/** The state of the container's namespace: as it is, or as planned steps will leave it. */
export interface Inside {
  readonly links: ReadonlyMap<string, InsideLink>;
  readonly routes: readonly InsideRoute[];
  /** The rules whose table is a number. */
  readonly rules: readonly InsideRule[];
  /** The values of sysctls that were asked for and exist, by path below /proc/sys. */
  readonly sysctls?: ReadonlyMap<string, string>;
}

/** Switches IPv6 off on all links of a namespace, and on those to come. */
export const ipv6Switch = "net/ipv6/conf/all/disable_ipv6";

/** A new, empty namespace. */
export const emptyInside: Inside = { links: new Map(), routes: [], rules: [] };

/**
 * A script that prints what `parseInside` reads, with the sysctls given as arguments. Without IPv6, `ip -6` fails and
 * leaves a line without a newline.
 */
export const lookInside = "ip -d -j address; for family in 4 6; do echo; echo --; " +
  "printf 'route show table all\\nrule\\n' | ip -$family -j -force -batch - 2>&-; done; " +
  'for key; do echo; echo --; cat "/proc/sys/$key" 2>&-; done; true';

/** Reads the output of `lookInside`: links, then routes and rules of each family, then values of sysctls. */
export function parseInside(text: string, keys: readonly string[] = []): Inside {
  const parts = text.split(/^--$/m);
  const [links, rows4 = [], rows6 = []] = parts.slice(0, 3).map(readRows);
  const routes = (rows: readonly Row[], family: 4 | 6) =>
    rows.filter((row) => row["src"] === undefined && isOrdinary(row)).flatMap(hopsOf).map((row) =>
      readRoute(row, family)
    );
  // Rules have a source, routes do not.
  const rules = [...rows4, ...rows6].filter((row) => row["src"] !== undefined);
  const values = keys.map((key, i) => [key, parts[i + 3]?.trim() ?? ""] as const);
  return {
    links: new Map((links ?? []).map((row) => [String(row["ifname"]), readLink(row)])),
    routes: [...routes(rows4, 4), ...routes(rows6, 6)],
    rules: rules.map(readRule).filter(({ table }) => table > 0),
    ...(keys.length === 0 ? {} : { sysctls: new Map(values.filter(([, value]) => value !== "")) }),
  };
}

function readLink(row: Row): InsideLink {
  const flags = row["flags"] as readonly string[] | undefined;
  const info = row["linkinfo"] as { info_kind?: string; info_data?: Row } | undefined;
  const addresses = row["addr_info"] as readonly { local: string; prefixlen: number }[] | undefined;
  return {
    name: String(row["ifname"]),
    altNames: row["altnames"] as readonly string[] | undefined,
    mac: row["address"] as string | undefined,
    mtu: row["mtu"] as number | undefined,
    queueLength: row["txqlen"] as number | undefined,
    promiscuous: flags?.includes("PROMISC"),
    allMulticast: flags?.includes("ALLMULTI"),
    up: flags?.includes("UP"),
    addresses: addresses?.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    linkIndex: row["link_index"] as number | undefined,
    link: row["link"] as string | undefined,
    alias: row["ifalias"] as string | undefined,
    kind: info?.info_kind,
    details: info?.info_data,
    table: info?.info_data?.["table"] as number | undefined,
    master: row["master"] as string | undefined,
  };
}

function readRule({ src, srclen, table }: Row): InsideRule {
  return { from: srclen === undefined ? String(src) : `${src}/${srclen}`, table: Number(table) };
}

/** Splits a route with several next hops into one route per hop. */
function hopsOf(row: Row): readonly Row[] {
  const hops = row["nexthops"] as readonly Row[] | undefined;
  return hops?.map((hop) => ({ ...row, gateway: hop["gateway"], dev: hop["dev"] })) ?? [row];
}

/** The JSON names of attributes, and `ip route`'s words for them. */
const names = {
  ...{ gateway: "via", protocol: "proto", scope: "scope", prefsrc: "src", metric: "metric" },
  ...{ mtu: "mtu", advmss: "advmss", window: "window", hoplimit: "hoplimit", congestion: "congctl" },
  ...{ initcwnd: "initcwnd", initrwnd: "initrwnd", quickack: "quickack" },
};

/** Whether a route is not one of those that the kernel makes for its own addresses. */
function isOrdinary({ type = "unicast", table = 1 }: Row): boolean {
  return type === "unicast" && Number(table) > 0;
}

function readRoute(row: Row, of: 4 | 6): InsideRoute {
  const everywhere = of === 4 ? "0.0.0.0/0" : "::/0";
  const dst = String(row["dst"]);
  const said = Object.assign({}, row, ...(row["metrics"] as readonly Row[] | undefined ?? [])) as Row;
  const isOnLink = (row["flags"] as readonly string[] | undefined)?.includes("onlink");
  return {
    dst: dst === "default" ? everywhere : dst.includes("/") ? dst : `${dst}/${hostLength(dst)}`,
    dev: String(row["dev"]),
    ...(row["table"] === undefined ? {} : { table: Number(row["table"]) }),
    attributes: [
      ...Object.entries(names).flatMap(([key, word]) =>
        said[key] === undefined ? [] : [[word, String(said[key])] as const]
      ),
      ...(isOnLink ? [["onlink", ""] as const] : []),
    ],
  };
}

/** The state after the steps, as far as their resources tell it. */
export function insideAfter(inside: Inside, steps: readonly Step[]): Inside {
  return steps.reduce((seen, { on, id, removes, tool, onError }) => {
    if (on !== "container" || (tool !== "ip" && tool !== "exec")) return seen;
    if (onError === "ignore-exists" && id.kind === "route" && isTaken(seen, id)) return seen;
    return removes ? without(seen, id) : withResource(seen, id);
  }, inside);
}

/** Whether a route to the same destination exists. The kernel then keeps the existing one. */
function isTaken({ routes }: Inside, { dst, table, attributes }: RouteResource): boolean {
  const metric = (of: InsideRoute["attributes"]) => of.find(([word]) => word === "metric")?.[1];
  const byDefault = family(dst) === 4 ? undefined : "1024";
  return routes.some((route) =>
    route.dst === dst && route.table === table &&
    (metric(route.attributes) ?? byDefault) === (metric(attributes) ?? byDefault)
  );
}

/** Whether a configured name is the name or an alternative name of this link in the container. */
export function isNamed(inside: Inside | undefined, link: string | undefined, name: string): boolean {
  return link === name || link !== undefined && inside?.links.get(link)?.altNames?.includes(name) === true;
}

function withResource(inside: Inside, resource: Resource): Inside {
  switch (resource.kind) {
    case "address":
      return resource.routed ? withRoute(inside, connected(resource)) : inside;
    case "route": {
      const { kind: _, attributes, ...route } = resource;
      const isVia = ([word]: readonly [string, string]) => word === "via";
      const hops = attributes.filter(isVia);
      if (hops.length < 2) return withRoute(inside, { ...route, attributes });
      const others = attributes.filter((pair) => !isVia(pair));
      return hops.reduce((all, hop) => withRoute(all, { ...route, attributes: [hop, ...others] }), inside);
    }
    case "rule":
      return { ...inside, rules: [...inside.rules, { from: resource.from, table: resource.table }] };
    case "link":
      return resource.table === undefined
        ? inside
        : withLink(inside, resource.link, { kind: resource.type, table: resource.table });
    case "link-setting":
      return resource.master === undefined
        ? inside
        : withLink(inside, resource.link, { master: resource.master });
    default:
      return inside;
  }
}

function without(inside: Inside, resource: Resource): Inside {
  if (resource.kind !== "route") return inside;
  const { dst, dev } = resource;
  const isIt = (route: InsideRoute) => route.dst === dst && route.dev === dev && route.table === undefined;
  return { ...inside, routes: inside.routes.filter((route) => !isIt(route)) };
}

function withRoute(inside: Inside, route: InsideRoute): Inside {
  return { ...inside, routes: [...inside.routes, route] };
}

/** The route that the kernel makes for an address. */
function connected({ address, link }: { readonly address: string; readonly link: string }): InsideRoute {
  const scope = [["scope", "link"], ["src", addressOf(address)]] as const;
  const attributes = [
    ["proto", "kernel"],
    ...(family(address) === 4 ? scope : [["metric", "256"]]),
  ] as const;
  return { dst: networkOf(address), dev: link, attributes: attributes as InsideRoute["attributes"] };
}

function withLink(inside: Inside, name: string, more: Partial<InsideLink>): Inside {
  const link = { ...(inside.links.get(name) ?? { name }), ...more };
  return { ...inside, links: new Map([...inside.links, [name, link]]) };
}
