import { addressOf, family, hostLength, lengthOf } from "../../net/address.ts";
import { macOfAddress } from "../../net/names.ts";
import { addAddress, addBridge, setLink } from "../../plan/ip.ts";
import { passMark } from "../../plan/nft/chains.ts";
import { line, type Step, words } from "../../plan/step.ts";
import { disableDuplicateDetection } from "../../drivers/main/veth.ts";
import type { Underlay } from "./cluster_config.ts";
import { gatewayOf, type OverlayNetwork, smallestMtu } from "./keys.ts";

/** A network on this host. */
export interface LocalNetwork {
  readonly network: OverlayNetwork;
  /** SHA-512 of its name. */
  readonly digest: string;
  /** The host's own addresses on it, with prefix lengths. */
  readonly own: readonly string[];
  readonly underlay: Underlay;
  /** UDP port of VXLAN. */
  readonly port: number;
  /** The link by which alone the network's packets go and come, where it is encrypted. */
  readonly tunnel?: string;
}

/** The names of the links of a network on every host. */
export function linkNames(digest: string): { readonly bridge: string; readonly vxlan: string } {
  return { bridge: `ov${digest.slice(0, 11)}`, vxlan: `vx${digest.slice(0, 11)}` };
}

/** The bridge's MAC address. */
export function bridgeMac({ own }: Pick<LocalNetwork, "own">): string {
  return macOfAddress(addressOf(own[0]!));
}

/** Bytes that VXLAN takes of each packet: Ethernet, VXLAN, UDP, and IPv4 or IPv6. */
function overhead(underlay: string): number {
  return family(underlay) === 4 ? 50 : 70;
}

/** The MTU of containers' links: what the smallest underlay of all hosts leaves, or what the network says. */
export function mtuOf(network: OverlayNetwork, underlays: readonly Underlay[]): number {
  const rooms = underlays.map((one) => one.mtu - overhead(one.address));
  return Math.max(smallestMtu(network), Math.min(network.mtu ?? 65535, ...rooms));
}

/** What makes the network's links on this host; each is undone by taking the links away. */
export function linkSteps(local: LocalNetwork, mtu: number): readonly Step[] {
  const { bridge, vxlan } = linkNames(local.digest);
  // What goes to one container whose host is not known goes nowhere.
  const unknown = local.network.multicast ? ["flood", "off"] : [];
  const addBridgeLine = addBridge(bridge, bridgeMac(local), mtu, false);
  return [
    { ...addBridgeLine, undo: words`link del dev ${bridge}` },
    addVxlan(local, mtu),
    setLink("host", vxlan, "type", "bridge_slave", "neigh_suppress", "on", "learning", "off", ...unknown),
    setLink("host", vxlan, "up"),
    setLink("host", bridge, "up"),
    ...disableDuplicateDetection(bridge),
    ...disableDuplicateDetection(vxlan),
    ...ownAddresses(local, bridge),
  ];
}

/**
 * No `dev`, with which the link would go when the underlay's does. Over IPv4 no outer checksum, which packets that were
 * translated before get wrong on some kernels (flannel#1279); it cannot be changed later. Its own address is of no use. With
 * `proxy` it sends no ARP and no neighbour solicitations: each host asks for its containers as their gateway.
 */
function addVxlan({ network, digest, own, underlay, port }: LocalNetwork, mtu: number): Step {
  const { bridge, vxlan } = linkNames(digest);
  const mac = `02:6e:${bridgeMac({ own }).slice(6)}`;
  const checksum = family(underlay.address) === 4 ? " noudpcsum" : "";
  const run =
    words`link add name ${vxlan} address ${mac} mtu ${mtu} master ${bridge} type vxlan id ${network.vni}` +
    words` dstport ${port} local ${underlay.address} nolearning` + (network.multicast ? " proxy" : "") +
    checksum;
  return line("ip", "host", { kind: "link", link: vxlan, type: "vxlan", master: bridge }, run, {
    undo: words`link del dev ${vxlan}`,
  });
}

