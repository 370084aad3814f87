import { parseCidr } from "../../net/address.ts";
import type { PodmanNetwork } from "../../wire/netavark/network.ts";
import { fields, parseJson } from "../../wire/cni/fields.ts";
import type { World } from "../../plan/world.ts";
import type { Driver } from "../networks/driver_options.ts";
import { freeSubnet, takenSubnets } from "../networks/free_subnet.ts";
import { driverOf } from "../networks/plugin_options.ts";
import { mainOf, podmanOptions } from "./network_list.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * Completes a network that podman is about to make: it gets a bridge and subnets where none are named.
 * @returns the object that came, with them
 * @throws Error for what its driver cannot do
 */
export async function completeNetwork(world: World, network: PodmanNetwork, given: Json): Promise<Json> {
  const driver = driverOf(network.options, podmanOptions);
  const main = mainOf(network, driver);
  const link = main["bridge"] ?? main["master"];
  const subnets = await subnetsFor(world, network, driver);
  const before = Array.isArray(given["subnets"]) ? given["subnets"] : [];
  const leases = driver === "macvlan" && !takesSubnets(network) && network.ipamDriver === undefined;
  return {
    ...given,
    ...(typeof link === "string" ? { network_interface: link } : {}),
    ...(subnets.length > 0 ? { subnets: [...before, ...subnets.map((subnet) => ({ subnet }))] } : {}),
    ...(leases ? { ipam_options: { ...given["ipam_options"] as Json, driver: "dhcp" } } : {}),
    // No resolver answers names on it.
    ...(network.dnsServers.length === 0 ? { dns_enabled: false } : {}),
  };
}

function takesSubnets({ subnets }: PodmanNetwork): boolean {
  return subnets.length > 0;
}

/** The subnets that have to be found. @throws Error where they are the administrator's to name */
async function subnetsFor(
  world: World,
  { name, id, ipv6, subnets, ipamDriver }: PodmanNetwork,
  driver: Driver,
): Promise<readonly string[]> {
  if (ipamDriver === "dhcp" && driver === "ipvlan") {
    throw new Error(`Cannot lease addresses on network ${name}: all on an ipvlan have one MAC address`);
  }
  if (ipamDriver === "none" || ipamDriver === "dhcp") return [];
  if (driver === "macvlan" || driver === "ipvlan") {
    if (subnets.length > 0 || driver === "macvlan" && ipamDriver === undefined) return [];
    throw new Error(`Cannot create network ${name}: type ${driver} needs a subnet; name it with --subnet`);
  }
  const has = (six: boolean) => subnets.some(({ subnet }) => subnet.includes(":") === six);
  const missing = [
    ...(subnets.length === 0 ? [4 as const] : []),
    ...(ipv6 && !has(true) ? [6 as const] : []),
  ];
  if (missing.length === 0) return [];
  const taken = [
    ...await takenSubnets(world),
    ...podmanSubnets(world),
  ];
  return await Promise.all(missing.map((of) => freeSubnet(world, of, id, taken)));
}

/** Where podman keeps root's networks. */
const podmanDirectory = "/etc/containers/networks";

/** The subnets of podman's other networks; what cannot be read has none. */
function podmanSubnets(world: World): readonly string[] {
  return world.list(podmanDirectory).filter((name) => name.endsWith(".json")).flatMap((name) => {
    try {
      const network = fields(parseJson(world.read(`${podmanDirectory}/${name}`) ?? ""));
      return (network.objects("subnets") ?? []).flatMap((entry) => entry.string("subnet") ?? []);
    } catch {
      return [];
    }
  }).filter((text) => parseCidr(text) !== undefined);
}
