import { family, hostLength, lengthOf } from "../net/address.ts";
import type { Route } from "../wire/cni/result.ts";
import type { Resource, RouteResource } from "./resource.ts";
import { type Exec, exec, type Hole, type Line, line, type Place, type Step, words } from "./step.ts";

/** The alias (ifalias in /sys) of shared links that we made. They may be removed once they are unused. */
export const ownAlias = "ocinet";

/** One end of a veth. */
export interface VethEnd {
  readonly name: string;
  readonly mac: string;
}

/** A veth pair. Both ends have their final names, and the peer is in the container from the start. */
export interface Veth {
  readonly host: VethEnd;
  readonly container: VethEnd;
  readonly netns: string;
  readonly mtu?: number;
  readonly master?: string;
}

/** Makes a veth pair. Removing the host's end removes both. */
export function addVeth({ host, container, netns, mtu, master }: Veth): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const port = master === undefined ? "" : words` master ${master}`;
  const run = words`link add name ${host.name} address ${host.mac}` + size + port + " type veth " +
    words`peer name ${container.name} address ${container.mac}` + size + words` netns ${netns}`;
  const id: Resource = {
    ...{ kind: "link", link: host.name, type: "veth" },
    ...(master === undefined ? {} : { master }),
  };
  return line("ip", "host", id, run, { undo: words`link del dev ${host.name}` });
}

/** The names of the host's ends of all veth pairs that the steps make. */
export function vethsOf(steps: readonly Step[]): readonly string[] {
  return steps.flatMap(({ on, id }) =>
    on === "host" && id.kind === "link" && id.type === "veth" ? [id.link] : []
  );
}

/**
 * Makes a bridge with a fixed MAC address. Without one, it takes its lowest port's, which changes as ports come and go.
 */
export function addBridge(name: string, mac: string, mtu: number | undefined, filtering: boolean): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const options = filtering ? " vlan_filtering 1" : "";
  const run = words`link add name ${name} address ${mac}` + size + " type bridge" + options;
  return line("ip", "host", { kind: "link", link: name, type: "bridge" }, run, { onError: "ignore-exists" });
}

/** Sets link attributes that need no undo, in `ip link set`'s words. */
export function setLink(on: Place, name: string, ...attributes: readonly Hole[]): Line {
  const run = words`link set dev ${name}` + attributes.map((word) => words` ${word}`).join("");
  const at = attributes.indexOf("master");
  const master = at < 0 ? {} : { master: String(attributes[at + 1]) };
  return line("ip", on, { kind: "link-setting", link: name, name: attributes.join(" "), ...master }, run);
}

/**
 * Adds an address to a link; for IPv4 with the subnet's broadcast address, if it has one. Duplicate address detection
 * is off: we chose the address, and nothing should wait for it.
 * @param flags further words of `ip address`; with "noprefixroute" the kernel makes no route to the subnet
 */
export function addAddress(on: Place, address: string, link: string, ...flags: readonly string[]): Line {
  const flag = family(address) === 6 ? " nodad" : lengthOf(address) <= 30 ? " brd +" : "";
  const more = flags.map((word) => words` ${word}`).join("");
  const routed = !flags.includes("noprefixroute") && lengthOf(address) < hostLength(address);
  const run = words`address replace ${address} dev ${link}` + flag + more;
  return line("ip", on, { kind: "address", address, link, routed }, run);
}

/** Removes an address from a link. */
export function removeAddress(on: Place, address: string, link: string): Line {
  const run = words`address del ${address} dev ${link}`;
  return line("ip", on, { kind: "address", address, link, routed: false }, run, { removes: true });
}

/** The attributes of a route beside destination and link, in the words of `ip route`. */
export type RouteAttributes = RouteResource["attributes"];

/**
 * Adds a route, in the word order of `ip route`: the gateway before the link.
 * @param verb `add` fails if there is one already; `replace` replaces it
 */
