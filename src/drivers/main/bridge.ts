import { addressOf, family } from "../../net/address.ts";
import { macFrom, macOfAddress, parseMac } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { addBridge, addVeth, ownAlias, renameLink, setLink } from "../../plan/ip.ts";
import { allowOnlyMac } from "../../plan/nft/bridge.ts";
import { guardBridges, guardHost, join, keepBridgeInternal, masquerade } from "../../plan/nft/endpoint.ts";
import { tryRules } from "../../plan/nft/table.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Line, Step } from "../../plan/step.ts";
import { CniError } from "../../wire/cni/error.ts";
import { hostLinks, ownIps } from "../../wire/cni/previous_result.ts";
import type { Ip, Result } from "../../wire/cni/result.ts";
import type { Lease, Lookups } from "../plugin.ts";
import { checkName, type Conf } from "./bridge_conf.ts";
import { findBridge, isOurs, isRenamed, nameNow } from "./bridge_found.ts";
import {
  detectDuplicates,
  gatewayAddresses,
  led,
  setGateway,
  withDefaultRoutes,
  withGateway,
  withVlanLink,
} from "./bridge_gateway.ts";
import { isFiltering, lostVlans, portVlans, vlanLink, type Vlans, vlansOn } from "./bridge_vlan.ts";
import { endpointOf } from "./endpoint.ts";
import { hasMode } from "./gateway_modes.ts";
import { addAddresses, addRoutes, enableIpv6, needAddresses, withLease } from "./layer3.ts";
import { announce, bringUp, bringUpAddressed } from "./move_in.ts";
import {
  disableDuplicateDetection,
  forward,
  forwardingSysctls,
  linkForwarding,
  lostVeth,
  vethEnds,
} from "./veth.ts";

export { parse, readsArgs } from "./bridge_conf.ts";

/**
 * The bridge and the gateway's VLAN link. The addresses of our own bridge are needed only with forceAddress, which
 * removes others.
 */
export function lookups({ bridge, vlans, forceAddress, isGateway }: Conf, at: Attachment): Lookups {
  const gateway = vlans.id === 0 ? [] : [vlanLink(bridge, vlans.id)];
  return {
    links: forceAddress ? [bridge, ...gateway] : gateway,
    ownBridges: [{ name: bridge, mac: macFrom(at.networkDigest) }],
    ...(isGateway ? { sysctls: forwardingSysctls, advertised: true } : {}),
  };
}

/** Connects the container to the bridge. The first container creates the bridge. */
export function link(conf: Conf, at: Attachment, seen: HostState): Plan {
  const { vlans } = conf;
  const found = findBridge(conf, seen);
  needFiltering(conf, found);
  const [bridge, mtu] = [nameNow(conf, found), chooseMtu(conf, found)];
  const mac = found?.mac ?? macFrom(at.networkDigest);
  const { host, container } = vethEnds(at, chosenMac(conf, at));
  return {
    steps: [
      ...(found && isRenamed(conf, found) ? [renameLink(found.name, bridge)] : []),
      ...(found ? [...pinMac(found), ...bringUpBridge(found, at)] : makeBridge(bridge, mac, mtu, vlans)),
      ...(conf.promiscMode ? [setLink("host", bridge, "promisc", "on")] : []),
      addVeth({ host, container, netns: at.netns, mtu, master: bridge }),
      setPort(host.name, conf),
      setLink("host", host.name, "up"),
      ...disableDuplicateDetection(host.name),
      ...portVlans(host.name, vlans, found?.vlans?.default),
      ...(conf.macSpoofCheck ? allowOnlyMac(host.name, container.mac) : []),
      ...(conf.linkDown ? [] : bringUp(conf.bringUp, at.ifname)),
    ],
    result: {
      interfaces: [{ name: bridge, mac }, host, { ...container, sandbox: at.netns }],
      ips: [],
      routes: [],
      dns: conf.dns ?? {},
    },
  };
}

/** A port's MTU must not exceed the bridge's. */
function chooseMtu({ mtu, pathMtu }: Conf, found: Link | undefined): number | undefined {
  return mtu ?? (pathMtu === undefined || !found ? pathMtu : Math.min(pathMtu, found.mtu));
}

/** VLANs on a bridge without VLAN filtering separate nothing (siderolabs/talos#8941). */
function needFiltering({ bridge, vlans }: Conf, found: Link | undefined): void {
  const problem = isFiltering(vlans) ? filteringProblem(bridge, found) : undefined;
  if (problem !== undefined) throw new CniError("internal", `Cannot use a VLAN on ${problem}`);
}

