import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import { type Dns, hasDns, type Ip, parseDns, type Result, type Route } from "../../wire/cni/result.ts";
import {
  addressOf,
  contains,
  family,
  lengthOf,
  networkOf,
  parseAddress,
  parseCidr,
  plus,
} from "../../net/address.ts";
import { linkNameProblem, macFrom, parseMac } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import {
  addAddress,
  addBridge,
  addVeth,
  ownAlias,
  removeAddress,
  renameLink,
  setLink,
} from "../../plan/ip.ts";
import { guardBridges, join, keepBridgeInternal, masquerade } from "../../plan/nft/endpoint.ts";
import { tryRules } from "../../plan/nft/table.ts";
import { allowOnlyMac } from "../../plan/nft/bridge.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { type Line, setSysctl, type Step } from "../../plan/step.ts";
import { hostLinks, ownIps } from "../../wire/cni/previous_result.ts";
import type { Lease, Lookups } from "../plugin.ts";
import { announce, type BringUp, bringUp, bringUpAddressed, parseBringUp } from "./move_in.ts";
import { endpointOf } from "./endpoint.ts";
import {
  isFiltering,
  lostVlans,
  makeVlanLink,
  parseTrunk,
  portVlans,
  vlanLink,
  vlanMac,
  type Vlans,
  vlansOn,
} from "./bridge_vlan.ts";
import { addAddresses, addRoutes, enableIpv6, gatewayFor, parseMasquerade, withLease } from "./layer3.ts";
import { disableDuplicateDetection, forward, forwardingSysctls, lostVeth, vethEnds } from "./veth.ts";

interface Conf {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  /** Our own option: the containers can open connections only to each other and to the host. */
  readonly internal: boolean;
  readonly mtu?: number;
  /** The MTU of the host's default route, used if no MTU is configured. `up` and the hook set it. */
  readonly pathMtu?: number;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly vlans: Vlans;
  readonly macSpoofCheck: boolean;
  readonly duplicateAddressDetection: boolean;
  readonly linkDown: boolean;
  readonly bringUp: BringUp;
  readonly portIsolation: boolean;
  readonly mac?: string;
  readonly dns?: Dns;
  /** The gateways of all subnets of the network's own IPAM, with prefix lengths. */
  readonly gateways: readonly string[];
}

/** It reads `MAC`. */
export const readsArgs = true;

/** Reads a bridge configuration. The defaults are the reference plugin's (1.9.1). */
export function parse(conf: Fields): Conf {
  const [isDefaultGateway, linkDown] = [
    flag(conf, "isDefaultGateway"),
    flag(conf, "disableContainerInterface"),
  ];
  const [hairpinMode, promiscMode] = [flag(conf, "hairpinMode"), flag(conf, "promiscMode")];
  if (hairpinMode && promiscMode) {
    throw new CniError("internal", "cannot set hairpin mode and promiscuous mode at the same time");
  }
  if (linkDown && conf.object("ipam")?.string("type")) {
    throw new CniError("internal", "cannot use IPAM when DisableContainerInterface flag is set");
  }
  const dns = parseDns(conf.object("dns"));
  const isGateway = flag(conf, "isGateway") || isDefaultGateway;
  const [bridge, vlan] = [conf.string("bridge") ?? "cni0", vlanId(conf)];
  checkAnyName(bridge);
  if (isGateway && vlan !== 0) checkName(vlanLink(bridge, vlan));
  return {
    bridge,
    isGateway,
    isDefaultGateway,
    forceAddress: flag(conf, "forceAddress"),
    ipMasq: parseMasquerade(conf),
    internal: flag(conf, "internal"),
    mtu: conf.integer("mtu", { min: 0, max: 65535 }) || undefined,
    pathMtu: conf.integer("pathMtu", { min: 0, max: 65535 }),
    hairpinMode,
    promiscMode,
    vlans: {
      id: vlan,
      trunk: parseTrunk(conf.objects("vlanTrunk")),
      keepDefault: flag(conf, "preserveDefaultVlan"),
    },
    macSpoofCheck: flag(conf, "macspoofchk"),
    duplicateAddressDetection: flag(conf, "enabledad"),
    linkDown,
    bringUp: parseBringUp(conf),
    portIsolation: flag(conf, "portIsolation"),
    mac: wantedMac(conf),
    ...(hasDns(dns) ? { dns } : {}),
    gateways: gatewaysOfRanges(conf),
  };
}

/**
 * The gateways of host-local's ranges. Once the first subnet is full, the bridge gets the next one's gateway as well.
 */
function gatewaysOfRanges(conf: Fields): readonly string[] {
  const ipam = conf.object("ipam");
  const sets = [ipam?.raw("ranges"), conf.object("runtimeConfig")?.raw("ipRanges")].flat(2);
  const entries = sets.flatMap((entry) => typeof entry === "object" && entry ? [fields(entry)] : []);
  return [...ipam ? [ipam] : [], ...entries].flatMap((entry) => {
    const subnet = parseCidr(String(entry.raw("subnet") ?? ""));
    if (!subnet) return [];
    const network = networkOf(`${subnet.address}/${subnet.length}`);
    const own = parseAddress(String(entry.raw("gateway") ?? ""));
    return [`${own ?? plus(addressOf(network), 1n)}/${subnet.length}`];
  });
}

function flag(conf: Fields, key: string): boolean {
  return conf.boolean(key) ?? false;
}

/** Checks a name. An existing bridge may be named by an alternative name, which can be longer. */
function checkAnyName(link: string): void {
  if (link.length > 127 || linkNameProblem(link.slice(0, 15)) !== undefined) checkName(link);
}

