import { messageOf } from "../../wire/cni/error.ts";
import { type NetworkList, parseNetworkList } from "../../wire/cni/network_list.ts";
import { addressOf, family, networkOf } from "../../net/address.ts";
import type { World } from "../../plan/world.ts";
import { hasExternal } from "../cni_runtime/external_network.ts";
import { type ChosenNetwork, listNetDirectories, loadNetworks } from "../networks/networks.ts";
import { usualSubnets } from "../networks/subnets.ts";
import { askLinks } from "../../engine/links.ts";
import { hasIpv6 } from "../../engine/routes.ts";

/** A network that users may be let onto. */
export type NamedNetwork = Pick<ChosenNetwork, "list" | "builtIn">;

/**
 * A network of the policy by its name: of a file of root's; the one that is there for users, if root has made none of that
 * name; or a bridge of the host's.
 * @throws Error for one that is none of these, or cannot be guarded
 */
export async function networkNamed(world: World, name: string): Promise<NamedNetwork> {
  const found = loadNetworks(world, [], name).map(({ list }) => list).find((list) => list.name === name);
  const own = found === undefined && name === "ocinet0" ? { builtIn: name } as const : {};
  const list = found ?? (own.builtIn ? ownNetwork(hasIpv6(world)) : await bridgeNamed(world, name));
  if (!list) {
    throw new Error(
      `Cannot use network "${name}": root has none of that name in /etc/ocinet/net.d, nor is there such a bridge`,
    );
  }
  if (hasExternal(world, list, listNetDirectories(world, []))) {
    throw new Error(
      `Cannot use network "${name}": a plugin of it is not ours, and nothing would guard what it makes`,
    );
  }
  const [{ type, ipam }] = list.plugins as [{ type: string; ipam?: { type?: string } }];
  // What is let through has to be known before the link is there, and looked at where it enters the bridge.
  if (type === "bridge" && ipam?.type === "host-local") return { list, ...own };
  throw new Error(
    `Cannot use network "${name}": it is of type "${type}" with addresses by "${
      ipam?.type ?? "no plugin"
    }", and users can ` +
      'be let only onto a "bridge" with "host-local"',
  );
}

/** Why networks of the policy cannot be used. */
export async function networkProblems(
  world: World,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const problems = new Map<string, string>();
  for (const name of names) {
    try {
      await networkNamed(world, name);
    } catch (error) {
      problems.set(name, messageOf(error));
    }
  }
  return problems;
}

/** The network that is there for users. */
function ownNetwork(ipv6: boolean): NetworkList {
  const ranges = usualSubnets("ocinet0", ipv6).map((subnet) => [{ subnet }]);
  return builtIn("ocinet0", { isDefaultGateway: true, ipMasq: true, ipam: { type: "host-local", ranges } });
}

/** A bridge that another program keeps, and has the gateway's addresses: containers have others of the same subnets. */
async function bridgeNamed(world: World, name: string): Promise<NetworkList | undefined> {
  const { links } = await askLinks(world, { links: [name], reached: [], macs: [] });
  const { kind, addresses: own = [] } = links.get(name) ?? {};
  if (kind !== "bridge") return undefined;
  // Of several of one family the first counts, as a container has one address of each.
  const gateways = [4, 6].flatMap((version) => own.find((cidr) => family(cidr) === version) ?? []);
  if (gateways.length === 0) {
    throw new Error(
      `Cannot use network "${name}": the bridge has no address, and there is no file in /etc/ocinet/net.d that says ` +
        "which its containers have",
    );
  }
  return builtIn(name, {
    ipam: {
      type: "host-local",
      ranges: gateways.map((cidr) => [{ subnet: networkOf(cidr), gateway: addressOf(cidr) }]),
      routes: gateways.map((cidr) => ({ dst: family(cidr) === 4 ? "0.0.0.0/0" : "::/0" })),
    },
  });
}

function builtIn(bridge: string, more: Readonly<Record<string, unknown>>): NetworkList {
  const plugin = { type: "bridge", bridge, ...more };
  return parseNetworkList(
    JSON.stringify({ cniVersion: "1.0.0", name: bridge, ...plugin }),
    `built-in ${bridge}`,
  );
}
