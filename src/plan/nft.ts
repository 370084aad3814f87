import { addressOf, family, networkOf } from "../net/address.ts";
import type { ListedElement } from "./nft_listing.ts";
import type { ElementResource } from "./resource.ts";
import { type Line, line, show, type Step, words } from "./step.ts";

/**
 * Marks packets that our forward chain has let pass, so that one rule can let them past a FORWARD policy of DROP.
 * A bit that neither Kubernetes (0x4000, 0x8000), the reference plugins (0x2000) nor netavark (0x1000, 0x2000) use.
 */
export const passMark = "0x10000000";

const families = [["4", "ip"], ["6", "ip6"]] as const;

/** The same for both families: `f` is "4" or "6", `ip` is nft's word for the header. */
function ofEach(make: (f: string, ip: string) => readonly string[]): readonly string[] {
  return families.flatMap(([f, ip]) => make(f, ip));
}

/**
 * Two networks may have one subnet, so an address says which container is meant only together with the link that the host
 * reaches it through: a ptp's veth, or a bridge.
 */
const sets = ofEach((f) => [
  ...["members", "contained", "masquerade", "open", "passed", "apart", "isolated", "unmasked", "masked"].map(
    (set) => `add set inet ocinet ${set}${f} { type ifname . ipv${f}_addr; }`,
  ),
  `add set inet ocinet opened${f} { type ifname . ipv${f}_addr . inet_proto . inet_service; }`,
  `add set inet ocinet subnets${f} { type ifname . ipv${f}_addr . ipv${f}_addr; flags interval; }`,
  `add set inet ocinet resolvers${f} { type ipv${f}_addr; }`,
  `add set inet ocinet held${f} { type inet_proto . inet_service; }`,
  `add map inet ocinet ports${f} { type inet_proto . inet_service : ipv${f}_addr . inet_service; }`,
  `add map inet ocinet hostports${f} { type ipv${f}_addr . inet_proto . inet_service : ipv${f}_addr . inet_service; }`,
  `add map inet ocinet whenports${f} { type inet_proto . inet_service : verdict; }`,
  `add map inet ocinet whenhostports${f} { type ipv${f}_addr . inet_proto . inet_service : verdict; }`,
]);

const links = [
  "links { type ifname; }",
  // The same names, as `fib` has them: nft knows these two types apart.
  "routed { typeof fib saddr oifname; }",
  "internal { type ifname; }",
  "no_loopback6 { type inet_proto . inet_service; }",
  "localnet { type ifname; }",
  // Twice the same name: nft cannot compare iifname with oifname, but it finds such a pair.
  "bridges { type ifname . ifname; }",
  "unforwarded4 { type ifname . ifname; }",
  "unforwarded6 { type ifname . ifname; }",
].map((set) => `add set inet ocinet ${set}`);

/** Sets of what containers share: their elements stay until the table goes, and serve no container by themselves. */
export const sharedSets: readonly string[] = [
  "bridges",
  "internal",
  "localnet",
  "unforwarded4",
  "unforwarded6",
  "resolvers4",
  "resolvers6",
];

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
      "iifname @links goto from_container",
      // With route_localnet, which published ports need, the kernel would take it in (CVE-2020-8558).
      "iifname . iifname @bridges ip daddr 127.0.0.0/8 drop",
      "iifname @localnet ip daddr 127.0.0.0/8 drop",
      "ct state established,related accept",
      "ip6 saddr { ::, fe80::/10 } accept",
      "fib saddr oifname @routed drop",
    ],
  },
  // A veth is one container's alone. It may route for others whom the host has a route to by it.
  from_container: {
    rules: [
      "ip daddr 127.0.0.0/8 drop",
      ...ofEach((f, ip) => [`iifname . ${ip} saddr @members${f} accept`]),
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
const listens = "socket wildcard { 0, 1 }";

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
      "ip6 daddr ::1 meta l4proto . th dport @no_loopback6 return",
      ...ofEach((f, ip) => [
        `meta nfproto ipv${f} meta l4proto . th dport vmap @whenports${f}`,
        `meta nfproto ipv${f} dnat ${ip} to meta l4proto . th dport map @ports${f}`,
      ]),
    ],
  },
};

