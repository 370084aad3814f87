/** Our one nft table. */
import { chains, listens, ofEach } from "./chains.ts";

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
  // Ports of 16 and more numbers, which are the same in the container.
  `add map inet ocinet ranges${f} { type inet_proto . inet_service : ipv${f}_addr; flags interval; }`,
  `add map inet ocinet hostports${f} { type ipv${f}_addr . inet_proto . inet_service : ipv${f}_addr . inet_service; }`,
  `add map inet ocinet whenports${f} { type inet_proto . inet_service : verdict; }`,
  `add map inet ocinet whenhostports${f} { type ipv${f}_addr . inet_proto . inet_service : verdict; }`,
]);

const links = [
  "links { type ifname; }",
  // The same names, as `fib` has them: nft knows these two types apart.
  "routed { typeof fib saddr oifname; }",
  "internal { type ifname; }",
  "own_bridges { type ifname; }",
  "no_loopback6 { type inet_proto . inet_service; }",
  "no_loopback_ranges6 { type inet_proto . inet_service; flags interval; }",
  "localnet { type ifname; }",
  // Twice the same name: nft cannot compare iifname with oifname, but it finds such a pair.
  "bridges { type ifname . ifname; }",
  "unforwarded4 { type ifname . ifname; }",
  "unforwarded6 { type ifname . ifname; }",
].map((set) => `add set inet ocinet ${set}`);

/** Sets of what containers share: their elements stay until the table goes, and serve no container by themselves. */
export const sharedSets: readonly string[] = [
  "bridges",
  "own_bridges",
  "internal",
  "localnet",
  "unforwarded4",
  "unforwarded6",
  "resolvers4",
  "resolvers6",
];

/** Takes a bridge out of the sets that containers share, whether it is in them or not. */
export function forgetBridge(bridge: string): string {
  const key = `"${bridge}"`;
  const kept = [
    ["bridges", `${key} . ${key}`],
    ...["own_bridges", "internal", "localnet"].map((set) => [set, key]),
  ];
  return kept.flatMap(([set, key]) =>
    // What is not there cannot be deleted.
    ["add", "delete"].map((verb) => `${verb} element inet ocinet ${set} { ${key} }\n`)
  ).join("");
}

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

/** Commands that show in an empty namespace whether the kernel can do what our table does. */
export const tryRules: readonly string[] = [
  "nft add table inet try0",
  "nft add chain inet try0 try0 { type nat hook postrouting priority 100 ; }",
  "nft add rule inet try0 try0 ct status dnat masquerade",
];
