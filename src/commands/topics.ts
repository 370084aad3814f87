import type { Help } from "commander";
import { helpLayout, wrap } from "./help.ts";

/** A page of `ocinet help` on something that several commands have in common. */
export interface Topic {
  readonly name: string;
  /** What it is about, in a line. */
  readonly text: string;
  /** Words, and what each means. */
  readonly rows: readonly (readonly [word: string, text: string])[];
  readonly more?: string;
  /** Command lines, where `of` has too few. */
  readonly examples?: readonly string[];
  /** The commands and groups that have these examples, and whose help names the topic if no topic before it does. */
  readonly of?: readonly string[];
}

const topics: readonly Topic[] = [
  {
    name: "networks",
    text: "what --net means",
    rows: [
      ["default", "an address of 172.16.28.0/24 and a default route; also without --net"],
      ["default-restricted", "reaches only the host, and containers on this network"],
      ["none", "only a loopback interface"],
      ["host", "the network namespace of the caller"],
      ["NAME:IP=10.5.0.7", "a network of yours, with arguments; a comma separates several"],
    ],
    more: "Containers on different networks do not reach each other.",
    of: ["network", "network connect"],
  },
  {
    name: "ports",
    text: "what -p means",
    rows: [
      ["8080:80", "port 8080 on all addresses of the host leads to port 80"],
      ["127.0.0.1:53:53/udp", "on one address; tcp (the default), udp or sctp"],
      ["8000-8010:80-90", "a range of ports"],
    ],
    more: "Without root, the uplink or a relay forwards them.",
    of: ["port", "run"],
  },
  {
    name: "names",
    text: "name servers and hosts files",
    rows: [
      ["--dns", "name servers; host: the host's; none: the container's own"],
      ["--hosts-entry", "a line of the hosts file"],
      ["NETWORK:alias=NAME", "an additional name on the network"],
      ["-o names=dns", "option of network create: a resolver knows the names"],
    ],
    examples: ["ocinet network create -o names=dns shop", "ocinet inject --net shop:alias=db ./bundle"],
  },
  {
    name: "rootless",
    text: "uplinks of an ordinary user, the best first",
    rows: [
      ["helper", "a service of root's connects the container by a veth pair"],
      ["lxc-user-nic", "LXC's program connects it to a bridge of root's"],
      ["pasta, slirp4netns", "a program opens connections on the host for it"],
    ],
    of: ["session", "session start", "helper"],
  },
  {
    name: "hook",
    text: "how a runtime calls ocinet",
    rows: [
      ["createRuntime", "connects the container, as does prestart"],
      ["poststop", "removes its network"],
      ["org.ocinet.publish", "an option as an annotation; the others alike"],
    ],
    more: "If a hook fails, the reason is in hook.log (ocinet help files).",
    of: ["inject", "hooks-json", "hook"],
  },
  {
    name: "cni",
    text: "CNI plugins and runtime",
    rows: [
      ["interfaces", "bridge ptp macvlan ipvlan vlan dummy tap host-device loopback flannel"],
      ["addresses", "host-local static dhcp"],
      ["after them", "portmap bandwidth firewall tuning sbr vrf"],
      ["/etc/cni/net.d", "network files of ocinet cni; NETCONFPATH names another directory"],
    ],
    of: ["cni", "install-plugins"],
  },
  {
    name: "overlay",
    text: "one network over several hosts",
    rows: [
      ["/etc/ocinet/cluster.json", '{ "endpoints": ["http://ETCD:2379"], "underlay": "eth0" }'],
      ["UDP 4789, 51871", "must be open between hosts: VXLAN, and WireGuard for -o encrypted"],
    ],
    more: "Each host must run ocinet agent.",
    of: ["cluster", "cluster create"],
  },
  {
    name: "agent",
    text: "processes that serve calls, so that these start no runtime",
    rows: [
      ["ocinet agent", "keeps processes that wait for calls"],
      ["--page", "also serves the map as a live page"],
      ["OCINET_AGENT=no", "a call that does not use the agent"],
    ],
    of: ["agent"],
  },
  {
    name: "exit-codes",
    text: "what the exit status means",
    rows: [
      ["0", "Success."],
      ["1", "Failure; or a check found something wrong."],
      ["2", "Wrong use: an unknown command or option, or a wrong value."],
      ["125", "run, session exec: the command did not run. Other numbers are the command's."],
    ],
    examples: ["ocinet trace box || ocinet repair box", "ocinet doctor && ocinet up box"],
  },
  {
    name: "environment",
    text: "variables that ocinet reads",
    rows: [
      ["OCINET_STATE_DIR", "The directory of the state."],
      ["OCINET_RUNTIME", "deno, node, or the path of one."],
      ["OCINET_AGENT", "no: this call does not use the agent."],
      ["OCINET_DEBUG", "Errors say where they were thrown."],
    ],
    examples: ["OCINET_RUNTIME=node ocinet ls", "OCINET_AGENT=no ocinet up box"],
  },
  {
    name: "files",
    text: "networks, settings and state",
    rows: [
      ["/etc/ocinet/net.d, ~/.config/ocinet/net.d", "Networks, as CNI configurations."],
      ["/run/ocinet, $XDG_RUNTIME_DIR/ocinet", "State, and hook.log."],
      ["/etc/ocinet/helper.conf", "What the helper allows users."],
      ["/etc/ocinet/cluster.json", "The cluster of overlay networks."],
      ["/var/lib/cni", "Addresses in use, results of CNI."],
    ],
    examples: ["tail -n 1 /run/ocinet/hook.log", "ocinet up --net-dir ./networks --net shop box"],
  },
];

/** All topics. */
export function allTopics(): readonly Topic[] {
  return topics;
}

/** A topic by its name. */
export function topicNamed(name: string | undefined): Topic | undefined {
  return topics.find((topic) => topic.name === name);
}

/** The topic that a command, or a group of commands, is about. */
export function topicOf(command: string): string | undefined {
  return topics.find(({ of }) => of?.includes(command))?.name;
}

/**
 * A topic as a page of text, of lines of a width at most where its words allow that.
 * @param exampleOf lines of examples of a command or a group
 */
export function topicPage(
  { name, text, rows, more, examples, of = [] }: Topic,
  exampleOf: (command: string) => string,
  width: number,
): string {
  return `${name}: ${text}\n\n${items(rows, width)}\n${
    more === undefined ? "" : `${wrap(more, width)}\n\n`
  }Examples:\n${(examples ?? of.map(exampleOf)).map((lines) => `  ${lines}\n`).join("")}`;
}

/** All topics, as the help of the program lists them. */
export function topicList(width: number): string {
  return `Topics:\n${items(topics.map(({ name, text }) => [name, text]), width, 15)}`;
}

function items(rows: Topic["rows"], helpWidth: number, least = 0): string {
  const widest = Math.max(least, ...rows.map(([word]) => word.length));
  return rows.map(([word, text]) => `${helpLayout.formatItem!(word, widest, text, { helpWidth } as Help)}\n`)
    .join("");
}
