import { addressOf, family, networkOf } from "../net/address.ts";
import type { ElementResource } from "./resource.ts";
import { type Line, line, type Step, words } from "./step.ts";

/**
 * Marks packets that our forward chain has let pass, so that one rule can let them past a FORWARD policy of DROP.
 * A bit that neither Kubernetes (0x4000, 0x8000), the reference plugins (0x2000) nor netavark (0x1000, 0x2000) use.
 */
export const passMark = "0x10000000";

const sets = ["4", "6"].flatMap((f) => [
  `add set inet ocinet contained${f} { type ipv${f}_addr; }`,
  `add set inet ocinet masquerade${f} { type ipv${f}_addr; }`,
  `add set inet ocinet own${f} { type ipv${f}_addr . ipv${f}_addr; flags interval; }`,
  `add set inet ocinet open${f} { type ipv${f}_addr; }`,
  `add set inet ocinet passed${f} { type ipv${f}_addr; }`,
  `add set inet ocinet apart${f} { type ipv${f}_addr . ifname; }`,
  `add set inet ocinet isolated${f} { type ipv${f}_addr . ifname; }`,
  `add set inet ocinet unmasked${f} { type ipv${f}_addr; }`,
  `add set inet ocinet masked${f} { type ipv${f}_addr; }`,
  `add map inet ocinet ports${f} { type inet_proto . inet_service : ipv${f}_addr . inet_service; }`,
  `add map inet ocinet hostports${f} { type ipv${f}_addr . inet_proto . inet_service : ipv${f}_addr . inet_service; }`,
  `add map inet ocinet whenports${f} { type inet_proto . inet_service : verdict; }`,
  `add map inet ocinet whenhostports${f} { type ipv${f}_addr . inet_proto . inet_service : verdict; }`,
]);

// What is sent to others than the host only passes through it, whatever address a port was published on.
const dnat = [
  "fib daddr type != local return",
  "meta nfproto ipv4 meta l4proto . th dport vmap @whenports4",
  "meta nfproto ipv6 meta l4proto . th dport vmap @whenports6",
  "meta nfproto ipv4 ip daddr . meta l4proto . th dport vmap @whenhostports4",
  "meta nfproto ipv6 ip6 daddr . meta l4proto . th dport vmap @whenhostports6",
  "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4",
  "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6",
  "meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @hostports4",
  "meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostports6",
];