/**
 * What the host sends has its own address, not the gateway's, which every host has: in IPv4 as the first of the link, in
 * IPv6 because the gateway's is deprecated; the kernel would take whichever has more bits in common with the destination.
 */
function ownAddresses({ network, own }: LocalNetwork, bridge: string): readonly Step[] {
  return [
    ...own.map((address) => addAddress("host", address, bridge)),
    ...network.subnets.map((subnet) => {
      const gateway = gatewayOf(subnet);
      const deprecated = family(gateway) === 6 ? ["preferred_lft", "0"] : [];
      return addAddress("host", `${gateway}/${hostLength(gateway)}`, bridge, "noprefixroute", ...deprecated);
    }),
  ];
}

/** The table that keeps strangers out of a network. */
export function guardTable({ vni }: OverlayNetwork): string {
  return `inet ocinet_${vni}`;
}

/**
 * Packets of the network's VNI are taken from its hosts alone, and sent by the host itself alone: not by containers,
 * to their gateway or through it (the sender's address would then be the host's own). conntrack has no part in them, so
 * that no masquerading changes their source. Others' VXLAN on the same port is not touched.
 */
export function guardStep(local: LocalNetwork): Step {
  const { network: { vni, internal, multicast }, port, tunnel } = local;
  const table = guardTable(local.network);
  const { bridge } = linkNames(local.digest);
  // The VNI is three bytes in, behind UDP's header and VXLAN's flags.
  const own = words`udp dport ${port} @th,96,24 ${vni}`;
  const f = family(local.underlay.address);
  const by = tunnel === undefined ? "" : words`iifname ${tunnel} `;
  const lines = [
    `add table ${table}\ndelete table ${table}\nadd table ${table}`,
    `add set ${table} peers { type ipv${f}_addr; }`,
    `add chain ${table} arriving { type filter hook prerouting priority -310; }`,
    `add rule ${table} arriving ${by}${own} ${f === 4 ? "ip" : "ip6"} saddr @peers notrack accept`,
    `add rule ${table} arriving ${own} fib daddr type local counter drop`,
    `add chain ${table} leaving { type filter hook output priority -310; }`,
    ...(tunnel === undefined
      ? []
      : [`add rule ${table} leaving ` + words`oifname != ${tunnel} ` + `${own} counter drop`]),
    `add rule ${table} leaving ${own} notrack`,
    `add chain ${table} forwarded { type filter hook forward priority filter${multicast ? " - 2" : ""}; }`,
    `add rule ${table} forwarded ${own} counter drop`,
    ...(multicast ? [floodRule(table, bridge)] : []),
    ...routingRules(table, bridge, internal),
  ];
  return {
    ...line("nft", "host", { kind: "table", table }, lines.join("\n"), {
      undo: `add table ${table}\ndelete table ${table}`,
    }),
    before: true,
  };
}

/** With br_netfilter, what comes from other hosts to no address in particular passes a FORWARD policy of DROP. */
function floodRule(table: string, bridge: string): string {
  return `add rule ${table} forwarded ` + words`oifname "${bridge}"` +
    ` meta pkttype { broadcast, multicast } meta mark set meta mark | ${passMark}`;
}

/** A container of another network comes in by published ports alone, whichever host the container is on. */
function routingRules(table: string, bridge: string, internal: boolean): readonly string[] {
  const name = words`"${bridge}"`;
  const unasked = "ct state != { established, related } ct status ! dnat drop";
  return [
    `add rule ${table} forwarded iifname != ${name} oifname ${name} ${unasked}`,
    ...(internal ? [`add rule ${table} forwarded iifname ${name} oifname != ${name} ${unasked}`] : []),
  ];
}

/** Whether the subnets' lengths and the like let an address stand as the host's own. */
export function withLength({ subnets }: OverlayNetwork, address: string): string {
  const subnet = subnets.find((one) => family(one) === family(address))!;
  return `${address}/${lengthOf(subnet)}`;
}