const masqueradeChains: Readonly<Record<string, Chain>> = {
  published: {
    rules: [
      ...ofEach((f, ip) => [
        `oifname . ${ip} daddr @unmasked${f} return`,
        `oifname . ${ip} daddr @masked${f} masquerade`,
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
      ...ofEach((f, ip) => [`iifname . ${ip} saddr . ${ip} daddr @subnets${f} return`]),
      "ip daddr 224.0.0.0/4 return",
      "ip6 daddr ff00::/8 return",
      ...ofEach((f, ip) => [`iifname . ${ip} saddr @masquerade${f} masquerade`]),
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
    hook: "type filter hook input priority filter",
    rules: [
      "ct state invalid jump invalid",
      // Names of a network are told to whom the address is a neighbour's.
      ...ofEach((f, ip) => [
        `meta l4proto { tcp, udp } th dport 53 ${ip} daddr @resolvers${f} fib daddr . iif type != local drop`,
      ]),
    ],
  },
  invalid: {
    rules: [
      "iifname @links drop",
      ...["members", "passed"].flatMap((set) =>
        ofEach((f, ip) => [
          `iifname . ${ip} saddr @${set}${f} drop`,
          `oifname . ${ip} daddr @${set}${f} drop`,
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
      ...ofEach((f, ip) => [
        `iifname . ${ip} saddr @members${f} goto pass`,
        `oifname . ${ip} daddr @members${f} goto pass`,
      ]),
      "accept",
    ],
  },
  // An internal network's containers reach each other and the host, and answer those who come by a published port.
  from_internal: {
    rules: [
      "ct state established,related return",
      ...ofEach((f, ip) => [`iifname . ${ip} saddr . ${ip} daddr @subnets${f} return`]),
      "drop",
    ],
  },
  contained: {
    rules: [
      "ct state established,related goto pass",
      "ct status dnat goto pass",
      ...ofEach((f, ip) => [
        `iifname . ${ip} saddr . ${ip} daddr @subnets${f} goto pass`,
        `oifname . ${ip} daddr @open${f} goto pass`,
        `oifname . ${ip} daddr . meta l4proto . th dport @opened${f} goto pass`,
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
      ...ofEach((f, ip) => [
        `iifname . ${ip} daddr @isolated${f} drop`,
        `iifname . ${ip} daddr @apart${f} return`,
        `oifname . ${ip} daddr @apart${f} iifname . ${ip} saddr @apart${f} drop`,
        `oifname . ${ip} daddr @apart${f} iifname . ${ip} saddr @contained${f} drop`,
        // A container may lie about its address; the world behind a bridge of the host's does not.
        `oifname . ${ip} daddr @apart${f} meta iifkind "bridge" fib saddr . iif oif missing drop`,
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
      ...ofEach((f, ip) => [
        `oifname . ${ip} daddr @contained${f} goto contained`,
        `iifname . ${ip} saddr @contained${f} goto pass`,
        `iifname . ${ip} saddr @passed${f} goto pass`,
        `oifname . ${ip} daddr @passed${f} ct state established,related goto pass`,
        `oifname . ${ip} daddr @passed${f} ct status dnat goto pass`,
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
  families.map(([f, ip]) => [`unforwarded${f}`, {
    rules: [
      ...["members", "passed"].flatMap((set) => [
        `iifname . ${ip} saddr @${set}${f} return`,
        `oifname . ${ip} daddr @${set}${f} return`,
      ]),
      // What a bridge carries is not forwarded, though br_netfilter shows it.
      `meta iifkind "bridge" iifname . oifname @unforwarded${f} return`,
      `oifname . oifname @unforwarded${f} drop`,
    ],
  }]),
);

const chains: Readonly<Record<string, Chain>> = {
  ...{
    ...sourceChains,
    ...portChains,
    ...masqueradeChains,
    ...invalidChains,
    ...unforwardedChains,
    ...forwardChains,
  },
};

/**
 * Our one table: static chains, and sets and maps with one element per container or port, so that neither the cost of
 * an attachment nor that of a packet grows with their number. Loading it again changes nothing.
 */
export const baseTable: string = [
  "add table inet ocinet",
  ...sets,
  ...links,
  // All of them first: a rule may lead to any.
  ...Object.entries(chains).flatMap(([name, { hook }]) => [
    `add chain inet ocinet ${name}${hook ? ` { ${hook}; policy accept; }` : ""}`,
    `flush chain inet ocinet ${name}`,
  ]),
  ...Object.entries(chains).flatMap(([name, { rules }]) =>
    rules.map((rule) => `add rule inet ocinet ${name} ${rule}`)
  ),
  "",
].join("\n");

/** The same for a kernel that cannot tell whether a program listens. */
export const baseTableWithoutSockets: string = baseTable.split("\n").filter((line) => !line.includes(listens))
  .join("\n");

/** Takes our table away with all that is in it. */
export const dropTable = "add table inet ocinet\ndelete table inet ocinet\n";

/** One of a container's interfaces as the host sees it: what its elements are known by. */
export interface Endpoint {
  /** The host's link that the container is reached through: the veth, or the bridge that this is a port of. */
  readonly link: string;
  /** The container's id and its link on the host; it stands beside elements of which there can be but one. */
  readonly owner: string;
}

/** Addresses with their prefix lengths. */
export type Addresses = readonly { readonly address: string }[];

/**
 * The addresses are the container's, and the others of their subnets its neighbours. Fails with "File exists" where
 * another container on the link has one of them.
 */
export function join(at: Endpoint, ips: Addresses): readonly Line[] {
  return [...believe(at, ips), ...neighbour(at, ips)];
}

/** The link is the container's own: what comes by it has its addresses, and these come by no other. */
export function guardVeth({ link }: Endpoint): readonly Line[] {
  return ["links", "routed"].map((set) => element(`inet ocinet ${set}`, words`"${link}"`));
}

/** Bridges, or links of the host's in their VLANs, that containers are on: what they lead elsewhere has their addresses. */
export function guardBridges(...links: readonly string[]): readonly Line[] {
  return links.map((link) => shared(element("inet ocinet bridges", words`"${link}" . "${link}"`)));
}

/** Nothing for 127.0.0.0/8 comes by a link that has route_localnet. @param own it goes with the container */
export function guardLocalnet(link: string, own: boolean): Line {
  const guard = element("inet ocinet localnet", words`"${link}"`);
  return own ? guard : shared(guard);
}

/** The links go on forwarding nothing of the family to each other once forwarding is on. */
export function keepUnforwarded(version: 4 | 6, links: readonly string[]): Line {
  const key = links.map((link) => words`"${link}" . "${link}"`).join(", ");
  return { ...shared(element(`inet ocinet unforwarded${version}`, key)), before: true };
}

/** Goes with the table: others may need it by then. */
function shared({ undo: _, ...guard }: Line): Line {
  return { ...guard, undoBy: "gc" };
}

/** A container that is not on the link with the address asks no resolver there. */
export function guardResolver(address: string): Line {
  return shared(element(`inet ocinet resolvers${family(address)}`, words`${address}`));
}

/** What the container begins goes to its neighbours and the host, and nowhere else. */
export function keepInternal({ link }: Endpoint): Line {
  return element("inet ocinet internal", words`"${link}"`);
}

/** The same of all containers on a bridge. */
export function keepBridgeInternal(at: Endpoint): Line {
  return shared(keepInternal(at));
}

/** The addresses are believed on the link. */
export function believe({ link, owner }: Endpoint, ips: Addresses): readonly Line[] {
  return ips.map(({ address }) => element(setOf("members", address), memberKey(link, address), { owner }));
}

/** The others of the addresses' subnets are the container's neighbours. */
export function neighbour({ link }: Endpoint, ips: Addresses): readonly Line[] {
  return ips.map(({ address }) =>
    element(setOf("subnets", address), words`"${link}" . ${addressOf(address)} . ${networkOf(address)}`)
  );
}

/** Addresses of the container go out by the host's own, except to their own subnet. */
export function masquerade(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("masquerade", at, ips);
}

/** Only the container's own subnet, and what is published, reaches the container. */
export function contain(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("contained", at, ips);
}

/** What the addresses send, answers to it, and what is published on them, passes a FORWARD policy of DROP. */
export function letPass(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("passed", at, ips);
}

/** The world outside reaches the addresses even where they are contained. */
export function open(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("open", at, ips);
}

/** The world outside, and containers of other networks, reach this port of the container's by its own address. */
export function openPort(
  { link }: Endpoint,
  { address, protocol, port }: Pick<PublishedPort, "address" | "protocol" | "port">,
): Line {
  const key = `${memberKey(link, address)} . ${words`${protocol} . ${port}`}`;
  return element(setOf("opened", address), key);
}

/** Containers on other bridges that are kept apart do not reach the addresses; nor do, if isolated, those on the same. */
export function keepApart(at: Endpoint, ips: Addresses, isolated: boolean): readonly Line[] {
  return [...marked("apart", at, ips), ...(isolated ? marked("isolated", at, ips) : [])];
}

/** Clients of a published port are seen as the host: always, or not even where the way back needs it. */
export function masqueradeInbound(at: Endpoint, address: string, always: boolean): Line {
  return element(setOf(always ? "masked" : "unmasked", address), memberKey(at.link, address));
}

function marked(set: string, { link }: Endpoint, ips: Addresses): readonly Line[] {
  return ips.map(({ address }) => element(setOf(set, address), memberKey(link, address)));
}

function setOf(set: string, address: string): string {
  return `inet ocinet ${set}${family(address)}`;
}

function memberKey(link: string, address: string): string {
  return words`"${link}" . ${addressOf(address)}`;
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

/**
 * The host's port leads to the container's. Fails with "File exists" when the port leads anywhere already: on its address,
 * or on all of them. That one on all addresses leads elsewhere on one, `takenOnOne` tells.
 * @param beside the container has the port on all addresses itself
 */
export function forwardPort(owner: string, port: PublishedPort, beside = false): Line {
  const { set, key } = placeOf(port);
  const value = words`${port.address} . ${port.port}`;
  const made = element(`inet ocinet ${set}`, key, { owner, value });
  const all = portOnAll({ set: `inet ocinet ${set}`, key });
  if (all === undefined || beside) return made;
  const probe = `${all.set} { ${all.key} : ${value} }`;
  return { ...made, run: `create element ${probe}; delete element ${probe}; ${made.run}` };
}

/** The port is the container's, whichever program listens on it: the caller of a CNI plugin may do so only to hold it. */
export function holdPort({ protocol, hostPort, address }: PublishedPort): Line {
  return element(`inet ocinet held${family(address)}`, words`${protocol} . ${hostPort}`);
}

/** The port does not lead from [::1], which is then refused at once. */
export function sparePort6({ protocol, hostPort }: PublishedPort): Line {
  return element("inet ocinet no_loopback6", words`${protocol} . ${hostPort}`);
}

/** The element of the same port on all addresses, for that of one on one address. */
export function portOnAll(
  { set, key }: Pick<ElementResource, "set" | "key">,
): { readonly set: string; readonly key: string } | undefined {
  const [table, name] = [set.slice(0, set.lastIndexOf(" ")), set.slice(set.lastIndexOf(" ") + 1)];
  if (!name.startsWith("hostports")) return undefined;
  return { set: `${table} ${name.replace("host", "")}`, key: key.split(" . ").slice(1).join(" . ") };
}

/** The maps of ports on one address that have to be looked at when steps publish ports on all. */
export function mapsOfOne(steps: readonly Step[]): readonly string[] {
  return [...new Set(steps.flatMap((step) => onAll(step)?.map ?? []))];
}

function onAll(
  step: Step,
): { readonly map: string; readonly key: string; readonly id: string } | undefined {
  const [element] = elementsIn([step]);
  const family = /^inet ocinet ports([46])$/.exec(element?.set ?? "")?.[1];
  if (element === undefined || family === undefined || step.tool !== "nft") return undefined;
  return { map: `inet ocinet hostports${family}`, key: element.key, id: ownerIn(step) };
}

/** The first of the steps whose port on all addresses is another container's on one, with that one's element. */
export function takenOnOne(
  steps: readonly Line[],
  listed: readonly ListedElement[],
): { readonly step: Line; readonly by: ListedElement } | undefined {
  for (const step of steps) {
    const all = onAll(step);
    const by = all &&
      listed.find(({ set, key, owner }) =>
        `inet ocinet ${set}` === all.map && key.endsWith(` . ${all.key}`) && owner?.split(" ")[0] !== all.id
      );
    if (by) return { step, by };
  }
  return undefined;
}

function ownerIn({ run }: Line): string {
  return / comment "([^" ]*)/.exec(run)?.[1] ?? "";
}

/** Whether what the steps let pass has to pass iptables' FORWARD as well. */
export function forwards(steps: readonly Step[]): boolean {
  return elementsIn(steps).some(({ set }) => /^inet ocinet (contained|passed)/.test(set));
}

/** What adding an element is for, in words for the message that it cannot be. */
export function showElementStep(step: Step): string {
  const [{ set, key } = { set: "", key: "" }] = elementsIn([step]);
  const words = key.replaceAll('"', "").split(" . ");
  const [port, protocol, address] = words.toReversed();
  if (set.includes("ports")) {
    return `publish port ${port}/${protocol}${address === undefined ? "" : ` on ${address}`}`;
  }
  return set.includes("members") ? `use address ${port} on link ${protocol}` : `do "${show([step])}"`;
}

/** A line of ours as it is to be done another time, when its element may be there. */
export function again(line: Line): Line {
  return { ...line, run: line.run.replaceAll("create element ", "add element ") };
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
 * @param veth begins the chain's name, by which it is found again
 */
export function forwardPortWhen(
  owner: string,
  port: PublishedPort,
  condition: string,
  veth: string,
): readonly Line[] {
  const { protocol, hostIp, hostPort, address } = port;
  const [{ set, key }, f] = [placeOf(port), family(address)];
  const place = hostIp === undefined ? [] : [hostIp.replaceAll(":", ".")];
  const name = words`${[veth, protocol, hostPort, f, ...place].join("_")}`;
  const chain = `inet ocinet ${name}`;
  const way = f === 4 ? words`dnat ip to ${address}:` : `dnat ip6 to [${words`${address}`}]:`;
  const rule = `meta nfproto ipv${f} ${protocol} dport ${hostPort} ${condition} ${way}${port.port}`;
  const lead = element(`inet ocinet when${set}`, key, { owner, value: `jump ${name}` });
  return [
    line(
      ...["nft", "host", { kind: "chain", table: "inet ocinet", chain: name }] as const,
      `add chain ${chain}; flush chain ${chain}; add rule ${chain} ${rule}`,
      { undo: `add chain ${chain}\ndelete chain ${chain}` },
    ),
    { ...lead, undo: `add chain ${chain}\n${lead.undo}` },
  ];
}

/** What an element has beside its key. */
interface ElementMore {
  /** What a map leads to. */
  readonly value?: string;
  /** There can be but one: adding it a second time fails, and the first one's comment says who has it. */
  readonly owner?: string;
}

/**
 * An element of a set or map, which is named by the table's family, the table and its own name. nft 1.0.6 has no
 * `destroy`: adding and deleting in one transaction takes the element away whether or not it is there.
 */
export function element(set: string, key: string, { value, owner }: ElementMore = {}): Line {
  const target = value === undefined ? "" : ` : ${value}`;
  const whole = `${set} { ${key}${target} }`;
  const id = { kind: "element", set, key, ...(value === undefined ? {} : { value }) } as const;
  const run = owner === undefined
    ? `add element ${whole}`
    : `create element ${set} { ${key} comment "${comment(owner)}"${target} }`;
  return line("nft", "host", id, run, { undo: `add element ${whole}\ndelete element ${whole}` });
}

/** An element, and others that come and go with it: in one transaction, so that they go only where it is still there. */
export function withElements(main: Line, others: readonly Line[]): Line {
  return {
    ...main,
    run: [main, ...others].map(({ run }) => run).join("; "),
    undo: [main, ...others].map(({ undo }) => undo).join("\n"),
  };
}

/** How much of a container's id an element says: nft takes at most 128 bytes of a comment. */
export const longestInComment = 100;

function comment(owner: string): string {
  return owner.split(" ").map((word) => words`${word.slice(0, longestInComment)}`).join(" ");
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
