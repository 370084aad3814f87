import type { Result } from "../../wire/cni/result.ts";
import { parseAnswer } from "../../plan/dhcp_answer.ts";
import { exec, line, type Step, words } from "../../plan/step.ts";
import { packages } from "../../plan/world.ts";
import { keepAddress, leaseFile } from "./dhcp_client.ts";
import type { UplinkOptions } from "./options.ts";
import { refuse } from "./refusals.ts";
import type { GrantedBridge, Target, Uplink, UserNic } from "./uplink.ts";

/** Who may have links on which bridges. */
export const usernet = "/etc/lxc/lxc-usernet";

/**
 * LXC's setuid program, which plugs a veth into a bridge of root's, and does nothing else: somebody on the bridge gives
 * the container its address, and nobody looks at what it sends.
 */
export const lxcUserNic = {
  name: "lxc-user-nic",
  provided: ({ userNic }) => userNic !== undefined,
  keys: ["bridge", "mac"],
  keepsClientAddress: false,
  problem: ({ userNic }, restricted, { bridge }) => {
    if (userNic === undefined) return `it is not installed; install ${packages["lxc-user-nic"]}`;
    if (userNic.problem !== undefined) return userNic.problem;
    // Whoever has power over the namespace could take a rule there away.
    if (restricted) return "default-restricted cannot be kept by it; use --uplink pasta or slirp4netns";
    return bridgeProblem(userNic, bridge);
  },
  doubt: ({ userNic }) => {
    const { name, servesDhcp } = chooseBridge(userNic!, {})!;
    if (servesDhcp) return undefined;
    return `nobody on this host serves DHCP on bridge "${name}"; if somebody beyond it does, ask for it by its name`;
  },
  refusal: (mapping) =>
    refuse(
      mapping,
      "lxc-user-nic forwards no ports; the relay does, of tcp and udp, but without --port-driver uplink and --rate-*",
    ),
  connect: (target, options) => {
    const bridge = chooseBridge(target.host.userNic!, options)!.name;
    return {
      steps: [...plugIn(target, bridge, options), keepAddress(target, bridge)],
      answer: { file: leaseFile(target) },
      read: (lease) => resultOf(target, options, lease),
    };
  },
} satisfies Uplink;

function bridgeProblem({ user, bridges }: UserNic, bridge: string | undefined): string | undefined {
  const example = `"${user} veth ${bridge ?? bridges[0]?.name ?? "lxcbr0"} 10"`;
  const granted = bridges.filter(({ name }) => bridge === undefined || name === bridge);
  if (granted.length === 0) {
    const others = bridges.map(({ name }) => name).join(", ");
    return `${usernet} grants you ${bridge === undefined ? "no bridge" : `no link on "${bridge}"`}` +
      `${others === "" ? "" : ` (it grants: ${others})`}; have root add a line such as ${example}`;
  }
  if (granted.some(({ there }) => there)) return undefined;
  const names = granted.map(({ name }) => `"${name}"`).join(", ");
  return `there is no bridge ${names}, which ${usernet} grants you; have root make it ` +
    "(systemctl start lxc-net makes lxcbr0, with a DHCP server), or grant another";
}

/** One that nobody on this host serves may lead to a network that somebody else does. */
function chooseBridge(
  { bridges }: UserNic,
  { bridge }: Pick<UplinkOptions, "bridge">,
): GrantedBridge | undefined {
  const found = bridges.filter(({ name, there }) => there && (bridge === undefined || name === bridge));
  return found.find(({ servesDhcp }) => servesDhcp) ?? found[0];
}

/** All reasons why a user may have no link read alike. */
const create = `said=$("$@" 2>&1) && exit
case $said in *"Quota reached"*)
  said="${usernet} grants you no more links on \\"$7\\"; end a container that has one, or have root grant more" ;;
esac
echo "$said" >&2; exit 1`;

/**
 * The link has a name of ours until it is known to be where it belongs: were it made with the container's name for it, and
 * one of that name were there, lxc-user-nic (5.0.2) would leave it behind, and undoing would take away the other. After
 * that it is known by its group, whatever the container calls it.
 */
function plugIn({ host, id, pid, ifname }: Target, bridge: string, { mac }: UplinkOptions): readonly Step[] {
  const [own, group] = [`ocinet${pid}`, 2 ** 30 + pid];
  const argv = ["create", "/", id, String(pid), "veth", bridge, own];
  const shows = ["lxc-user-nic", ...argv].join(" ");
  const move = words`link set dev ${own} name ${ifname} group ${group}` +
    (mac === undefined ? "" : words` address ${mac}`) + " up";
  return [
    exec("container", `remove ${own}`, { undo: ["ip", "link", "delete", "dev", own] }),
    exec("host", `make ${own}`, { run: ["sh", "-c", create, "sh", host.userNic!.path, ...argv], shows }),
    line("ip", "container", { kind: "link", link: ifname }, move, {
      undo: words`link delete group ${group}`,
    }),
  ];
}

/** What is true by the first lease. In a dry run an address stands for one not known yet. */
function resultOf({ ifname, netns }: Target, { mac }: UplinkOptions, lease: string): Result {
  const { ip, routes, dns } = lease === ""
    ? { ip: { address: "0.0.0.0/24" }, routes: [], dns: {} }
    : parseAnswer(lease);
  return {
    interfaces: [{ name: ifname, sandbox: netns, ...(mac === undefined ? {} : { mac }) }],
    ips: [{ ...ip, interface: 0 }],
    routes,
    dns,
  };
}