function filteringProblem(bridge: string, found: Link | undefined): string | undefined {
  if (found?.vlans?.filtering !== false) return undefined;
  return `bridge "${bridge}": it does not keep VLANs apart; ` +
    `ip link set dev ${bridge} type bridge vlan_filtering 1 has it do so`;
}

function chosenMac({ mac }: Conf, at: Attachment): string | undefined {
  const wanted = mac ?? at.args.get("MAC");
  if (wanted === undefined) return undefined;
  const parsed = parseMac(wanted);
  if (parsed === undefined) {
    throw new CniError("invalidConfig", `Cannot use MAC address "${wanted}": it is not one`);
  }
  return parsed;
}

function makeBridge(name: string, mac: string, mtu: number | undefined, vlans: Vlans): readonly Step[] {
  checkName(name);
  return [
    addBridge(name, mac, mtu, isFiltering(vlans)),
    ...finishBridge(name),
  ];
}

function finishBridge(name: string): readonly Step[] {
  return [setLink("host", name, "alias", ownAlias, "up"), ...disableDuplicateDetection(name)];
}

/**
 * Fixes a bridge's MAC address. Otherwise it changes when the first port comes and when a port goes
 * (containernetworking/cni#285).
 */
function pinMac({ name, mac, floatingMac }: Link): readonly Step[] {
  return floatingMac ? [setLink("host", name, "address", mac)] : [];
}

/** Sets a bridge up, and finishes one of ours. */
function bringUpBridge(found: Link, { networkDigest }: Attachment): readonly Step[] {
  if (found.up !== false) return [];
  return isOurs(found, networkDigest) ? finishBridge(found.name) : [setLink("host", found.name, "up")];
}

function setPort(port: string, { hairpinMode, portIsolation }: Conf): Line {
  const [hairpin, isolated] = [hairpinMode ? "on" : "off", portIsolation ? "on" : "off"];
  return setLink("host", port, "type", "bridge_slave", "hairpin", hairpin, "isolated", isolated);
}

/**
 * Lets a container reach its own published ports by the host's address. With br_netfilter, which Docker and Kubernetes
 * load, bridged packets pass nat. The kernel then bridges the packet back to the port that it came from.
 */
export function reflect(at: Attachment): Line {
  const { name } = vethEnds(at).host;
  const set = (how: string) => setLink("host", name, "type", "bridge_slave", "hairpin", how);
  return { ...set("on"), undo: set("off").run };
}

/** The bridge and the gateway's link, with their addresses, and the port's VLANs. */
export function evidence(conf: Conf, _at: Attachment, made: Result): Lookups {
  const ports = hostLinks(made).filter((name) => name !== conf.bridge);
  return {
    links: [conf.bridge, gatewayLink(conf)],
    sysctls: conf.isGateway ? [linkForwarding(gatewayLink(conf))] : [],
    answers: isFiltering(conf.vlans) ? ports.map(vlansOn) : [],
  };
}

function gatewayLink({ bridge, vlans }: Conf): string {
  return vlans.id === 0 ? bridge : vlanLink(bridge, vlans.id);
}

/**
 * Checks that the container's port is on the bridge with its settings, and that the bridge is up and has the gateways.
 */
export function checkDrift(
  conf: Conf,
  { ifname }: Attachment,
  made: Result,
  seen: HostState,
): string | undefined {
  const found = seen.links.get(conf.bridge);
  const bridge = found?.name ?? conf.bridge;
  if (found && isRenamed(conf, found)) return `bridge "${conf.bridge}" is called "${bridge}" by now`;
  const port = hostLinks(made).map((name) => seen.links.get(name)).find((link) => link?.master === bridge);
  if (!port) return `CNI veth created for bridge ${conf.bridge} was not found`;
  const ips = ownIps(made, ifname);
  return lostVeth(led(conf, ips), ifname, port, seen, gatewayLink(conf)) ??
    lostPort(conf, port, seen) ??
    lostBridge(conf, ips, seen);
}

/**
 * Only settings that the configuration turns on are checked. Another plugin may turn on the others: firewall isolates
 * ports too.
 */
function lostPort(
  { hairpinMode, portIsolation, vlans }: Conf,
  link: Link,
  seen: HostState,
): string | undefined {
  const { name, port } = link;
  if (hairpinMode && !port?.hairpin) return `bridge port "${name}" is no longer in hairpin mode`;
  if (portIsolation && !port?.isolated) return `bridge port "${name}" is no longer isolated`;
  return isFiltering(vlans) ? lostVlans(name, vlans, seen.answers?.get(vlansOn(name))) : undefined;
}

