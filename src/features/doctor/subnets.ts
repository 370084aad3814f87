import { contains, lengthOf, networkOf } from "../../net/address.ts";
import { askIp } from "../../engine/links.ts";
import { overlap, readRoutes, routeTo, subnetOf } from "../../engine/routes.ts";
import type { Row } from "../../plan/ip_json.ts";
import type { World } from "../../plan/world.ts";
import { allNetworks, type Network } from "../networks/catalog.ts";
import { isRouted } from "../networks/network_options.ts";
import { type Check, type Finding, kindOf, warn } from "./finding.ts";

/** Whether the host reaches the subnets of networks elsewhere, by an address or a route that has come since. */
export const subnetChecks: readonly Check[] = [{ name: "subnets", look: lookAtSubnets }];

async function lookAtSubnets(world: World): Promise<readonly Finding[]> {
  if (kindOf(world) !== "root") return [];
  const networks = (await allNetworks({ ...world, warn: () => {} })).filter(({ path, list, ipam }) =>
    path !== undefined && isRouted(list?.plugins[0]?.type ?? "") && ipam.some(({ Gateway }) => Gateway)
  );
  const links = networks.length === 0 ? [] : await askIp(world, ["address show"]);
  return networks.flatMap((network) =>
    network.ipam.flatMap(({ Subnet }) =>
      links.filter((link) => !isOwn(network, link)).flatMap((link) => clashes(world, network, Subnet, link))
    )
  );
}

function isOwn({ list }: Network, { ifname, altnames }: Row): boolean {
  const { type, bridge = "cni0" } = list!.plugins[0]!;
  if (type === "bridge") return [ifname, altnames].flat().includes(bridge);
  return ifname === "lo" || /^veth[0-9a-f]{11}$/.test(String(ifname));
}

function clashes(
  world: World,
  { name }: Network,
  subnet: string,
  { ifname, addr_info: all }: Row,
): readonly Finding[] {
  const addresses = (all as readonly { readonly local?: string; readonly prefixlen?: number }[] ?? [])
    .flatMap(({ local, prefixlen }) => local && contains(subnet, local) ? [`${local}/${prefixlen}`] : []);
  const wanted = routeTo(subnet, "");
  const routes = readRoutes(world, subnet.includes(":") ? 6 : 4).routes.filter((route) =>
    route.link === ifname && ifname !== "lo" && route.length >= lengthOf(subnet) && overlap(wanted, route)
  ).map(subnetOf);
  const own = addresses.map(networkOf);
  return [
    ...addresses.map((one) => ["address", one]),
    ...routes.filter((one) => !own.includes(one)).map((one) => ["route", one]),
  ].flatMap(([what, one]) =>
    warn(
      "subnets",
      `the host has ${what} ${one} on link ${ifname}, within subnet ${subnet} of network "${name}": it may not reach ` +
        "the network's containers",
      `ip ${what} delete ${one} dev ${ifname}; or make the network again with another --subnet`,
    )
  );
}
