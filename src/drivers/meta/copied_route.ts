import { addressOf, contains } from "../../net/address.ts";
import type { InsideRoute } from "../../plan/inside.ts";
import { route } from "../../plan/ip.ts";
import type { Line } from "../../plan/step.ts";

/** A route of the container's once more, in another table, or in its own with other attributes. */
export function copyRoute({ dst, dev, attributes }: InsideRoute, table?: number): Line {
  return route("replace", "container", { dst, dev, ...(table === undefined ? {} : { table }), attributes });
}

/** The main table's routes through a link, but for those of link-local addresses, which every link has. */
export function mainRoutes(routes: readonly InsideRoute[], link: string): readonly InsideRoute[] {
  return routes.filter(({ dst, dev, table }) =>
    dev === link && table === undefined && !contains("fe80::/10", addressOf(dst))
  );
}

/** What a route says to one of `ip route`'s words. */
export function attributeOf({ attributes }: InsideRoute, word: string): string | undefined {
  return attributes.find(([own]) => own === word)?.[1];
}
