/**
 * Ports of every host that lead to the members of a service, wherever these are, with the client's address kept. The host
 * that is asked translates the destination, and sends the packet to the member's host, which remembers who sent it and
 * leads the answer back there (docs/overlay.md, "Services").
 */
import { addressOf, type Family, family } from "../../net/address.ts";
import type { Protocol } from "../../net/port_mapping.ts";
import { passMark } from "../../plan/nft/chains.ts";
import { words } from "../../plan/step.ts";
import { mostPairs } from "./mesh_marks.ts";

/** A host's own place on a network. */
export interface MeshHost {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly mac: string;
  /** What connections from there are marked with; none, when there are too many hosts. */
  readonly mark?: number | undefined;
}

/** A port, and where it leads. */
export interface MeshTarget {
  readonly protocol: Protocol;
  readonly hostPort: number;
  /** Only on hosts' addresses in this subnet. */
  readonly on?: string | undefined;
  readonly affinity: boolean;
  readonly members: readonly { readonly address: string; readonly host: string; readonly port: number }[];
}

/** A network with such ports. */
export interface MeshNetwork {
  readonly bridge: string;
  readonly subnets: readonly string[];
  /** Its containers have no way to others than their neighbours. */
  readonly internal: boolean;
  /** This host's own addresses on it. */
  readonly own: readonly string[];
  /** Other hosts of the network. */
  readonly hosts: readonly MeshHost[];
  readonly targets: readonly MeshTarget[];
  /** Members that no port leads to any more, but connections do that are open. */
  readonly drained: readonly { readonly address: string; readonly host: string }[];
}

/** The table of the ports' rules. */
export const meshTable = "inet ocinet_mesh";
/** The bits of marks that are ours; the others are left as they are. */
const mask = 0x7f000000;
/** What a connection is marked with that goes to a member with its client's address, and with the host's own. */
const [kept, masqueraded] = [0x7f, 0x7e];
/** Priorities of routing rules begin here, and numbers of routing tables there. */
export const [firstPriority, firstTable] = [81, 28400];

const ipOf = (f: Family) => f === 4 ? "ip" : "ip6";
const hex = (value: number) => `0x${(value >>> 0).toString(16).padStart(8, "0")}`;
const shifted = (mark: number) => hex(mark << 24);
const setMark = (what: "ct" | "meta", mark: number) =>
  `${what} mark set ${what} mark and ${hex(~mask)} or ${shifted(mark)}`;
const hasMark = (mark: number) => `ct mark and ${hex(mask)} == ${shifted(mark)}`;

/** The pairs of a network and another host: each has a mark and a routing table. */
function pairs(networks: readonly MeshNetwork[]) {
  return networks.flatMap((network) =>
    network.hosts.flatMap((host) => host.mark === undefined ? [] : [{ network, host, mark: host.mark }])
  );
}

/** The routing rule of a mark, in ip's words. systemd-networkd, which takes away others' (systemd#19106), spares the kernel's. */
function ruleOf(mark: number, more = ""): string {
  return words`pref ${firstPriority + mark} fwmark ${shifted(mark)}/${hex(mask)}` + more +
    words` lookup ${firstTable + mark}`;
}
const spared = " protocol kernel";

/** What makes a chain, and what adds a rule to it. */
const chain = (name: string, hook = "") => `add chain ${meshTable} ${name}${hook && ` { type ${hook}; }`}\n`;
const add = (...texts: readonly string[]) =>
  texts.map((text) => text === "" ? "" : `add rule ${meshTable} ${text}\n`).join("");

/** The rules, in nft's words: they replace those that are there. @param clusterHosts underlay addresses of all hosts */
export function meshRules(networks: readonly MeshNetwork[], clusterHosts: readonly string[]): string {
  const head = `add table ${meshTable}\ndelete table ${meshTable}\n`;
  if (networks.length === 0) return head;
  return head + `add table ${meshTable}\n` + chain("ports") +
    chain("asked", "nat hook prerouting priority -105") +
    chain("asking", "nat hook output priority -105") +
    chain("came", "filter hook prerouting priority -150") +
    chain("led", "filter hook prerouting priority -95") +
    chain("passing", "filter hook forward priority -1") +
    chain("leaving", "nat hook postrouting priority 90") +
    chain("told", "filter hook output priority 0") +
    add(
      "asked fib daddr type local jump ports",
      // What comes from the loopback address cannot be answered from another host.
      "asking ip daddr 127.0.0.0/8 return",
      "asking ip6 daddr ::1 return",
      "asking fib daddr type local jump ports",
    ) +
    networks.flatMap((network) => network.targets.map((target) => portRules(network, target, clusterHosts)))
      .join("") +
    add(
      `led ct direction original ${hasMark(kept)} ${setMark("meta", kept)}`,
      ...networks.flatMap(leavingRules),
      // Where Docker has iptables drop what is forwarded, a rule of ours there lets pass what has this mark.
      ...[kept, masqueraded].map((mark) => `passing ${hasMark(mark)} meta mark set meta mark or ${passMark}`),
    ) +
    // Answers come and go by the bridge: its containers are not to be told of a shorter way.
    add(
      ...networks.flatMap(({ bridge }) =>
        ["icmp type redirect", "icmpv6 type nd-redirect"].map((what) =>
          words`told oifname ${bridge} ` + `${what} drop`
        )
      ),
    ) +
    add(...pairs(networks).flatMap(comingRules));
}