const chains: Readonly<Record<string, { hook?: string; rules: readonly string[] }>> = {
  prerouting: { hook: "type nat hook prerouting priority dstnat", rules: dnat },
  output: { hook: "type nat hook output priority -100", rules: dnat },
  published: {
    rules: [
      "ip daddr @unmasked4 return",
      "ip6 daddr @unmasked6 return",
      "ip daddr @masked4 masquerade",
      "ip6 daddr @masked6 masquerade",
      // A container that reaches itself or a neighbour by the host's address has to be answered through the host.
      "ip saddr . ip daddr @own4 masquerade",
      "ip6 saddr . ip6 daddr @own6 masquerade",
      "ip saddr 127.0.0.0/8 masquerade",
      "ip6 saddr ::1 masquerade",
    ],
  },
  postrouting: {
    hook: "type nat hook postrouting priority srcnat",
    rules: [
      "ct status dnat jump published",
      "ip saddr . ip daddr @own4 return",
      "ip6 saddr . ip6 daddr @own6 return",
      "ip daddr 224.0.0.0/4 return",
      "ip6 daddr ff00::/8 return",
      "ip saddr @masquerade4 masquerade",
      "ip6 saddr @masquerade6 masquerade",
    ],
  },
  // Ports need route_localnet on the container's link, by which it could send to the host's own 127.0.0.1 (CVE-2020-8558).
  input: {
    hook: "type filter hook input priority filter",
    rules: ['iifname != "lo" ip daddr 127.0.0.0/8 ct state != { established, related } drop'],
  },
  pass: { rules: [`meta mark set meta mark | ${passMark} accept`] },
  contained: {
    rules: [
      "ct state established,related goto pass",
      "ct status dnat goto pass",
      "ip saddr . ip daddr @own4 goto pass",
      "ip6 saddr . ip6 daddr @own6 goto pass",
      "ip daddr @open4 accept",
      "ip6 daddr @open6 accept",
      "drop",
    ],
  },
  // What came by the bridge that its destination is on came from a neighbour, whatever address it gives.
  apart: {
    rules: ["4", "6"].flatMap((f) => {
      const ip = f === "4" ? "ip" : "ip6";
      return [
        `${ip} daddr . iifname @isolated${f} drop`,
        `${ip} daddr . iifname @apart${f} return`,
        `${ip} daddr . oifname @apart${f} ${ip} saddr . iifname @apart${f} drop`,
        `${ip} daddr . oifname @apart${f} ${ip} saddr @contained${f} drop`,
        // A container may lie about its address; the world behind a bridge of the host's does not.
        `${ip} daddr . oifname @apart${f} meta iifkind "bridge" fib saddr . iif oif missing drop`,
      ];
    }),
  },
  // Before iptables' FORWARD, which is at "filter", so that the mark is there when its rule looks.
  forward: {
    hook: "type filter hook forward priority filter - 1",
    rules: [
      "jump apart",
      "ip daddr @contained4 goto contained",
      "ip6 daddr @contained6 goto contained",
      "ip saddr @contained4 goto pass",
      "ip6 saddr @contained6 goto pass",
      "ip saddr @passed4 goto pass",
      "ip6 saddr @passed6 goto pass",
      "ip daddr @passed4 ct state established,related goto pass",
      "ip6 daddr @passed6 ct state established,related goto pass",
      "ip daddr @passed4 ct status dnat goto pass",
      "ip6 daddr @passed6 ct status dnat goto pass",
    ],
  },
};

/**
 * Our one table: static chains, and sets and maps with one element per container or port, so that neither the cost of
 * an attachment nor that of a packet grows with their number. Loading it again changes nothing.
 */
export const baseTable: string = [
  "add table inet ocinet",
  ...sets,
  ...Object.entries(chains).flatMap(([name, { hook, rules }]) => [
    `add chain inet ocinet ${name}${hook ? ` { ${hook}; policy accept; }` : ""}`,
    `flush chain inet ocinet ${name}`,
    ...rules.map((rule) => `add rule inet ocinet ${name} ${rule}`),
  ]),
  "",
].join("\n");

/** Takes our table away with all that is in it. */
export const dropTable = "add table inet ocinet\ndelete table inet ocinet\n";

/** Addresses of the container go out by the host's own, except to their own subnet. */
export function masquerade(ips: readonly { readonly address: string }[]): readonly Line[] {
  return ips.flatMap(({ address }) => members("masquerade", address));
}

/** Only the container's own subnet, and what is published, reaches the container. */
export function contain(ips: readonly { readonly address: string }[]): readonly Line[] {
  return ips.flatMap(({ address }) => members("contained", address));
}

function members(set: string, address: string): readonly Line[] {
  const ip = addressOf(address);
  return [
    element(`inet ocinet own${family(ip)}`, words`${ip} . ${networkOf(address)}`),
    member(set, address),
  ];
}

/** What the addresses send, answers to it, and what is published on them, passes a FORWARD policy of DROP. */
export function letPass(ips: readonly { readonly address: string }[]): readonly Line[] {
  return ips.flatMap(({ address }) => member("passed", address));
}

/** The world outside reaches the addresses even where they are contained. */
export function open(ips: readonly { readonly address: string }[]): readonly Line[] {
  return ips.flatMap(({ address }) => member("open", address));
}

/** Containers on other bridges that are kept apart do not reach the addresses; nor do, if isolated, those on the same. */
export function keepApart(
  ips: readonly { readonly address: string }[],
  bridge: string,
  isolated: boolean,
): readonly Line[] {
  return ips.flatMap(({ address }) => {
    const [ip, sets] = [addressOf(address), isolated ? ["apart", "isolated"] : ["apart"]];
    return sets.map((set) => element(`inet ocinet ${set}${family(ip)}`, words`${ip} . "${bridge}"`));
  });
}

