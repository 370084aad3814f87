import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Ip, Result } from "../../wire/cni/result.ts";
import { addressOf, contains, family, networkOf, parseAddress } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyInside, type InsideRoute } from "../../plan/inside.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import { removeRoute } from "../../plan/ip.ts";
import { exec, type Line, line, type Step, words } from "../../plan/step.ts";
import { alone } from "../main/layer3.ts";
import type { Lookups } from "../plugin.ts";
import { attributeOf, copyRoute, copyRoutes, mainRoutes, missingRoutes } from "./copied_route.ts";
import { ownIps } from "../../wire/cni/previous_result.ts";

interface Conf {
  /** The table to use. Its routes are managed by another program. */
  readonly table?: number;
  /** Gateways that replace those of the addresses, one per family. */
  readonly gateways: readonly string[];
  /** The routes to the interface's own subnets stay in the main table, with a source address. */
  readonly sourceHints: boolean;
}

/** Reads a source-based routing configuration. */
export function parse(conf: Fields): Conf {
  const gateways = (conf.strings("gateways") ?? []).map((text) => {
    const gateway = parseAddress(text);
    if (!gateway) throw new CniError("decode", `invalid IP address: ${text}`);
    return gateway;
  });
  if (new Set(gateways.map(family)).size < gateways.length) {
    throw new CniError("invalidConfig", 'Cannot use "gateways": there is more than one of a family');
  }
  return {
    table: conf.integer("table", { min: 1, max: 2 ** 32 - 1 }),
    gateways,
    sourceHints: conf.boolean("addSourceHints") ?? false,
  };
}

/** Looks up the interface's routes and the existing rules. */
export function lookups(): Lookups {
  return { inside: true };
}

/**
 * Routes answers by the interface that has their source address. Each address gets a rule and a table with the routes
 * of its interface, which are removed from the main table. Tables are the first free ones from 100.
 */
export function plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  const ips = ownIps(made, at.ifname);
  if (conf.table !== undefined) {
    return { steps: ips.flatMap(({ address }) => addRule(address, conf.table!)), result: made };
  }
  const { routes, rules } = seen.inside ?? emptyInside;
  const own = mainRoutes(routes, at.ifname);
  const all = [...own, ...missingRoutes(made, at.ifname, own)];
  const free = freeTables(new Set(rules.map(({ table }) => table)), ips.length);
  return {
    steps: [
      ...ips.flatMap((ip, i) => fillTable(withGateway(ip, conf), all, free[i]!, at.ifname)),
      ...own.flatMap((route) => leaveMain(route, ips, conf, own)),
      // Each IPv6 rule takes a process of its own: in a batch, `ip` reads every rule as IPv4.
      ...ips.flatMap(({ address }, i) => addRule(address, free[i]!)),
    ],
    result: made,
  };
}

function withGateway(ip: Ip, { gateways }: Conf): Ip {
  const gateway = gateways.find((gateway) => family(gateway) === family(ip.address)) ?? ip.gateway;
  return { ...ip, ...(gateway === undefined ? {} : { gateway }) };
}

/** 253 to 255 are the kernel's tables default, main and local. */
function freeTables(taken: ReadonlySet<number>, count: number): readonly number[] {
  const free: number[] = [];
  for (let id = 100; free.length < count; id++) {
    if (!taken.has(id) && (id < 253 || id > 255)) free.push(id);
  }
  return free;
}

function fillTable(ip: Ip, routes: readonly InsideRoute[], table: number, ifname: string): readonly Step[] {
  const copies = routes.filter((route) => concerns(route, ip)).toSorted(nearFirst);
  const everywhere = family(ip.address) === 4 ? "0.0.0.0/0" : "::/0";
  const gateway: InsideRoute[] = ip.gateway === undefined || copies.some(({ dst }) => dst === everywhere)
    ? []
    : [{ dst: everywhere, dev: ifname, attributes: [["via", ip.gateway]] }];
  return copyRoutes([...copies, ...gateway], table);
}