export function route(
  verb: "add" | "replace",
  on: Place,
  { dst, dev, table, attributes }: Omit<RouteResource, "kind">,
): Line {
  const isVia = ([word]: readonly [string, string]) => word === "via";
  const gateways = attributes.filter(isVia);
  const others = [
    ...attributes.filter((pair) => !isVia(pair)),
    ...(table === undefined ? [] : [["table", String(table)] as const]),
  ];
  const hops = gateways.map(([, via]) => words` nexthop via ${via} dev ${dev}`).join("");
  const tail = gateways.length > 1 ? wordsOf(others) + hops : wordsOf([...gateways, ["dev", dev], ...others]);
  const id: Resource = { kind: "route", dst, dev, ...(table === undefined ? {} : { table }), attributes };
  return line("ip", on, id, words`route ${verb} ${dst}` + tail);
}

function wordsOf(pairs: RouteAttributes): string {
  return pairs.map(([word, value]) => words` ${word}` + (value === "" ? "" : words` ${value}`)).join("");
}

/** Removes a route. */
export function removeRoute(on: Place, dst: string, dev: string, via?: string): Line {
  const by = via === undefined ? "" : words` via ${via}`;
  const run = words`route del ${dst}` + by + words` dev ${dev}`;
  return line("ip", on, { kind: "route", dst, dev, attributes: [] }, run, { removes: true });
}

/** Adds a route on a link, in the main table by default. @param hops gateways beside the first */
export function addRoute(
  on: Place,
  { dst, gw, mtu, advmss, priority, table, scope }: Route,
  link: string,
  hops: readonly string[] = [],
): Line {
  const attributes: readonly (readonly [string, Hole | undefined])[] = [
    ["via", gw],
    ...hops.map((hop) => ["via", hop] as const),
    ["metric", priority],
    ["scope", scope],
    ["mtu", mtu],
    ["advmss", advmss],
  ];
  const said = attributes.flatMap(([word, value]) =>
    value === undefined ? [] : [[word, String(value)] as const]
  );
  return route("add", on, { dst, dev: link, ...(table === undefined ? {} : { table }), attributes: said });
}

/**
 * Gives a link of ours that was renamed its name again: rules and records know it by that. Before Linux 6.2 it has
 * to be down meanwhile. It is no setting of a link: done again later, it could meet another one of that name.
 */
export function renameLink(now: string, name: string): Exec {
  const script =
    'ip link set dev "$1" down && ip link set dev "$1" name "$2" && exec ip link set dev "$2" up';
  const shows = `ip link set dev ${now} name ${name}`;
  return exec("host", `${renaming}${now}`, { run: ["sh", "-c", script, "sh", now, name], shows });
}

const renaming = "rename ";

/** Whether a step is one of these. */
export function isRenaming({ id }: Step): boolean {
  return id.kind === "command" && id.what.startsWith(renaming);
}

/** Takes a link away in undoing only; whether or not it is there. */
export function removeLinkAtUndo(on: Place, name: string): Line {
  return line("ip", on, { kind: "link", link: name }, words`link show dev ${name}`, {
    ...{ undo: words`link del dev ${name}`, undoAlways: true },
  });
}

/**
 * Accepts answers to ::1 on a link. By default the kernel accepts them on the loopback link only (rt6_need_strict in
 * net/ipv6/route.c). Answers arrive here if a connection from ::1 is forwarded to a container. This opens no way in: a
 * packet that was sent to ::1 is dropped before any rule or route (ip6_rcv_core). The metric is derived from the link's
 * name. It keeps the routes of several links apart and lets the line be repeated.
 */
export function acceptLoopbackAnswers(link: string): Line {
  const metric = [...link].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 2 ** 30, 0) + 1024;
  const text = words`local ::1/128 dev ${link} table local metric ${metric}`;
  // 255 is the table "local" (rt_class_t).
  const id: Resource = { kind: "route", dst: "::1/128", dev: link, table: 255, attributes: [] };
  return line("ip", "host", id, `route replace ${text}`, { undo: `route del ${text}`, onError: "ignore" });
}
