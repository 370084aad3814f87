import type { Result } from "../../wire/cni/result.ts";
import { parseAnswer } from "../../plan/dhcp_answer.ts";
import { exec, line, type Step, words } from "../../plan/step.ts";
import { packages } from "../../plan/programs.ts";
import { keepAddress, leaseFile } from "./dhcp_client.ts";
import type { UplinkOptions } from "./options.ts";
import { refuse } from "./refusals.ts";
import type { GrantedBridge, Target, Uplink, UserNic } from "./uplink.ts";

/** The file with the number of links that each user may have on each bridge. */
export const usernet = "/etc/lxc/lxc-usernet";

/**
 * LXC's setuid program, which connects a veth to a bridge of root's, and does nothing else. A DHCP server on the bridge
 * gives the container its address. The container's frames are not filtered.
 */
export const lxcUserNic = {
  name: "lxc-user-nic",
  provided: ({ userNic }) => userNic !== undefined,
  keys: ["bridge", "mac"],
  keepsClientAddress: false,
  problem: ({ userNic }, restricted, { bridge }) => {
    if (userNic === undefined) return `it is not installed; install ${packages["lxc-user-nic"]}`;
    if (userNic.problem !== undefined) return userNic.problem;
    // A process with CAP_NET_ADMIN in the namespace could remove a rule there.
    if (restricted) return "default-restricted cannot be kept by it; use --uplink pasta or slirp4netns";
    return bridgeProblem(userNic, bridge);
  },
  doubt: ({ userNic }) => {
    const { name, servesDhcp } = chooseBridge(userNic!, {})!;
    if (servesDhcp) return undefined;
    return `no process on this host serves DHCP on bridge "${name}"; if a server beyond it does, ask for it by its name`;
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

/**
 * Prefers a bridge with a DHCP server on this host. Without one, another machine on the bridge's network may have a
 * DHCP server.
 */
function chooseBridge(
  { bridges }: UserNic,
  { bridge }: Pick<UplinkOptions, "bridge">,
): GrantedBridge | undefined {
  const found = bridges.filter(({ name, there }) => there && (bridge === undefined || name === bridge));
  return found.find(({ servesDhcp }) => servesDhcp) ?? found[0];
}

/** Runs lxc-user-nic and rewords its only error for several causes. */
const create = `said=$("$@" 2>&1) && exit
case $said in *"Quota reached"*)
  said="${usernet} grants you no more links on \\"$7\\"; end a container that has one, or have root grant more" ;;
esac
echo "$said" >&2; exit 1`;

/**
 * The link has an interim name of ours until it is in the right place. If the container already had a link with the
 * final name, lxc-user-nic (5.0.2) would leave the new link behind, and the undo would remove the other one. Afterwards
 * it is identified by its group, even if the container renames it.
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

/** The result with the first lease. In a dry run no address is known yet; 0.0.0.0 stands for it. */
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