/** Whether a route belongs to an address: its source or its gateway is in the address's subnet, or it has neither. */
function concerns(route: InsideRoute, { address, gateway }: Ip): boolean {
  if (family(route.dst) !== family(address)) return false;
  const [src, via] = [attributeOf(route, "src"), attributeOf(route, "via")];
  const subnet = networkOf(address);
  return (src === undefined && via === undefined) ||
    [src, via].some((other) => other !== undefined && (contains(subnet, other) || other === gateway));
}

/** Orders routes without a gateway first: the kernel accepts a gateway only if it has a route to it. */
function nearFirst(a: InsideRoute, b: InsideRoute): number {
  return Number(attributeOf(a, "via") !== undefined) - Number(attributeOf(b, "via") !== undefined);
}

function leaveMain(
  route: InsideRoute,
  ips: readonly Ip[],
  { sourceHints }: Conf,
  all: readonly InsideRoute[],
): readonly Line[] {
  const hops = all.filter(({ dst, attributes }) =>
    dst === route.dst && JSON.stringify(metricOf(attributes)) === JSON.stringify(metricOf(route.attributes))
  );
  // A route with several next hops is removed as one.
  if (hops.length > 1) return hops[0] === route ? [removeRoute("container", route.dst, route.dev)] : [];
  const [src, via] = [attributeOf(route, "src"), attributeOf(route, "via")];
  const own = ips.find(({ address }) => networkOf(address) === route.dst)?.address;
  if (sourceHints && via === undefined && own !== undefined) {
    const hint = src === undefined ? [["src", addressOf(own)] as const] : [];
    return [copyRoute({ ...route, attributes: [...route.attributes, ...hint] })];
  }
  return [removeRoute("container", route.dst, route.dev, via)];
}

function metricOf(attributes: InsideRoute["attributes"]) {
  return attributes.find(([word]) => word === "metric");
}

/** Has what is sent with an address as its source go by a table. */
export function addRule(address: string, table: number): readonly Step[] {
  const rule = words`from ${alone(address)} lookup ${table}`;
  const id = { kind: "rule", from: alone(address), table } as const;
  if (family(address) === 4) {
    return [line("ip", "container", id, `rule add ${rule}`, { undo: `rule del ${rule}` })];
  }
  const [run, undo] = ["add", "del"].map((verb) => `ip -6 rule ${verb} ${rule}`.split(" "));
  return [exec("container", "rule", { id, run: run!, undo: undo! })];
}

/** The rules of its addresses, with any table. Routes in these tables are removed with the interface. */
export function unrecorded({ table }: Conf, at: Attachment, made: Result, seen: HostState): readonly Step[] {
  const { rules, links } = seen.inside ?? emptyInside;
  const own = ownIps(made, at.ifname).map(({ address }) => address);
  const addresses = new Set([...own, ...links.get(at.ifname)?.addresses ?? []].map(addressOf));
  return rules.filter((rule) => addresses.has(rule.from) && (table === undefined || rule.table === table))
    .flatMap((rule) => addRule(rule.from, rule.table));
}

/** Checks that each address has its rule, and that the table has routes. */
export function checkDrift(
  { table }: Conf,
  { ifname }: Attachment,
  made: Result,
  seen: HostState,
): string | undefined {
  const { rules, routes } = seen.inside ?? emptyInside;
  const leads = (address: string) =>
    rules.some((rule) =>
      rule.from === address && (table === undefined || rule.table === table) &&
      (table !== undefined || routes.some((route) => route.table === rule.table && route.dev === ifname))
    );
  const gone = ownIps(made, ifname).map(({ address }) => addressOf(address)).find((address) =>
    !leads(address)
  );
  return gone && `Failed to find the rule for ${gone}, or routes in its table`;
}

/** Tests for rules. */
export function kernelProbe(): readonly string[] {
  return ["ip rule add from 192.0.2.1 lookup 100"];
}
