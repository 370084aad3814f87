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
      ["default", "172.16.28.0/24, with a way out"],
      ["default-restricted", "the host and neighbours alone"],
      ["none, host", "loopback alone; the caller's namespace"],
      ["NAME:IP=10.5.0.7", "one of yours, with arguments"],
    ],
    more: "Containers of different networks do not reach each other.",
    of: ["network", "network connect"],
  },
  {
    name: "ports",
    text: "what -p means",
    rows: [
      ["8080:80", "8080 of all the host's addresses leads to 80"],
      ["127.0.0.1:53:53/udp", "of one address; tcp, udp or sctp"],
      ["8000-8010:80-90", "several"],
    ],
    more: "Without root the uplink or a relay forwards them.",
    of: ["port", "run"],
  },
  {
    name: "names",
    text: "name servers and hosts files",
    rows: [
      ["--dns", "name servers; host, none: the host's, the container's"],
      ["--hosts-entry", "a line of the hosts file"],
      ["NETWORK:alias=NAME", "one more name there"],
      ["-o names=dns", "of network create: a resolver has them"],
    ],
    examples: ["ocinet network create -o names=dns shop", "ocinet inject --net shop:alias=db ./bundle"],
  },
  {
    name: "rootless",
    text: "uplinks of an ordinary user, the best first",
    rows: [
      ["helper", "root's service plugs in a veth"],
      ["lxc-user-nic", "LXC's program does, into a bridge of root's"],
      ["pasta, slirp4netns", "programs make its connections"],
    ],
    of: ["session", "session start", "helper"],
  },
  {
    name: "hook",
    text: "how a runtime calls ocinet",
    rows: [
      ["createRuntime", "or prestart: connects the container"],
      ["poststop", "takes the network away"],
      ["org.ocinet.publish", "and so on: options as annotations"],
    ],
    more: "hook.log (ocinet help files) says what failed.",
    of: ["inject", "hooks-json", "hook"],
  },
  {
    name: "cni",
    text: "CNI plugins and runtime",
    rows: [
      ["interfaces", "bridge ptp macvlan ipvlan vlan dummy tap host-device loopback flannel"],
      ["addresses", "host-local static dhcp"],
      ["after them", "portmap bandwidth firewall tuning sbr vrf"],
      ["/etc/cni/net.d", "or NETCONFPATH: networks of ocinet cni"],
    ],
    of: ["cni", "install-plugins"],
  },
  {
    name: "overlay",
    text: "one network over several hosts",
    rows: [
      ["/etc/ocinet/cluster.json", '{ "endpoints": ["http://ETCD:2379"], "underlay": "eth0" }'],
      ["UDP 4789, 51871", "let in: VXLAN, and WireGuard for -o encrypted"],
    ],
    more: "Each host runs ocinet agent.",
    of: ["cluster", "cluster create"],
  },
  {
    name: "agent",
    text: "calls without the start of a runtime",
    rows: [
      ["ocinet agent", "keeps processes that wait for calls"],
      ["--page", "it serves the map, live"],
      ["OCINET_AGENT=no", "has a call go without"],
    ],
    of: ["agent"],
  },
  {
    name: "exit-codes",
    text: "what the exit status means",
    rows: [
      ["0", "Done."],
      ["1", "Failed, or something is wrong."],
      ["2", "Wrong use: an unknown command or option, or a wrong value."],
      ["125", "run, session exec: the command was not started. Others are the command's."],
    ],
    examples: ["ocinet trace box || ocinet repair box", "ocinet doctor && ocinet up box"],
  },
  {
    name: "environment",
    text: "variables that ocinet reads",
    rows: [
      ["OCINET_STATE_DIR", "The directory of the state."],
      ["OCINET_RUNTIME", "deno, node, or the path of one."],
      ["OCINET_AGENT", "no: this call goes without the agent."],
      ["OCINET_DEBUG", "Errors tell where they were thrown."],
    ],
    examples: ["OCINET_RUNTIME=node ocinet ls", "OCINET_AGENT=no ocinet up box"],
  },
  {
    name: "files",
    text: "networks, settings and state",
    rows: [
      ["/etc/ocinet/net.d, ~/.config/ocinet/net.d", "Networks, as CNI configurations."],
      ["/run/ocinet, $XDG_RUNTIME_DIR/ocinet", "State, and hook.log."],
      ["/etc/ocinet/helper.conf", "What the helper grants to users."],
      ["/etc/ocinet/cluster.json", "The cluster of overlay networks."],
      ["/var/lib/cni", "Addresses taken, results of CNI."],
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
