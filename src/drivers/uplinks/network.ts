import type { Result } from "../../wire/cni/result.ts";
import { addressOf, type Cidr, lengthOf, plus } from "../../net/address.ts";
import type { UplinkOptions } from "./options.ts";
import type { Host, Target } from "./uplink.ts";

/** The addresses of the network that a container sees. All uplinks use slirp4netns's layout (slirp4netns(1)). */
export interface Network {
  readonly address: string;
  readonly length: number;
  readonly gateway: string;
  readonly dns: string;
}

/** The IPv6 network. slirp4netns supports only this one. */
export const network6 = { address: "fd00::100", length: 64, gateway: "fd00::2", dns: "fd00::3" } as const;

/** The IPv4 networks to choose from if none is requested, the preferred one first. */
export const usualCidrs: readonly [Cidr, ...Cidr[]] = [
  ...["10.0.2.0/24", "10.86.30.0/24", "172.16.30.0/24", "192.168.230.0/24", "100.86.30.0/24"] as const,
];

/** The requested network, or the preferred one. */
export function cidrOf({ cidr = usualCidrs[0] }: UplinkOptions): Cidr {
  return cidr;
}

/** The addresses of the requested IPv4 network. */
export function networkOf(options: UplinkOptions): Network {
  const cidr = cidrOf(options);
  const at = (step: bigint) => plus(addressOf(cidr), step);
  return { address: at(100n), length: lengthOf(cidr), gateway: at(2n), dns: at(3n) };
}

/** The options that slirp4netns and pasta share. */
export const commonKeys = [
  ...["cidr", "mtu", "mac", "ipv6", "dns", "host-loopback", "outbound-addr", "outbound-addr6"] as const,
];

/**
 * Whether all name servers of the host have IPv6 addresses. An uplink sends them only questions that it received over
 * IPv6.
 */
export function asksBySix({ resolvers }: Host): boolean {
  return resolvers !== undefined && resolvers.families[6] && !resolvers.families[4];
}

/** Whether the host has no name server. */
export function lacksNameServer({ resolvers }: Host): boolean {
  return resolvers !== undefined && !resolvers.families[4] && !resolvers.families[6];
}

/** The result for a connected container. */
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
