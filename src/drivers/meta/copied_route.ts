import { addressOf, contains } from "../../net/address.ts";
import type { InsideRoute } from "../../plan/inside.ts";
import { type Line, words } from "../../plan/step.ts";

/** A route of the container's once more, in another table, or in its own with other attributes. */
export function copyRoute({ dst, dev, attributes }: InsideRoute, table?: number): Line {
  const via = attributes.filter(([word]) => word === "via");
  const others = attributes.filter(([word]) => word !== "via");
  const pairs = [...via, ["dev", dev] as const, ...others];
  return {
    tool: "ip",
    on: "container",
    run: words`route replace ${dst}` +
      pairs.map(([word, value]) => words` ${word}` + (value === "" ? "" : words` ${value}`)).join("") +
      (table === undefined ? "" : words` table ${table}`),
  };
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
