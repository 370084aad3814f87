import { addressOf, type Family, family, lastOf, networkOf, parseCidr, toNumber } from "../../net/address.ts";
import { readRoutes } from "../../engine/routes.ts";
import type { World } from "../../plan/world.ts";
import { allNetworks } from "./catalog.ts";
import { elsewhere, probe } from "./subnets.ts";

/** Docker's pools, and then more of a size that suffices for most. */
function candidates4(): readonly string[] {
  const many = (first: number, last: number, step: number, text: (i: number) => string) =>
    Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => text(first + i * step));
  return [
    ...many(18, 30, 1, (i) => `172.${i}.0.0/16`),
    ...many(0, 240, 16, (i) => `192.168.${i}.0/20`),
    ...many(0, 2047, 1, (i) => `10.${88 + (i >> 8)}.${i & 255}.0/24`),
  ];
}

/** Prefixes of RFC 4193, whose global id follows from the network's own. */
function candidates6(id: string): readonly string[] {
  const words = id.slice(0, 14).padEnd(14, "0");
  const prefix = `fd${words.slice(0, 2)}:${words.slice(2, 6)}:${words.slice(6, 10)}`;
  return Array.from({ length: 16 }, (_, i) => {
    const last = (parseInt(words.slice(10, 14), 16) + i) & 0xffff;
    const { address, length } = parseCidr(`${prefix}:${last.toString(16)}::/64`)!;
    return `${address}/${length}`;
  });
}

/** The subnets of all networks. */
export async function takenSubnets(world: World): Promise<readonly string[]> {
  return (await allNetworks(world)).flatMap(({ ipam }) => ipam.map(({ Subnet }) => Subnet));
}

/**
 * A subnet that nothing has: no other network, no route or address of the host, no name server.
 * @param id of the network that it is for
 * @param taken subnets of other networks
 * @throws Error in Docker's words when there is none
 */
export async function freeSubnet(
  world: World,
  of: Family,
  id: string,
  taken: readonly string[],
): Promise<string> {
  // There may be many networks, and as many candidates until one is free.
  const ranges = taken.filter((subnet) => family(subnet) === of).map(rangeOf);
  for (const subnet of of === 4 ? candidates4() : candidates6(id)) {
    const [first, last] = rangeOf(subnet);
    if (ranges.some(([from, to]) => first <= to && from <= last)) continue;
    if (await reachedBy(world, subnet) === undefined) return subnet;
  }
  throw new Error(
    "all predefined address pools have been fully subnetted: give the network a subnet with --subnet, " +
      "or remove networks that are not needed (ocinet network prune)",
  );
}

/** A subnet's first and last address, as numbers. */
function rangeOf(subnet: string): readonly [first: bigint, last: bigint] {
  return [toNumber(addressOf(networkOf(subnet))), toNumber(lastOf(subnet))];
}

/** By what the host reaches addresses of a subnet, but for default routes; undefined when by nothing. */
export async function reachedBy(world: World, subnet: string): Promise<string | undefined> {
  const { routes } = readRoutes(world, family(subnet));
  const known = routes.filter(({ link }) => link !== "lo" && link !== "*");
  return elsewhere(world, subnet, known) ?? elsewhere(world, subnet, await probe(world, [subnet]));
}
