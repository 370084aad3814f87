/** Links that two networks cannot share. */
import { askLinks } from "../../engine/links.ts";
import { defaultLink } from "../../engine/routes.ts";
import type { World } from "../../plan/world.ts";
import type { Network } from "./catalog.ts";

/** A network's main plugin. */
type Main = Readonly<Record<string, unknown>>;

/** @throws Error for two networks on one bridge, and for an ipvlan or a passthru beside another on its parent */
export async function refuseSharing(
  world: World,
  networks: readonly Network[],
  name: string,
  main: Main,
): Promise<void> {
  const mains = networks.flatMap(({ list }): Main[] => list?.plugins.slice(0, 1) ?? []);
  const parents = isOnParent(main) ? await parentsOf(world, [main, ...mains]) : new Map<Main, string>();
  const { type, bridge, mode } = main;
  for (const { name: other, list } of networks) {
    const own: Main = list?.plugins[0] ?? {};
    if (bridge !== undefined && own["type"] === "bridge" && own["bridge"] === bridge) {
      throw new Error(
        `cannot create network ${name} (${bridge}): conflicts with network ${other} (${bridge}): ` +
          "networks have same bridge name",
      );
    }
    const parent = parents.get(own);
    const isAlone = [type, mode, own["type"], own["mode"]].some((one) =>
      one === "ipvlan" || one === "passthru"
    );
    if (isAlone && parent !== undefined && parent === parents.get(main)) {
      throw new Error(`network ${other} is already using parent interface ${parent}`);
    }
  }
}

function isOnParent({ type }: Main): boolean {
  return type === "macvlan" || type === "ipvlan";
}

/** The links that networks are on, by the names of their own; those that name none are on the link of the way out. */
async function parentsOf(world: World, mains: readonly Main[]): Promise<ReadonlyMap<Main, string>> {
  const way = await defaultLink(world);
  const wanted = mains.filter(isOnParent).map((main) => [main, main["master"] ?? way] as const);
  const named = wanted.flatMap(([main, link]) => typeof link === "string" ? [[main, link] as const] : []);
  const { links } = await askLinks(world, { links: named.map(([, link]) => link), reached: [], macs: [] });
  return new Map(named.map(([main, link]) => [main, links.get(link)?.name ?? link]));
}