function checkName(link: string): void {
  const problem = linkNameProblem(link);
  if (problem) {
    throw new CniError("invalidConfig", `Cannot use bridge link ${JSON.stringify(link)}: ${problem}`);
  }
}

function vlanId(conf: Fields): number {
  const id = conf.integer("vlan") ?? 0;
  if (id < 0 || id > 4094) {
    throw new CniError("internal", `invalid VLAN ID ${id} (must be between 0 and 4094)`);
  }
  return id;
}

/**
 * The MAC address from runtimeConfig, or else from args.cni. The one from CNI_ARGS ranks last; it is in the attachment.
 */
function wantedMac(conf: Fields): string | undefined {
  return conf.object("runtimeConfig")?.string("mac") ?? conf.object("args")?.object("cni")?.string("mac");
}

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

function findBridge({ bridge }: Conf, { links }: HostState): Link | undefined {
  const found = links.get(bridge);
  if (!found || found.kind === "bridge") return found;
  throw new CniError(
    "internal",
    `failed to create bridge "${bridge}": "${bridge}" already exists but is not a bridge`,
  );
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

/** A bridge that is found by none of its names is found by being ours, and the network's. */
function isRenamed({ bridge }: Conf, { name, altNames, alias }: Link): boolean {
  return name !== bridge && alias === ownAlias && altNames?.includes(bridge) !== true;
}

function nameNow(conf: Conf, found: Link | undefined): string {
  return found && !isRenamed(conf, found) ? found.name : conf.bridge;
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

/** Sets a bridge up. If its MAC address is ours, an earlier ocinet was stopped before it had finished the bridge. */
function bringUpBridge({ name, mac, up }: Link, { networkDigest }: Attachment): readonly Step[] {
  if (up !== false) return [];
  return mac === macFrom(networkDigest) ? finishBridge(name) : [setLink("host", name, "up")];
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
  return lostVeth(conf.isGateway ? ips : [], ifname, port, seen) ?? lostPort(conf, port, seen) ??
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
  const { bridge, promiscMode, isGateway } = conf;
  const { up, promiscuous } = seen.links.get(bridge) ?? {};
  if (!up) return `bridge "${bridge}" is down`;
  const mixed = isFiltering(conf.vlans) ? filteringProblem(bridge, seen.links.get(bridge)) : undefined;
  if (mixed !== undefined) return `The VLAN is none on ${mixed}`;
  if (promiscMode && !promiscuous) return `bridge "${bridge}" is no longer in promiscuous mode`;
  const name = gatewayLink(conf);
  const there = seen.links.get(name)?.addresses;
  const gone = isGateway ? gatewayAddresses(ips).find((gateway) => !there?.includes(gateway)) : undefined;
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

/** Gives the container its addresses and routes, and the bridge the gateway's address. */
export function address(conf: Conf, at: Attachment, given: Lease, made: Result, seen: HostState): Plan {
  if (given.ips.length === 0) throw new CniError("internal", "IPAM plugin returned missing IP config");
  const lease = { ...given, ips: given.ips.map((ip) => withGateway(ip, conf)) };
  const routes = conf.isDefaultGateway ? withDefaultRoutes(lease) : lease.routes;
  const gateways = conf.isGateway ? gatewayAddresses(lease.ips) : [];
  const result = withVlanLink(conf, at, withLease(made, { ...lease, routes }, 2, conf.dns), seen);
  const endpoint = endpointOf(at, result)!;
  return {
    steps: [
      ...setGateway(conf, at, gateways, seen),
      ...(conf.isGateway ? forward(lease.ips, seen) : []),
      ...detectDuplicates(conf, at.ifname),
      ...enableIpv6(lease, at.ifname),
      ...announce(at.ifname, [4]),
      ...addAddresses(lease, at.ifname),
      ...(conf.bringUp.layer3 ? bringUpAddressed(conf.bringUp, made.interfaces[2]!) : []),
      ...addRoutes({ ...lease, routes }, at.ifname),
      ...guardBridges(...new Set([seen.links.get(conf.bridge)?.name ?? conf.bridge, endpoint.link])),
      ...join(endpoint, lease.ips),
      ...(conf.internal ? [keepBridgeInternal(endpoint)] : []),
      ...(conf.ipMasq ? masquerade(endpoint, lease.ips) : []),
    ],
    result,
  };
}

function withGateway(ip: Ip, { isGateway }: Conf): Ip {
  return ip.gateway === undefined && isGateway
    ? { ...ip, gateway: plus(addressOf(networkOf(ip.address)), 1n) }
    : ip;
}

function withDefaultRoutes({ ips, routes }: Lease): readonly Route[] {
  const missing = ["0.0.0.0/0", "::/0"].map((dst) => ({ dst, gw: gatewayFor(ips, dst) }))
    .filter(({ dst, gw }) => gw && !routes.some((route) => route.dst === dst && route.gw !== undefined));
  // A default route without a gateway of its own is this same route.
  return [...routes.filter((route) => !missing.some(({ dst }) => dst === route.dst)), ...missing];
}

function gatewayAddresses(ips: readonly Ip[]): readonly string[] {
  return ips.flatMap(({ address, gateway }) =>
    gateway === undefined ? [] : [`${gateway}/${lengthOf(address)}`]
  );
}

function setGateway(
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

function detectDuplicates(conf: Conf, ifname: string): readonly Step[] {
  const wanted = conf.duplicateAddressDetection ? ["enhanced_dad=1", "accept_dad=1"] : ["accept_dad=0"];
  return wanted.map((text) => {
    const [key, value] = text.split("=");
    return setSysctl("container", `net/ipv6/conf/${ifname}/${key}`, value!, { onError: "ignore" });
  });
}

function withVlanLink(
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