function lostBridge(conf: Conf, ips: readonly Ip[], seen: HostState): string | undefined {
  const { bridge, promiscMode } = conf;
  const { up, promiscuous } = seen.links.get(bridge) ?? {};
  if (!up) return `bridge "${bridge}" is down`;
  const mixed = isFiltering(conf.vlans) ? filteringProblem(bridge, seen.links.get(bridge)) : undefined;
  if (mixed !== undefined) return `The VLAN is none on ${mixed}`;
  if (promiscMode && !promiscuous) return `bridge "${bridge}" is no longer in promiscuous mode`;
  const name = gatewayLink(conf);
  const there = seen.links.get(name)?.addresses;
  const gone = gatewayAddresses(led(conf, ips)).find((gateway) => !there?.includes(gateway));
  return gone && `"${name}" no longer has the gateway's address ${gone}`;
}

/** Tests for bridges, VLAN filtering if configured, and rules. */
export function kernelProbe({ vlans, ipMasq, macSpoofCheck }: Conf): readonly string[] {
  const filtering = isFiltering(vlans) ? " vlan_filtering 1" : "";
  const rules = ipMasq || macSpoofCheck ? tryRules : [];
  return [`ip link add name try0 type bridge${filtering}`, ...rules];
}

/** Checks that no other link has the bridge's name, and that the bridge filters VLANs if configured. */
export function statusProblem(conf: Conf, seen: HostState): void {
  needFiltering(conf, findBridge(conf, seen));
}

/**
 * The MAC address that the next container with the address has too. The kernel announces an address before the bridge has
 * made the new link a forwarding port, so neighbours would keep the old MAC address for half a minute (moby#47146).
 */
function macFor(
  { macFromAddress, macSpoofCheck, mac }: Conf,
  at: Attachment,
  { ips }: Lease,
): string | undefined {
  if (!macFromAddress || macSpoofCheck || (mac ?? at.args.get("MAC")) !== undefined) return undefined;
  const found = ips.find(({ address }) => family(address) === 4);
  return found && macOfAddress(addressOf(found.address));
}

/** The result with another MAC address of the container's link, which is its third. */
export function withMac(made: Result, mac: string): Result {
  return { ...made, interfaces: made.interfaces.map((one, i) => i === 2 ? { ...one, mac } : one) };
}

/** Gives the container its addresses and routes, and the bridge the gateway's address. */
export function address(conf: Conf, at: Attachment, given: Lease, made: Result, seen: HostState): Plan {
  needAddresses(given);
  const lease = { ...given, ips: given.ips.map((ip) => withGateway(ip, conf)) };
  const routes = conf.isDefaultGateway ? withDefaultRoutes(lease) : lease.routes;
  const gateways = gatewayAddresses(led(conf, lease.ips));
  const isRouted = hasMode(conf.modes, "routed");
  const mac = macFor(conf, at, lease);
  const named = mac === undefined ? made : withMac(made, mac);
  const result = withVlanLink(conf, at, withLease(named, { ...lease, routes }, 2, conf.dns), seen);
  const endpoint = endpointOf(at, result)!;
  const found = seen.links.get(conf.bridge);
  const bridges = [...new Set([found?.name ?? conf.bridge, endpoint.link])];
  return {
    steps: [
      ...setGateway(conf, at, gateways, seen),
      ...forward(led(conf, lease.ips), seen, endpoint.link),
      ...(mac === undefined ? [] : [setLink("container", at.ifname, "address", mac)]),
      ...detectDuplicates(conf, at.ifname),
      ...enableIpv6(lease, at.ifname),
      ...announce(at.ifname, [4]),
      ...addAddresses(lease, at.ifname),
      ...(conf.bringUp.layer3 ? bringUpAddressed(conf.bringUp, named.interfaces[2]!) : []),
      ...addRoutes({ ...lease, routes }, at.ifname),
      ...guardBridges(...bridges),
      ...(found === undefined || isOurs(found, at.networkDigest) ? guardHost(...bridges) : []),
      ...join(endpoint, lease.ips),
      ...(conf.internal ? [keepBridgeInternal(endpoint)] : []),
      ...(conf.ipMasq ? masquerade(endpoint, lease.ips.filter((ip) => !isRouted(ip))) : []),
    ],
    result,
  };
}
