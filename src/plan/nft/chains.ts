/** The rules of our table, chain by chain. They name sets; what is in these is in endpoint.ts and ports.ts. */

/**
 * Marks packets that our forward chain has let pass, so that one rule can let them past a FORWARD policy of DROP.
 * A bit that neither Kubernetes (0x4000, 0x8000), the reference plugins (0x2000) nor netavark (0x1000, 0x2000) use.
 */
export const passMark = "0x10000000";

const families = [["4", "ip"], ["6", "ip6"]].map(([f, ip]) =>
  [f!, ip!, `iifname . ${ip} saddr`, `oifname . ${ip} daddr`] as const
);

/**
 * The same for both families: `f` is "4" or "6", `ip` is nft's word for the header; `from` and `to` are the keys of sets by
 * link and address.
 */
export function ofEach(
  make: (f: string, ip: string, from: string, to: string) => readonly string[],
): readonly string[] {
  return families.flatMap((family) => make(...family));
}

interface Chain {
  readonly hook?: string;
  readonly rules: readonly string[];
}

/** Which sources are believed, and what never comes by a wire: before any rule asks for an address. */
const sourceChains: Readonly<Record<string, Chain>> = {
  antispoof: {
    hook: "type filter hook prerouting priority mangle",
    rules: [
      'iifname "lo" accept',
      "iifname @links ip daddr 127.0.0.0/8 drop",
      "iifname @links goto from_container",
      // With route_localnet, which published ports need, the kernel would take it in (CVE-2020-8558).
      "iifname . iifname @bridges ip daddr 127.0.0.0/8 drop",
      "iifname @localnet ip daddr 127.0.0.0/8 drop",
      "ct state established,related accept",
      "ip6 saddr { ::, fe80::/10 } accept",
      "fib saddr oifname @routed drop",
    ],
  },
  // A veth, or a bridge of ours, is of containers alone. They may route for others whom the host has a route to by it.
  from_container: {
    rules: [
      ...ofEach((f, _ip, from) => [`${from} @members${f} accept`]),
      "ip saddr 0.0.0.0 accept",
      "ip6 saddr { ::, fe80::/10 } accept",
      "meta nfproto { ipv4, ipv6 } fib saddr . iif oif missing drop",
    ],
  },
  // On a bridge there may be others than containers, with any addresses; what it leads elsewhere has those of its subnets.
  from_bridge: {
    rules: ["ct state established,related return", "fib saddr . iif oif missing drop"],
  },
};

// What is sent to others than the host only passes through it, whatever address a port was published on.
const localOnly = ["fib daddr type != local return"];

/** A socket of the host's would take the packet. Not every kernel can tell. */
export const listens = "socket wildcard { 0, 1 }";

/** Where published ports lead. */
const portChains: Readonly<Record<string, Chain>> = {
  prerouting: {
    hook: "type nat hook prerouting priority dstnat",
    // What is sent to 127.0.0.0/8 from elsewhere is no concern of a port on it; the kernel drops it (moby#41872).
    rules: [
      'iifname != "lo" ip daddr 127.0.0.0/8 return',
      ...localOnly,
      "jump ports_on_one",
      // No process holds a port: a program of the host's that has begun to listen on it since gets what it waits for.
      ...ofEach((f) => [`meta nfproto ipv${f} meta l4proto . th dport != @held${f} ${listens} return`]),
      "jump ports_on_all",
    ],
  },
  output: {
    hook: "type nat hook output priority -100",
    rules: [...localOnly, "jump ports_on_one", "jump ports_on_all"],
  },
  ports_on_one: {
    rules: [
      ...ofEach((f, ip) => [
        `meta nfproto ipv${f} ${ip} daddr . meta l4proto . th dport vmap @whenhostports${f}`,
        `meta nfproto ipv${f} dnat ${ip} to ${ip} daddr . meta l4proto . th dport map @hostports${f}`,
      ]),
    ],
  },
  ports_on_all: {
    rules: [
      // Programs have addresses there for themselves, such as resolvers on 127.0.0.53.
      "ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return",
      ...["", "_ranges"].map((set) => `ip6 daddr ::1 meta l4proto . th dport @no_loopback${set}6 return`),
      ...ofEach((f, ip) => [
        `meta nfproto ipv${f} meta l4proto . th dport vmap @whenports${f}`,
        ...["ports", "ranges"].map((map) =>
          `meta nfproto ipv${f} dnat ${ip} to meta l4proto . th dport map @${map}${f}`
        ),
      ]),
    ],
  },
};

const masqueradeChains: Readonly<Record<string, Chain>> = {
  published: {
    rules: [
      ...ofEach((f, ip, _from, to) => [
        `${to} @unmasked${f} return`,
        `${to} @masked${f} masquerade`,
        // A container that reaches itself or a neighbour by the host's address has to be answered through the host. What
        // br_netfilter shows has no iifname here; on a bridge the other link is the same one.
        ...["iifname", "oifname"].map((link) =>
          `${link} . ${ip} saddr . ${ip} daddr @subnets${f} masquerade`
        ),
      ]),
      "ip saddr 127.0.0.0/8 masquerade",
      "ip6 saddr ::1 masquerade",
    ],
  },
  postrouting: {
    hook: "type nat hook postrouting priority srcnat",
    rules: [
      "ct status dnat jump published",
      ...ofEach((f, ip, from) => [`${from} . ${ip} daddr @subnets${f} return`]),
      "ip daddr 224.0.0.0/4 return",
      "ip6 daddr ff00::/8 return",
      ...ofEach((f, _ip, from) => [`${from} @masquerade${f} masquerade`]),
    ],
  },
};