/** Whoever comes by a published port is seen as the host: always, or not even where the way back needs it. */
export function masqueradeInbound(address: string, always: boolean): Line {
  return member(always ? "masked" : "unmasked", address);
}

function member(set: string, address: string): Line {
  const ip = addressOf(address);
  return element(`inet ocinet ${set}${family(ip)}`, words`${ip}`);
}

/** A published port. */
export interface PublishedPort {
  readonly protocol: string;
  readonly hostIp?: string;
  readonly hostPort: number;
  /** The container's address, of the family of `hostIp` if there is one. */
  readonly address: string;
  readonly port: number;
}

/** The host's port leads to the container's. Fails with "File exists" when the port leads elsewhere already. */
export function publish(port: PublishedPort): Line {
  const { set, key } = placeOf(port);
  return element(`inet ocinet ${set}`, key, words`${port.address} . ${port.port}`);
}

/** Where a port stands: the map for its family, and its key there. */
function placeOf({ protocol, hostIp, hostPort, address }: PublishedPort): { set: string; key: string } {
  const own = words`${protocol} . ${hostPort}`;
  return hostIp === undefined
    ? { set: `ports${family(address)}`, key: own }
    : { set: `hostports${family(address)}`, key: `${words`${hostIp}`} . ${own}` };
}

/**
 * The same only for packets that meet a condition in nft's words: the port leads to a chain of its own with one rule. A
 * packet that does not meet it goes on, maybe to another container.
 * @param link the name of the container's link on the host, by which the chain is found again
 */
export function publishWhen(port: PublishedPort, condition: string, link: string): readonly Line[] {
  const { protocol, hostIp, hostPort, address } = port;
  const [{ set, key }, f] = [placeOf(port), family(address)];
  const place = hostIp === undefined ? [] : [hostIp.replaceAll(":", ".")];
  const name = words`${[link, protocol, hostPort, f, ...place].join("_")}`;
  const chain = `inet ocinet ${name}`;
  const way = f === 4 ? words`dnat ip to ${address}:` : `dnat ip6 to [${words`${address}`}]:`;
  const rule = `meta nfproto ipv${f} ${protocol} dport ${hostPort} ${condition} ${way}${port.port}`;
  const lead = element(`inet ocinet when${set}`, key, `jump ${name}`);
  return [
    line(
      ...["nft", "host", { kind: "chain", table: "inet ocinet", chain: name }] as const,
      `add chain ${chain}; flush chain ${chain}; add rule ${chain} ${rule}`,
      { undo: `add chain ${chain}\ndelete chain ${chain}` },
    ),
    { ...lead, undo: `add chain ${chain}\n${lead.undo}` },
  ];
}

/**
 * An element of a set or map, which is named by the table's family, the table and its own name. nft 1.0.6 has no
 * `destroy`: adding and deleting in one transaction takes the element away whether or not it is there.
 */
export function element(set: string, key: string, value?: string): Line {
  const whole = `${set} { ${key}${value === undefined ? "" : ` : ${value}`} }`;
  const id = { kind: "element", set, key, ...(value === undefined ? {} : { value }) } as const;
  return line("nft", "host", id, `add element ${whole}`, {
    undo: `add element ${whole}\ndelete element ${whole}`,
  });
}

/** The elements that steps add. */
export function elementsIn(steps: readonly Step[]): readonly ElementResource[] {
  return steps.flatMap(({ tool, id }) => tool === "nft" && id.kind === "element" ? [id] : []);
}

/** The table that a step of nft is in, e.g. "inet ocinet". */
export function tableOf({ id }: Step): string | undefined {
  if (id.kind === "element") return id.set.slice(0, id.set.lastIndexOf(" "));
  return id.kind === "chain" || id.kind === "table" ? id.table : undefined;
}

/** Commands that show in an empty namespace whether the kernel can do what our table does. */
export const tryRules: readonly string[] = [
  "nft add table inet try0",
  "nft add chain inet try0 try0 { type nat hook postrouting priority 100 ; }",
  "nft add rule inet try0 try0 ct status dnat masquerade",
];
