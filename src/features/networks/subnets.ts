import type { NetworkList } from "../../wire/cni/network_list.ts";
import { addressOf, contains, type Family, family, lengthOf, networkOf, plus } from "../../net/address.ts";
import { resolvConf, serversIn } from "../../engine/name_servers.ts";
import { askIp } from "../../engine/links.ts";
import { readRoutes } from "../../engine/routes.ts";
import type { World } from "../../plan/world.ts";

/** A built-in network, by the file that would stand in for it. */
export type BuiltIn = "default" | "default-restricted" | "ocinet0";

/** What each built-in network may have: the first that the host does not reach elsewhere. README lists them. */
const candidates: Readonly<Record<BuiltIn, Readonly<Record<Family, readonly string[]>>>> = {
  "default": {
    4: ["172.16.28.0/24", "10.86.28.0/24", "192.168.228.0/24", "100.86.28.0/24", "198.18.28.0/24"],
    6: ["fd6f:6369:6e65:28::/64", "fd6f:6369:6e66:28::/64", "fd6f:6369:6e67:28::/64"],
  },
  "default-restricted": {
    4: ["172.31.0.0/16", "10.87.0.0/16", "192.168.231.0/24", "100.87.0.0/16", "198.19.0.0/16"],
    6: ["fd6f:6369:6e65:31::/64", "fd6f:6369:6e66:31::/64", "fd6f:6369:6e67:31::/64"],
  },
  "ocinet0": {
    4: ["172.16.29.0/24", "10.86.29.0/24", "192.168.229.0/24", "100.86.29.0/24", "198.18.29.0/24"],
    6: ["fd6f:6369:6e65:29::/64", "fd6f:6369:6e66:29::/64", "fd6f:6369:6e67:29::/64"],
  },
};

/** The subnets that a built-in network has where nothing is in the way. */
export function usualSubnets(network: BuiltIn, ipv6: boolean): readonly string[] {
  const { 4: four, 6: six } = candidates[network];
  return [four[0]!, ...(ipv6 ? [six[0]!] : [])];
}

/** What the choice depends on. */
interface Choice {
  readonly network: BuiltIn;
  /** Where addresses of the network are kept. */
  readonly directory: string;
}

/**
 * A built-in network with subnets that the host reaches nowhere else: those that its containers have; or, without any,
 * the first of the candidates of which that is true.
 * @throws Error naming who has them, when it is true of none
 */
export async function withFreeSubnets(world: World, list: NetworkList, choice: Choice): Promise<NetworkList> {
  const [plugin] = list.plugins;
  const ipam = plugin!["ipam"] as { readonly ranges: readonly (readonly { readonly subnet: string }[])[] };
  const usual = ipam.ranges.map(([range]) => range!.subnet);
  const chosen = await Promise.all(usual.map((subnet, i) => chooseSubnet(world, choice, family(subnet), i)));
  if (chosen.every((subnet, i) => subnet === usual[i])) return list;
  return {
    ...list,
    plugins: [{ ...plugin!, ipam: { ...ipam, ranges: chosen.map((subnet) => [{ subnet }]) } }],
  };
}

/** @param i which of the network's sets of ranges it is for */
async function chooseSubnet(
  world: World,
  { network, directory }: Choice,
  of: Family,
  i: number,
): Promise<string> {
  const all = candidates[network][of];
  const last = world.read(`${directory}/last_reserved_ip.${i}`)?.trim() ?? "";
  const current = all.find((subnet) => last !== "" && contains(subnet, last));
  // Containers are on it: what the host reaches there are they.
  if (current !== undefined && world.stat(`${directory}/${last}`) !== undefined) return current;
  const reasons: string[] = [];
  for (const subnet of [...(current === undefined ? [] : [current]), ...all]) {
    const reason = await elsewhere(world, network, subnet);
    if (reason === undefined) return subnet;
    reasons.push(`${subnet} by ${reason}`);
  }
  throw new Error(
    `Cannot use network "${network}": the host reaches each subnet that it could have elsewhere (${
      [...new Set(reasons)].join(", ")
    }); give it one in /etc/ocinet/net.d/99-${network}.conf`,
  );
}

/** By what the host reaches addresses of a subnet, but for a default route; undefined when by nothing else. */
async function elsewhere(world: World, network: BuiltIn, subnet: string): Promise<string | undefined> {
  const server = serversIn(world, resolvConf).find((server) => contains(subnet, server));
  if (server !== undefined) return `name server ${server}`;
  const table = readRoutes(world, family(subnet));
  const routes = table.whole ? table.routes : [...table.routes, ...await probe(world, subnet)];
  const found = routes.find(({ link, subnet: other }) =>
    isInTheWay(other) && overlap(subnet, other) && !isOurs(link, network)
  );
  return found && `route ${found.subnet} dev ${found.link}`;
}

/** Halves of everything, as VPNs add them, are default routes in all but name. */
function isInTheWay(route: string): boolean {
  return lengthOf(route) >= (family(route) === 4 ? 8 : 4);
}

function overlap(one: string, other: string): boolean {
  return contains(one, addressOf(networkOf(other))) || contains(other, addressOf(networkOf(one)));
}

/** Links of containers that are only just coming or going, the network's bridge, and routes that refuse. */
function isOurs(link: string, network: BuiltIn): boolean {
  return link === network || link === "*" || link === "lo" || /^veth[0-9a-f]{11}$/.test(link);
}

const probes = 16;

/** Of a table that is too long to be read, the routes to addresses spread over a subnet. */
async function probe(world: World, subnet: string) {
  const space = 1n << BigInt((family(subnet) === 4 ? 32 : 128) - lengthOf(subnet));
  const first = addressOf(networkOf(subnet));
  const lines = Array.from({ length: probes }, (_, i) => plus(first, space / BigInt(probes) * BigInt(i) + 1n))
    .map((address) => `route get fibmatch ${address}`);
  return (await askIp(world, lines)).flatMap(({ dst, dev, type = "unicast" }) => {
    if (type !== "unicast" || typeof dst !== "string" || typeof dev !== "string" || dst === "default") {
      return [];
    }
    return [{ link: dev, subnet: dst.includes("/") ? dst : `${dst}/${family(dst) === 4 ? 32 : 128}` }];
  });
}
