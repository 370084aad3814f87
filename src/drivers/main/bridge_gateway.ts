/** What the host's side of a bridge has for its containers: the gateway's addresses, and the link of a VLAN. */
import { addressOf, contains, family, lengthOf, networkOf, plus } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { addAddress, removeAddress } from "../../plan/ip.ts";
import { setSysctl, type Step } from "../../plan/step.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Ip, Result, Route } from "../../wire/cni/result.ts";
import type { Lease } from "../plugin.ts";
import { nameNow } from "./bridge_found.ts";
import type { Conf } from "./bridge_conf.ts";
import { makeVlanLink, vlanLink, vlanMac } from "./bridge_vlan.ts";
import { hasMode } from "./gateway_modes.ts";
import { gatewayFor } from "./layer3.ts";

/** The address with the gateway that `isGateway` means: the first of its subnet, unless the IPAM has named one. */
export function withGateway(ip: Ip, conf: Conf): Ip {
  return ip.gateway === undefined && led(conf, [ip]).length > 0
    ? { ...ip, gateway: plus(addressOf(networkOf(ip.address)), 1n) }
    : ip;
}

/** The routes, with a default one for each family that has a gateway. */
export function withDefaultRoutes({ ips, routes }: Lease): readonly Route[] {
  const missing = ["0.0.0.0/0", "::/0"].map((dst) => ({ dst, gw: gatewayFor(ips, dst) }))
    .filter(({ dst, gw }) => gw && !routes.some((route) => route.dst === dst && route.gw !== undefined));
  // A default route without a gateway of its own is this same route.
  return [...routes.filter((route) => !missing.some(({ dst }) => dst === route.dst)), ...missing];
}

/** The addresses of families that the bridge has the gateway of. */
export function led({ isGateway, modes }: Conf, ips: readonly Ip[]): readonly Ip[] {
  const isIsolated = hasMode(modes, "isolated");
  return isGateway ? ips.filter((ip) => !isIsolated(ip)) : [];
}

/** The gateways with their prefix lengths. */
export function gatewayAddresses(ips: readonly Ip[]): readonly string[] {
  return ips.flatMap(({ address, gateway }) =>
    gateway === undefined ? [] : [`${gateway}/${lengthOf(address)}`]
  );
}

/** Gives the host's side of the bridge the gateways' addresses. */
export function setGateway(
  conf: Conf,
  at: Attachment,
  gateways: readonly string[],
  seen: HostState,
): readonly Step[] {
  const { bridge, vlans } = conf;
  if (vlans.id === 0) {
    const found = seen.links.get(bridge);
    return gateways.flatMap((gateway) => setAddress(gateway, nameNow(conf, found), conf, found));
  }
  if (gateways.length === 0) return [];
  const name = vlanLink(bridge, vlans.id);
  const made = seen.links.has(name) ? [] : makeVlanLink(conf, at, seen.links.get(bridge)?.vlans?.default);
  return [...made, ...gateways.flatMap((gateway) => setAddress(gateway, name, conf, seen.links.get(name)))];
}

function setAddress(
  gateway: string,
  link: string,
  { forceAddress, gateways }: Conf,
  found: Link | undefined,
): readonly Step[] {
  if (found?.addresses?.includes(gateway)) return [];
  const others =
    found?.addresses?.filter((address) => !gateways.includes(address) && conflicts(address, gateway)) ?? [];
  if (others.length > 0 && !forceAddress) {
    throw new CniError(
      "internal",
      `failed to set bridge addr: "${link}" already has an IP address different from ${gateway}`,
    );
  }
  return [
    ...others.map((address) => removeAddress("host", address, link)),
    addAddress("host", gateway, link),
  ];
}

/** A bridge has one IPv4 subnet, and any number of IPv6 subnets that do not overlap. */
function conflicts(address: string, gateway: string): boolean {
  if (family(address) !== family(gateway)) return false;
  return family(address) === 4 || contains(networkOf(address), addressOf(gateway)) ||
    contains(networkOf(gateway), addressOf(address));
}

/** Has the kernel look for other users of the container's addresses, or not. */
export function detectDuplicates(conf: Conf, ifname: string): readonly Step[] {
  const wanted = conf.duplicateAddressDetection ? ["enhanced_dad=1", "accept_dad=1"] : ["accept_dad=0"];
  return wanted.map((text) => {
    const [key, value] = text.split("=");
    return setSysctl("container", `net/ipv6/conf/${ifname}/${key}`, value!, { onError: "ignore" });
  });
}

/** The result with the host's link in the bridge's VLAN, which has the gateways. */
export function withVlanLink(
  { bridge, vlans, isGateway }: Conf,
  at: Attachment,
  result: Result,
  seen: HostState,
): Result {
  if (vlans.id === 0 || !isGateway) return result;
  const name = vlanLink(bridge, vlans.id);
  return {
    ...result,
    interfaces: [...result.interfaces, { name, mac: seen.links.get(name)?.mac ?? vlanMac(at, vlans.id) }],
  };
}
