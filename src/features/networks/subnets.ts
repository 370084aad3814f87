import type { NetworkList } from "../../wire/cni/network_list.ts";
import {
  addressOf,
  contains,
  type Family,
  family,
  hostLength,
  lengthOf,
  networkOf,
  parseAddress,
  plus,
} from "../../net/address.ts";
import { resolvConf, serversIn } from "../../engine/name_servers.ts";
import { askIp } from "../../engine/links.ts";
import {
  hasOtherTables,
  type HostRoute,
  overlap,
  readRoutes,
  routeTo,
  subnetOf,
} from "../../engine/routes.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";

/** A built-in network, by the file that would stand in for it. */
export type BuiltIn = "default" | "default-restricted" | "ocinet0";

/** What each built-in network may have: the first that the host does not reach elsewhere. docs/usage.md lists them. */
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
  const lasts = usual.map((_, i) => lastReserved(world, choice, i));
  const chosen = areHeld(world, choice, lasts)
    ? usual.map((subnet, i) => currentSubnet(choice, family(subnet), lasts[i]!) ?? subnet)
    : await chooseSubnets(world, choice, usual, lasts);
  if (chosen.every((subnet, i) => subnet === usual[i])) return list;
  return {
    ...list,
    plugins: [{ ...plugin!, ipam: { ...ipam, ranges: chosen.map((subnet) => [{ subnet }]) } }],
  };
}

/** The address that was given last, or "": of a damaged file nothing is known. */
function lastReserved(world: World, { directory }: Choice, range: number): string {
  return parseAddress(readUndamagedFile(world, `${directory}/last_reserved_ip.${range}`)?.trim() ?? "") ?? "";
}

/**
 * Whether containers are on the network: then what the host reaches in its subnets are they. Usually the one that came
 * last is there; only if it is not, others are looked for.
 */
function areHeld(world: World, { directory }: Choice, lasts: readonly string[]): boolean {
  if (lasts[0] === undefined || lasts[0] === "") return false;
  return world.stat(`${directory}/${lasts[0]}`) !== undefined ||
    world.list(directory).some((name) => parseAddress(name) !== undefined);
}

function currentSubnet({ network }: Choice, of: Family, last: string): string | undefined {
  return last === "" ? undefined : candidates[network][of].find((subnet) => contains(subnet, last));
}

async function chooseSubnets(
  world: World,
  choice: Choice,
  usual: readonly string[],
  lasts: readonly string[],
): Promise<readonly string[]> {
  const ordered = usual.map((subnet, i) => {
    const current = currentSubnet(choice, family(subnet), lasts[i]!);
    return [
      ...new Set([
        ...(current === undefined ? [] : [current]),
        ...candidates[choice.network][family(subnet)],
      ]),
    ];
  });
  const routes = await routesTo(world, ordered.map(([first]) => first!));
  const chosen: string[] = [];
  for (const all of ordered) chosen.push(await chooseSubnet(world, choice.network, all, routes));
  return chosen;
}

async function chooseSubnet(
  world: World,
  network: BuiltIn,
  all: readonly string[],
  known: readonly HostRoute[],
): Promise<string> {
  const reasons: string[] = [];
  for (const [i, subnet] of all.entries()) {
    const routes = i === 0 ? known : await routesTo(world, [subnet]);
    const reason = elsewhere(world, subnet, routes.filter(({ link }) => !isOurs(link, network)));
    if (reason === undefined) return subnet;
    reasons.push(`${subnet} by ${reason}`);
  }
  throw new Error(
    `Cannot use network "${network}": the host reaches each subnet that it could have elsewhere (${
      reasons.join(", ")
    }); give it one in /etc/ocinet/net.d/99-${network}.conf`,
  );
}

/** By what the host reaches addresses of a subnet, but for a default route; undefined when by nothing of these. */
export function elsewhere(world: World, subnet: string, routes: readonly HostRoute[]): string | undefined {
  const server = serversIn(world, resolvConf).find((server) => contains(subnet, server));
  if (server !== undefined) return `name server ${server}`;
  const wanted = routeTo(subnet, "");
  // Halves of everything, as VPNs add them, are default routes in all but name.
  const found = routes.find((route) =>
    overlap(wanted, route) && route.length >= (route.hex.length === 8 ? 8 : 4)
  );
  return found && `route ${subnetOf(found)} dev ${found.link}`;
}

/**
 * The host's routes, all or those to subnets: of tables that are too long to be read, and of those that rules lead to, one
 * process asks.
 */
async function routesTo(world: World, subnets: readonly string[]): Promise<readonly HostRoute[]> {
  const tables = subnets.map((subnet) => ({ subnet, ...readRoutes(world, family(subnet)) }));
  const isAll = tables.every(({ whole }) => whole) && !hasOtherTables(world);
  const asked = isAll ? [] : tables.map(({ subnet }) => subnet);
  return [...tables.flatMap(({ routes }) => routes), ...await probe(world, asked)];
}

/** Links of containers that are only just coming or going, the network's bridge, and routes that refuse. */
function isOurs(link: string, network: BuiltIn): boolean {
  return link === network || link === "*" || link === "lo" || /^veth[0-9a-f]{11}$/.test(link);
}

const probes = 16;

/** The routes to addresses spread over subnets: of any table that a rule leads to. */
export async function probe(world: World, subnets: readonly string[]): Promise<readonly HostRoute[]> {
  const lines = subnets.flatMap(spread).map((address) => `route get fibmatch ${address}`);
  const isKnown = (type: unknown) => ["unicast", "local", "broadcast"].includes(String(type));
  return (await askIp(world, lines)).flatMap(({ dst, dev, type = "unicast" }) =>
    typeof dst === "string" && typeof dev === "string" && dst !== "default" && isKnown(type)
      ? [routeTo(dst.includes("/") ? dst : `${dst}/${hostLength(dst)}`, dev)]
      : []
  );
}

function spread(subnet: string): readonly string[] {
  const step = (1n << BigInt(hostLength(subnet) - lengthOf(subnet))) / BigInt(probes);
  const first = addressOf(networkOf(subnet));
  return Array.from(
    { length: step === 0n ? 1 : probes },
    (_, i) => plus(first, step * BigInt(i) + (step > 1n ? 1n : 0n)),
  );
}
