import { addressOf, family, toNumber } from "../../net/address.ts";
import { linkLocalFrom } from "../../net/names.ts";
import { element } from "./element.ts";
import { type Line, words } from "../step.ts";

/** The target address of an IPv6 neighbour advertisement (RFC 4861, 4.4). nft has no name for this field. */
const target = "@th,64,128";

/**
 * Rules for a bridge port of an untrusted user. They accept ARP, IPv4 and IPv6 from the port's own addresses. They drop
 * frames that impersonate another host, a router or a DHCP server. The protocol is read from the frame itself, which
 * drops frames with a VLAN tag. Duplicate address detection and DHCP requests have no source address and are dropped
 * too: we choose the addresses.
 */
const guard = [
  "iifname . ether saddr != @allowed drop",
  "@ll,96,16 0x0806 iifname . arp saddr ether . arp saddr ip @own_arp accept",
  "@ll,96,16 0x0800 iifname . ip saddr @own4 jump guard4",
  "@ll,96,16 0x86dd iifname . ip6 saddr @own6 jump guard6",
  "drop",
];

// TCP is most of what passes, and none of what is dropped below.
const guard4 = [
  "meta l4proto 6 accept",
  "udp sport 67 drop",
  "icmp type { redirect, router-advertisement } drop",
  // A host that queries for groups is taken for a multicast router and gets the groups' traffic.
  "igmp type membership-query drop",
  "meta l4proto 103 drop",
  "accept",
];

const guard6 = [
  // With other headers in front, the first fragment may not contain the header that is checked.
  "frag nexthdr != { tcp, udp, sctp, icmpv6 } drop",
  "meta l4proto 6 accept",
  "udp sport 547 drop",
  "icmpv6 type { nd-router-advert, nd-redirect, mld-listener-query } drop",
  `icmpv6 type nd-neighbor-advert iifname . ${target} != @own_target drop`,
  "meta l4proto 103 drop",
  "accept",
];

/** Our table of the bridge family. It exists only while some port is checked. */
export function bridgeTable(): string {
  return [
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
}

function chain(name: string, rules: readonly string[]): readonly string[] {
  return [
    `add chain bridge ocinet ${name}`,
    `flush chain bridge ocinet ${name}`,
    ...rules.map((rule) => `add rule bridge ocinet ${name} ${rule}`),
  ];
}

/** Removes that table with all its contents. */
export const dropBridgeTable = "add table bridge ocinet\ndelete table bridge ocinet\n";

/** Lets frames from a bridge port pass only with one source MAC address. */
export function allowOnlyMac(port: string, mac: string): readonly Line[] {
  return [
    element("bridge ocinet allowed", words`"${port}" . ${mac}`),
    element("bridge ocinet checked", words`"${port}"`),
  ];
}

/** Lets a bridge port send only from one MAC address and these IP addresses. For IPv6 the link-local one is added. */
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