/**
 * What conntrack calls invalid is not translated: it would leave the host with a container's own address, and what comes
 * for a container that is masqueraded, such as a segment outside of the window, is for the host itself, which would reset
 * the container's connection (libnetwork#1090).
 */
const invalidChains: Readonly<Record<string, Chain>> = {
  input: {
    // Before others', which may drop it, as does a policy of DROP.
    hook: "type filter hook input priority filter - 1",
    rules: [
      "ct state invalid jump invalid",
      // Names of a network are told to whom the address is a neighbour's.
      ...ofEach((f, ip) => [
        `meta l4proto { tcp, udp } th dport 53 ${ip} daddr @resolvers${f} fib daddr . iif type != local drop`,
        `meta l4proto { tcp, udp } th dport 53 ${ip} daddr @resolvers${f} meta mark set meta mark | ${passMark}`,
      ]),
      // Not in prerouting, which bridged frames pass with br_netfilter: on layer 2 any address may be used.
      "iifname @own_bridges goto from_container",
    ],
  },
  invalid: {
    rules: [
      "iifname @links drop",
      ...["members", "passed"].flatMap((set) =>
        ofEach((f, _ip, from, to) => [
          `${from} @${set}${f} drop`,
          `${to} @${set}${f} drop`,
        ])
      ),
    ],
  },
  // conntrack knows the flow of a reset that answers anything it has let in.
  no_reset: {
    hook: "type filter hook output priority filter",
    rules: ["ct state invalid tcp flags & rst == rst drop"],
  },
};

const forwardChains: Readonly<Record<string, Chain>> = {
  pass: { rules: [`meta mark set meta mark | ${passMark} accept`] },
  // Neighbours on one bridge, whom br_netfilter shows; and what is led back into the bridge that it came by.
  bridged: {
    rules: [
      ...ofEach((f, ip) => [`iifname . ${ip} daddr @isolated${f} ct status ! dnat drop`]),
      ...ofEach((f, _ip, from, to) => [
        `${from} @members${f} goto pass`,
        `${to} @members${f} goto pass`,
      ]),
      "accept",
    ],
  },
  // An internal network's containers reach each other and the host, and answer those who come by a published port.
  from_internal: {
    rules: [
      "ct state established,related return",
      ...ofEach((f, ip, from) => [`${from} . ${ip} daddr @subnets${f} return`]),
      "drop",
    ],
  },
  contained: {
    rules: [
      "ct state established,related goto pass",
      "ct status dnat goto pass",
      ...ofEach((f, ip, from, to) => [
        `${from} . ${ip} daddr @subnets${f} goto pass`,
        `${to} @open${f} goto pass`,
        `${to} . meta l4proto . th dport @opened${f} goto pass`,
      ]),
      "drop",
    ],
  },
  apart: {
    rules: [
      // What the world reaches by the host's address, a neighbour does, too.
      "ct status dnat return",
      // Answers to a container that has reached an opened port.
      "ct direction reply return",
      ...ofEach((f, ip, from, to) => [
        `iifname . ${ip} daddr @isolated${f} drop`,
        `iifname . ${ip} daddr @apart${f} return`,
        `${to} @apart${f} ${from} @apart${f} drop`,
        `${to} @apart${f} ${from} @contained${f} drop`,
        // A container may lie about its address; the world behind a bridge of the host's does not.
        `${to} @apart${f} meta iifkind "bridge" fib saddr . iif oif missing drop`,
      ]),
    ],
  },
  // Before iptables' FORWARD, which is at "filter", so that the mark is there when its rule looks.
  forward: {
    hook: "type filter hook forward priority filter - 1",
    rules: [
      "iifname . oifname @bridges goto bridged",
      "iifname . iifname @bridges jump from_bridge",
      "ct state invalid jump invalid",
      "iifname @internal jump from_internal",
      "jump apart",
      ...ofEach((f, _ip, from, to) => [
        `${to} @contained${f} goto contained`,
        `${from} @contained${f} goto pass`,
        `${from} @passed${f} goto pass`,
        `${to} @passed${f} ct state established,related goto pass`,
        `${to} @passed${f} ct status dnat goto pass`,
      ]),
      ...ofEach((f) => [`meta nfproto ipv${f} iifname . iifname @unforwarded${f} goto unforwarded${f}`]),
    ],
  },
};

/**
 * Forwarding is one switch for the whole host: where it was off before we needed it, the links that were there then go on
 * forwarding nothing to each other (moby#50566).
 */
const unforwardedChains: Readonly<Record<string, Chain>> = Object.fromEntries(
  families.map(([f, , from, to]) => [`unforwarded${f}`, {
    rules: [
      ...["members", "passed"].flatMap((set) => [
        `${from} @${set}${f} return`,
        `${to} @${set}${f} return`,
      ]),
      // What a bridge carries is not forwarded, though br_netfilter shows it.
      `meta iifkind "bridge" iifname . oifname @unforwarded${f} return`,
      `oifname . oifname @unforwarded${f} drop`,
    ],
  }]),
);

/** All of them. */
export const chains: Readonly<Record<string, Chain>> = {
  ...{
    ...sourceChains,
    ...portChains,
    ...masqueradeChains,
    ...invalidChains,
    ...unforwardedChains,
    ...forwardChains,
  },
};
