import type { Result } from "../../wire/cni/result.ts";
import { addressOf, type Cidr, lengthOf, plus } from "../../net/address.ts";
import type { UplinkOptions } from "./options.ts";
import type { Host, Target } from "./uplink.ts";

/** The addresses in the network that a container seems to be in: slirp4netns's layout (slirp4netns(1)), for all. */
export interface Network {
  readonly address: string;
  readonly length: number;
  readonly gateway: string;
  readonly dns: string;
}

/** The IPv6 network; slirp4netns has no other. */
export const network6 = { address: "fd00::100", length: 64, gateway: "fd00::2", dns: "fd00::3" } as const;

/** IPv4 networks for containers for whom none is asked, the usual one first. */
export const usualCidrs: readonly [Cidr, ...Cidr[]] = [
  ...["10.0.2.0/24", "10.86.30.0/24", "172.16.30.0/24", "192.168.230.0/24", "100.86.30.0/24"] as const,
];

/** The network that these options ask for, or else the usual one. */
export function cidrOf({ cidr = usualCidrs[0] }: UplinkOptions): Cidr {
  return cidr;
}

/** The addresses in the IPv4 network of these options. */
export function networkOf(options: UplinkOptions): Network {
  const cidr = cidrOf(options);
  const at = (step: bigint) => plus(addressOf(cidr), step);
  return { address: at(100n), length: lengthOf(cidr), gateway: at(2n), dns: at(3n) };
}

/** Whether all of the host's name servers have IPv6 addresses: an uplink asks them for questions that came by IPv6. */
export function asksBySix({ resolvers }: Host): boolean {
  return resolvers !== undefined && resolvers.families[6] && !resolvers.families[4];
}

/** What is true of a container that has been connected. */
export function resultOf(
  { ifname, netns, restricted, host }: Target,
  options: UplinkOptions,
  ipv6: boolean,
): Result {
  const network = networkOf(options);
  const networks = ipv6 ? [network, network6] : [network];
  return {
    interfaces: [{
      name: ifname,
      sandbox: netns,
      ...(options.mac === undefined ? {} : { mac: options.mac }),
    }],
    ips: networks.map(({ address, length, gateway }) => ({
      ...{ address: `${address}/${length}`, gateway, interface: 0 },
    })),
    routes: networks.map(({ gateway }) => ({
      dst: gateway.includes(":") ? "::/0" : "0.0.0.0/0",
      gw: gateway,
    })),
    dns: restricted || !options.dns
      ? {}
      : { nameservers: [ipv6 && asksBySix(host) ? network6.dns : network.dns] },
  };
}
