import { addressOf, family, toNumber } from "../net/address.ts";
import { linkLocalFrom } from "../net/names.ts";
import { element } from "./nft.ts";
import { type Line, words } from "./step.ts";

/** An IPv6 address in a neighbour advertisement (RFC 4861, 4.4): nft has no name for it. */
const target = "@th,64,128";

/**
 * What passes from a port of somebody whom nobody has to trust: ARP, IPv4 and IPv6 from its own addresses, and nothing
 * by which it would speak for another, or as a router or DHCP server. That the type is read from the frame itself
 * keeps out what has a VLAN's tag. Duplicate address detection and DHCP clients' requests, from no address, are kept out,
 * too: the addresses are chosen by us.
 */
const guard = [
  "iifname . ether saddr != @allowed drop",
  "@ll,96,16 0x0806 iifname . arp saddr ether . arp saddr ip @own_arp accept",
  "@ll,96,16 0x0800 iifname . ip saddr @own4 jump guard4",
  "@ll,96,16 0x86dd iifname . ip6 saddr @own6 jump guard6",
  "drop",
];

const guard4 = [
  "udp sport 67 drop",
  "icmp type { redirect, router-advertisement } drop",
  // Who asks as a router which groups there are, gets the groups' traffic.
  "igmp type membership-query drop",
  "meta l4proto 103 drop",
  "accept",
];

const guard6 = [
  // Behind other headers the first fragment of several may hide what the next one brings.
  "frag nexthdr != { tcp, udp, sctp, icmpv6 } drop",
  "udp sport 547 drop",
  "icmpv6 type { nd-router-advert, nd-redirect, mld-listener-query } drop",
  `icmpv6 type nd-neighbor-advert iifname . ${target} != @own_target drop`,
  "meta l4proto 103 drop",
  "accept",
];

/** Our table of the bridge family, there only once somebody checks what comes from ports. */
export const bridgeTable: string = [
  "add table bridge ocinet",
  "add set bridge ocinet checked { type ifname; }",
  "add set bridge ocinet allowed { type ifname . ether_addr; }",
  "add set bridge ocinet guarded { type ifname; }",
  "add set bridge ocinet own_arp { type ifname . ether_addr . ipv4_addr; }",
  "add set bridge ocinet own4 { type ifname . ipv4_addr; }",
  "add set bridge ocinet own6 { type ifname . ipv6_addr; }",
  `add set bridge ocinet own_target { typeof meta iifname . ${target}; }`,
  ...chain("guard4", guard4),
  ...chain("guard6", guard6),
  ...chain("guard", guard),
  "add chain bridge ocinet prerouting { type filter hook prerouting priority -300; policy accept; }",
  "flush chain bridge ocinet prerouting",
  "add rule bridge ocinet prerouting iifname @guarded goto guard",
  "add rule bridge ocinet prerouting iifname @checked iifname . ether saddr != @allowed drop",
  "",
].join("\n");

function chain(name: string, rules: readonly string[]): readonly string[] {
  return [
    `add chain bridge ocinet ${name}`,
    `flush chain bridge ocinet ${name}`,
    ...rules.map((rule) => `add rule bridge ocinet ${name} ${rule}`),
  ];
}

/** Takes that table away with all that is in it. */
export const dropBridgeTable = "add table bridge ocinet\ndelete table bridge ocinet\n";

/** Frames from a bridge port pass only with one source address. */
export function allowOnlyMac(port: string, mac: string): readonly Line[] {
  return [
    element("bridge ocinet allowed", words`"${port}" . ${mac}`),
    element("bridge ocinet checked", words`"${port}"`),
  ];
}

/** A bridge port speaks for itself alone: with one MAC address, and these addresses, beside which IPv6 has its own. */
export function forbidSpoofing(
  port: string,
  mac: string,
  ips: readonly { readonly address: string }[],
): readonly Line[] {
  const own = ips.map(({ address }) => addressOf(address));
  const [four, six] = [4, 6].map((of) => own.filter((address) => family(address) === of)) as [
    string[],
    string[],
  ];
  const all6 = six.length > 0 ? [...six, linkLocalFrom(mac)] : [];
  const lines = [
    element("bridge ocinet allowed", words`"${port}" . ${mac}`),
    ...four.flatMap((ip) => [
      element("bridge ocinet own_arp", words`"${port}" . ${mac} . ${ip}`),
      element("bridge ocinet own4", words`"${port}" . ${ip}`),
    ]),
    ...all6.flatMap((ip) => [
      element("bridge ocinet own6", words`"${port}" . ${ip}`),
      element(
        "bridge ocinet own_target",
        words`"${port}" . ${`0x${toNumber(ip).toString(16).padStart(32, "0")}`}`,
      ),
    ]),
    element("bridge ocinet guarded", words`"${port}"`),
  ];
  return lines.map((line) => ({ ...line, before: true }));
}
