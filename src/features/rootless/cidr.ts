import { usualCidrs } from "../../drivers/uplinks/network.ts";
import type { WantedUplink } from "../../drivers/uplinks/table.ts";
import { askIp } from "../../engine/links.ts";
import { hasOtherTables, overlap, readRoutes, routeTo } from "../../engine/routes.ts";
import { addressOf, type Cidr, plus } from "../../net/address.ts";
import type { World } from "../../plan/world.ts";

/**
 * The uplink with a network for the container, where it has one and none is asked for: what the host reaches in it the
 * container could not, and who asks from there would get no answer. If the host has routes into all, it is the usual one.
 */
export async function withFreeCidr<T extends WantedUplink>(world: World, wanted: T): Promise<T> {
  const { uplink, options } = wanted;
  if (options.cidr !== undefined || !uplink.keys.includes("cidr")) return wanted;
  return { ...wanted, options: { ...options, cidr: await freeCidr(world) } };
}

async function freeCidr(world: World): Promise<Cidr> {
  const { routes, whole } = readRoutes(world, 4);
  const isAll = whole && !hasOtherTables(world);
  const specific = routes.filter(({ length }) => length >= shortest);
  for (const cidr of usualCidrs) {
    const wanted = routeTo(cidr, "");
    if (specific.some((route) => overlap(wanted, route))) continue;
    if (isAll || !await isReached(world, cidr)) return cidr;
  }
  return usualCidrs[0];
}

/** Shorter prefixes, such as the halves of everything that VPNs add, are default routes in all but name. */
const shortest = 8;

/** Of a table that is too long to be read, and of those that rules lead to, the kernel tells the routes to some addresses. */
async function isReached(world: World, cidr: Cidr): Promise<boolean> {
  const addresses = [1n, 2n, 3n, 100n, 200n].map((step) => plus(addressOf(cidr), step));
  const rows = await askIp(world, addresses.map((address) => `route get fibmatch ${address}`));
  return rows.some(({ dst }) =>
    typeof dst === "string" && dst !== "default" && Number(dst.split("/")[1] ?? 32) >= shortest
  );
}