/** The chain of a port, which leads to a member. */
function portRules(network: MeshNetwork, target: MeshTarget, clusterHosts: readonly string[]): string {
  const { protocol, hostPort, on } = target;
  const name = words`${[protocol, hostPort, ...on ? [on.replaceAll(":", "_")] : []].join("_")}`;
  const to = on ? ipOf(family(on)) + words` daddr ${on} ` : "";
  return chain(name) + add(
    `ports ${to}${protocol} dport ${hostPort} goto ${name}`,
    `${name} ${setMark("ct", network.internal ? masqueraded : kept)}`,
    // A client with a way back that does not lead through this host is answered through this host all the same.
    `${name} fib saddr type local ${setMark("ct", masqueraded)}`,
    ...([4, 6] as const).flatMap((f) => {
      // What has a link-local address is not led on by routers.
      const near = [...clusterHosts, ...network.subnets, "fe80::/10"].filter((one) => family(one) === f);
      if (near.length === 0) return [];
      const list = near.map((one) => words`${one}`).join(", ");
      return [`${name} ${ipOf(f)} saddr { ${list} } ${setMark("ct", masqueraded)}`];
    }),
    translation(name, target, 4),
    translation(name, target, 6),
  );
}

/** Masquerading might take the gateway's address, which every host has. */
function leavingRules({ bridge, own }: MeshNetwork): readonly string[] {
  return own.map((address) =>
    words`leaving oifname ${bridge} meta nfproto ipv${family(address)} ct direction original ` +
    `${hasMark(masqueraded)} snat ${ipOf(family(address))} to ` + words`${address}`
  );
}

/** Connections from another host are marked with its number, and answers by the mark. */
function comingRules(
  { network: { bridge, subnets }, host, mark }: ReturnType<typeof pairs>[number],
): readonly string[] {
  const link = words`iifname ${bridge}`;
  return [
    ...subnets.map((subnet) =>
      words`came ` + link + words` ether saddr ${host.mac} ` + ipOf(family(subnet)) +
      words` saddr != ${subnet} ct state new ` +
      setMark("ct", mark)
    ),
    `came ${link} ct direction reply ${hasMark(mark)} ${setMark("meta", mark)}`,
  ];
}

function translation(name: string, { protocol, affinity, members }: MeshTarget, f: Family): string {
  const own = members.filter(({ address }) => family(address) === f);
  if (own.length === 0) return "";
  const ip = ipOf(f);
  const by = affinity ? `jhash ${ip} saddr mod ${own.length} seed 0x6f63` : `numgen inc mod ${own.length}`;
  const list = own.map(({ address, port }, i) => words`${i} : ${address} . ${port}`).join(", ");
  return `${name} meta nfproto ipv${f} meta l4proto ${protocol} dnat ${ip} to ${by} map { ${list} }`;
}

/** Routing rules and routes of a family: the line of `ip` that makes each, and the one that takes it away. */
export function meshRoutes(networks: readonly MeshNetwork[], f: Family): ReadonlyMap<string, string> {
  const lines = new Map<string, string>();
  const rule = (mark: number, more?: string) =>
    lines.set(`rule add ${ruleOf(mark, more)}${spared}`, `rule del ${ruleOf(mark, more)}`);
  const route = (mark: number, to: string, via: string, dev: string) => {
    const table = firstTable + mark;
    lines.set(
      words`route replace ${to} via ${via} dev ${dev} table ${table}` + spared,
      words`route del ${to} table ${table}`,
    );
  };
  const addressOn = ({ addresses }: MeshHost) => addresses.find((one) => family(one) === f);
  for (const { network, host, mark } of pairs(networks)) {
    const via = addressOn(host);
    if (via === undefined) continue;
    rule(mark, words` iif ${network.bridge}`);
    route(mark, "default", via, network.bridge);
  }
  for (const network of networks) {
    const led = network.targets.flatMap(({ members }) => members);
    for (const { address, host } of [...led, ...network.drained]) {
      const there = network.hosts.find(({ name }) => name === host);
      const via = there && addressOn(there);
      if (via !== undefined && family(address) === f) route(kept, address, via, network.bridge);
    }
  }
  if (lines.size > 0) rule(kept);
  return lines;
}

/** What takes away all that an agent before this one may have left. */
export function meshLeftovers(): string {
  const marks = Array.from({ length: mostPairs }, (_, i) => i + 1).concat(kept);
  return marks.map((mark) => `rule del ${ruleOf(mark)}\nroute flush table ${firstTable + mark}\n`).join("");
}

/** The addresses that ports lead to. */
export function meshMembers(networks: readonly MeshNetwork[]): ReadonlySet<string> {
  return new Set(
    networks.flatMap(({ targets }) =>
      targets.flatMap(({ members }) => members.map(({ address }) => addressOf(address)))
    ),
  );
}
