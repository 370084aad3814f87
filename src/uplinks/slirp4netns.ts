import type { PortMapping } from "../net/port_mapping.ts";
import { showMapping } from "../net/port_mapping.ts";
import { addAddress, addRoute } from "../plan/ip.ts";
import type { Plan } from "../plan/plan.ts";
import type { Send, Step } from "../plan/step.ts";

/** A rootless container to connect. */
export interface Target {
  /** Path of its network namespace, valid now. */
  readonly netns: string;
  /** A process in its namespaces, which may end before it, and whether it has a pid namespace of its own. */
  readonly pid: number;
  readonly ownPidNamespace: boolean;
  /** Its first process, which ends when it does, but may not be one that lets us in. */
  readonly init: number;
  /** Words for nsenter that give power over its pid namespace. */
  readonly enter: readonly string[];
  readonly ifname: string;
  /** Where the process id, the log and the fifos go. */
  readonly directory: string;
  /** Path of the API socket, shorter than 108 bytes. */
  readonly socket: string;
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean;
  /** No way out: only what is published, from outside. */
  readonly restricted: boolean;
}

/**
 * Starts slirp4netns so that it ends with the container, however that ends, and nothing else stays once it has. A `cat`
 * in the container's pid namespace holds the writing end of the fifo "life"; the kernel kills it with the container's
 * init, and the closing of the fifo tells slirp4netns to go (--exit-fd). The `cat` in turn reads from the fifo "back",
 * which closes with slirp4netns. Where the container shares our pid namespace, `tail --pid` stands in for it.
 * Nothing keeps our standard streams: a runtime waits until they are closed.
 */
const start = `d=$1 pid=$2 own=$3 enter=$4; shift 4
rm -f "$d/life" "$d/back" "$d/ready"; mkfifo -m 600 "$d/life" "$d/back" "$d/ready" || exit
if [ "$own" = yes ]; then setsid nsenter $enter -t "$pid" -p cat <"$d/back" >"$d/life" 2>/dev/null &
else setsid tail --pid="$pid" -f /dev/null </dev/null >"$d/life" 2>&1 & fi
setsid "$@" 5<>"$d/back" 3<"$d/life" 4>"$d/ready" </dev/null >"$d/slirp4netns.log" 2>&1 &
echo $! >"$d/slirp4netns.pid"
byte=$(head -c 1 "$d/ready"); rm -f "$d/life" "$d/back" "$d/ready"
[ -n "$byte" ] || { grep -vE '^(\\*|WARNING|Starting|sent|received)' "$d/slirp4netns.log" >&2; exit 1; }`;

/** slirp4netns's fixed layout of its network (slirp4netns(1)); in IPv6, only the gateway is. */
const layout = { address: "10.0.2.100/24", gateway: "10.0.2.2", dns: "10.0.2.3" };
const layout6 = { address: "fd00::100/64", gateway: "fd00::2" };

/** Connects the container to the world, and its published ports to it. The ports must have passed `refusal`. */
export function connect(target: Target, ports: readonly PortMapping[]): Plan {
  const { ifname, netns, restricted } = target;
  const ipv6 = target.ipv6 && !restricted;
  return {
    steps: [
      spawn(target, ipv6),
      ...(restricted ? [noWayOut] : []),
      ...(ipv6 ? configureIpv6(ifname) : []),
      ...ports.map((port) => forward(target.socket, port)),
    ],
    result: {
      interfaces: [{ name: ifname, sandbox: netns }],
      ips: (ipv6 ? [layout, layout6] : [layout]).map(({ address, gateway }) => ({
        ...{ address, gateway, interface: 0 },
      })),
      routes: [
        { dst: "0.0.0.0/0", gw: layout.gateway },
        ...(ipv6 ? [{ dst: "::/0", gw: layout6.gateway }] : []),
      ],
      dns: restricted ? {} : { nameservers: [layout.dns] },
    },
  };
}

/** Answers go out by the default route, so that has to stay; who has power over the namespace could take this away. */
const noWayOut: Step = {
  tool: "nft",
  on: "container",
  run: "table inet ocinet_restricted { chain out { type filter hook output priority 0; " +
    "oifname lo accept; ct state established accept; reject with icmpx admin-prohibited; }; }",
  undo: "delete table inet ocinet_restricted",
};

/** The address that slirp4netns advertises comes seconds after the container's process has started, so it gets one now. */
function configureIpv6(ifname: string): readonly Step[] {
  return [
    { tool: "sysctl", on: "container", key: `net/ipv6/conf/${ifname}/accept_ra`, value: "0" },
    addAddress("container", layout6.address, ifname),
    addRoute("container", { dst: "::/0", gw: layout6.gateway }, ifname),
  ];
}

function spawn(target: Target, ipv6: boolean): Step {
  const { directory, pid, init, ownPidNamespace, enter, socket, ifname, restricted } = target;
  const [watched, own] = ownPidNamespace ? [pid, "yes"] : [init, "no"];
  return {
    tool: "spawn",
    on: "host",
    run: [
      ...["sh", "-c", start, "sh", directory, String(watched), own, enter.join(" ")],
      ...["slirp4netns", "--exit-fd=3", "--ready-fd=4", `--api-socket=${socket}`],
      ...["--configure", "--mtu=65520", ...(ipv6 ? ["--enable-ipv6"] : [])],
      ...["--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"],
      // Who may ask for names can tell the world anything. And should the container take our rules away: from an address
      // that no host has, no connection can be made.
      ...(restricted ? ["--disable-dns", "--outbound-addr=240.0.0.1"] : []),
      // By pid and not by paths: given --userns-path, 1.2.0 stays outside the user namespace, where its sandbox fails.
      ...[String(pid), ifname],
    ],
    name: "slirp4netns",
    pidFile: `${directory}/slirp4netns.pid`,
    mark: socket,
    leaves: [socket],
  };
}

function forward(socket: string, { protocol, hostIp, hostPort, port }: PortMapping): Send {
  const [guest] = layout.address.split("/");
  const request = {
    execute: "add_hostfwd",
    arguments: {
      proto: protocol,
      host_addr: hostIp ?? "0.0.0.0",
      host_port: hostPort,
      guest_addr: guest,
      guest_port: port,
    },
  };
  return { tool: "send", on: "host", socket, run: JSON.stringify(request) };
}

/**
 * Why a port cannot be published, or undefined when it can.
 * @param lowest the first port that an ordinary user may listen on (net.ipv4.ip_unprivileged_port_start)
 */
export function refusal(mapping: PortMapping, lowest: number): string | undefined {
  const what = `Cannot publish "${showMapping(mapping)}" without root`;
  if (mapping.protocol === "sctp") return `${what}: slirp4netns forwards tcp and udp only`;
  if (mapping.family === 6) {
    return `${what}: slirp4netns listens on IPv4 addresses only; use 0.0.0.0 or 127.0.0.1`;
  }
  if (mapping.protocol === "udp" && mapping.hostIp?.startsWith("127.")) {
    return `${what}: slirp4netns sends no answer to the host's loopback, which is kept from the container; ` +
      "use another address of the host's";
  }
  if (mapping.hostPort >= lowest) return undefined;
  return `${what}: ports below ${lowest} are root's; take a higher one, or have root set ` +
    `sysctl net.ipv4.ip_unprivileged_port_start=${mapping.hostPort}`;
}
