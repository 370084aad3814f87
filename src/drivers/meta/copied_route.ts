import { addressOf, contains, family } from "../../net/address.ts";
import { ownIps } from "../../wire/cni/previous_result.ts";
import type { Result } from "../../wire/cni/result.ts";
import type { InsideRoute } from "../../plan/inside.ts";
import { route } from "../../plan/ip.ts";
import type { Line } from "../../plan/step.ts";

/** Adds a copy of a container's route, in another table or with other attributes. */
export function copyRoute({ dst, dev, attributes }: InsideRoute, table?: number): Line {
  return route("replace", "container", { dst, dev, ...(table === undefined ? {} : { table }), attributes });
}

/** Adds copies of routes to another table. Routes to one destination by several gateways become one route. */
export function copyRoutes(routes: readonly InsideRoute[], table?: number): readonly Line[] {
  const groups = new Map<string, InsideRoute[]>();
  for (const route of routes) {
    const others = route.attributes.filter(([word]) => word !== "via");
    const key = JSON.stringify([route.dst, route.dev, others]);
    groups.set(key, [...groups.get(key) ?? [], route]);
  }
  return [...groups.values()].map(([first, ...others]) => {
    const vias = [...first!.attributes, ...others.flatMap(({ attributes }) => attributes)]
      .filter(([word]) => word === "via");
    const rest = first!.attributes.filter(([word]) => word !== "via");
    return copyRoute({ ...first!, attributes: [...vias, ...rest] }, table);
  });
}

/**
 * The routes of a result that do not exist. The main table holds only one route per destination: if the container is on
 * several networks, another one's default route may have come first (containernetworking/plugins#893, multus-cni#706).
 */
export function missingRoutes(
  made: Result,
  ifname: string,
  there: readonly InsideRoute[],
): readonly InsideRoute[] {
  const ips = ownIps(made, ifname);
  return made.routes.filter(({ table, scope }) => table === undefined && (scope ?? 0) === 0).flatMap(
    (wanted) => {
      const { dst, priority } = wanted;
      const via = wanted.gw ?? ips.find((ip) => ip.gateway && family(ip.address) === family(dst))?.gateway;
      const isThere = there.some((route) => route.dst === dst);
      if (isThere || via === undefined || family(via) !== family(dst)) return [];
      const metric = priority === undefined ? [] : [["metric", String(priority)] as const];
      return [{ dst, dev: ifname, attributes: [["via", via] as const, ...metric] }];
    },
  );
}

/** The main table's routes through a link, without those of link-local addresses, which every link has. */
export function mainRoutes(routes: readonly InsideRoute[], link: string): readonly InsideRoute[] {
  return routes.filter(({ dst, dev, table }) =>
    dev === link && table === undefined && !contains("fe80::/10", addressOf(dst))
  );
}

/** The value of a word of `ip route` in a route. */
export function attributeOf({ attributes }: InsideRoute, word: string): string | undefined {
  return attributes.find(([own]) => own === word)?.[1];
}
