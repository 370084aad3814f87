import {
  addressOf,
  contains,
  type Family,
  hostLength,
  lengthOf,
  parseCidr,
  plus,
} from "../../net/address.ts";
import { askIp } from "../../engine/links.ts";
import { resolvConf, serversIn } from "../../engine/name_servers.ts";
import { overlap, readRoutes, routeTo, subnetOf } from "../../engine/routes.ts";
import type { World } from "../../plan/world.ts";
import { overlaps } from "./ipam_options.ts";

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
  const all = of === 4 ? candidates4() : candidates6(id);
  for (const subnet of all.filter((one) => !taken.some((other) => overlaps(one, other)))) {
    if (await reachedBy(world, subnet) === undefined) return subnet;
  }
  throw new Error(
    "all predefined address pools have been fully subnetted: give the network a subnet with --subnet, " +
      "or remove networks that are not needed (ocinet network prune)",
  );
}

/** By what the host reaches addresses of a subnet, but for default routes; undefined when by nothing. */
export async function reachedBy(world: World, subnet: string): Promise<string | undefined> {
  const server = serversIn(world, resolvConf).find((server) => contains(subnet, server));
  if (server !== undefined) return `name server ${server}`;
  const wanted = routeTo(subnet, "");
  const { routes } = readRoutes(world, subnet.includes(":") ? 6 : 4);
  const found = routes.find((route) =>
    overlap(wanted, route) && isLong(route.length, subnet) && route.link !== "lo" && route.link !== "*"
  );
  return found ? `route ${subnetOf(found)} dev ${found.link}` : await probe(world, subnet);
}

/** Halves of everything, as VPNs add them, are default routes in all but name. */
function isLong(length: number, subnet: string): boolean {
  return length >= (subnet.includes(":") ? 4 : 8);
}

const probes = 8;

/** Asks for some of the addresses: rules may lead to other tables, and a table may be too long to be read. */
async function probe(world: World, subnet: string): Promise<string | undefined> {
  const step = (1n << BigInt(hostLength(subnet) - lengthOf(subnet))) / BigInt(probes);
  const lines = Array.from(
    { length: step === 0n ? 1 : probes },
    (_, i) => `route get fibmatch ${plus(addressOf(subnet), step * BigInt(i) + (step > 1n ? 1n : 0n))}`,
  );
  for (const { dst, dev, type = "unicast" } of await askIp(world, lines)) {
    if (typeof dst !== "string" || typeof dev !== "string" || dst === "default") continue;
    if (type !== "unicast" && type !== "local" && type !== "broadcast") continue;
    const length = dst.includes("/") ? lengthOf(dst) : hostLength(dst);
    if (isLong(length, subnet)) return `route ${dst} dev ${dev}`;
  }
  return undefined;
}
