import { parseAddress } from "../../net/address.ts";
import { noServer } from "../../net/resolv_conf.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import { setSysctl } from "../../plan/step.ts";
import { keepRunning } from "./supervise.ts";
import { asksBySix, commonKeys, lacksNameServer, network6, networkOf, resultOf } from "./network.ts";
import type { UplinkOptions } from "./options.ts";
import { refuse, refuseLow } from "./refusals.ts";
import { noWayOut } from "./restricted.ts";
import type { Host, Target, Uplink } from "./uplink.ts";

/**
 * pasta drops what the host's socket does not take of a stream, which happens often where the other end is near, and
 * mostly only a timeout tells the container's TCP. So it waits 20 ms (above the round-trip time) for an acknowledgement
 * instead of 200, sends all of the dropped data again without probing whether the timeout was spurious, and gets fast
 * again with each round trip, which takes microseconds there (reno), instead of with time (cubic). The data's way beyond
 * pasta is not affected: there the host's TCP decides. The settings are for IPv4 and IPv6; the first one of them came
 * with Linux 6.11. See vendor-docs/pasta.md.
 */
const recoverFast = [["rto_min_us", "20000"], ["frto", "0"], ["congestion_control", "reno"]].map((
  [key, value],
) => setSysctl("container", `net/ipv4/tcp_${key}`, value!, { onError: "ignore" }));

/** pasta: it is faster than slirp4netns and can publish IPv6 ports. It is always sandboxed. */
export const pasta = {
  name: "pasta",
  keys: commonKeys,
  oldest: {
    version: "2024_02",
    why: "older ones do not end with the container, and stall servers that speak first, such as SSH",
  },
  // A connection from the host's loopback comes from the container's own address.
  keepsClientAddress: true,
  settings: recoverFast,
  // Without a default route on the host, version 2025_05 gives the container 169.254.2.1 instead of the configured
  // address.
  problem: ({ routes }) =>
    routes[4] ? undefined : "the host has no IPv4 default route, of which pasta makes the container's",
  losesNames: (host) =>
    lacksNameServer(host)
      ? noServer
      : asksBySix(host) && !hasIpv6(host)
      ? "the host's name servers have IPv6 addresses only, and pasta without an IPv6 default route no IPv6"
      : undefined,
  refusal: (mapping, host, restricted) => {
    if (mapping.protocol === "sctp") return refuse(mapping, "pasta forwards tcp and udp only");
    if (mapping.family === 6 && restricted) return refuse(mapping, "default-restricted has IPv4 only");
    if (mapping.family === 6 && !host.routes[6]) {
      return refuse(mapping, "the host has no IPv6 default route, and pasta without one no IPv6");
    }
    if (mapping.protocol === "udp" && restricted) {
      return refuse(mapping, "pasta with no way out does not answer on udp; use --uplink slirp4netns");
    }
    return refuseLow(mapping, host);
  },
  tooMany: (ports) => {
    const rules = rangesOf(ports.filter(({ protocol }) => protocol === "tcp")).length +
      rangesOf(ports.filter(({ protocol }) => protocol === "udp")).length;
    return rules <= mostRules
      ? undefined
      : `Cannot publish ${ports.length} ports by pasta: they are ${rules} rules, and it takes ${mostRules}; consecutive ` +
        "ports in one range are one rule; or use --uplink slirp4netns, or --port-driver relay";
  },
  connect: (target, options, ports) => {
    const ipv6 = options.ipv6 && hasIpv6(target.host) && !target.restricted;
    // pasta would watch this process, and take its end for the end of the container.
    const passing = target.pid !== target.init;
    const words = (pid: number, enter: readonly string[]) => [
      "pasta",
      // In the foreground, without output. It is ready when it has written its pid file.
      ...[
        "--foreground",
        "--quiet",
        `--pid=${target.directory}/ready`,
        `--log-file=${target.directory}/pasta.log`,
      ],
      ...network(target, options, ipv6),
      ...reach(options, target, ipv6),
      ...forwards("tcp", ports),
      ...forwards("udp", ports),
      // The container's loopback does not lead to the host's either.
      ...["--tcp-ns=none", "--udp-ns=none"],
      ...(passing ? ["--no-netns-quit"] : []),
      ...namespaces(pid, enter),
    ];
    const ends = passing ? "killed" : "itself";
    const kept = { name: "pasta", words, ends, cmdlineMarker: target.directory, cleanupPaths: [] } as const;
    return {
      steps: [
        ...(ipv6 ? [allowIpv6] : []),
        ...recoverFast,
        keepRunning(target, kept),
        ...(target.restricted ? [noWayOut] : []),
      ],
      result: resultOf(target, options, ipv6),
    };
  },
} satisfies Uplink;

/** IPv6 may be off in the namespace, or by the bundle's own sysctls: pasta's link would take no IPv6 address. */
const allowIpv6 = setSysctl("container", "net/ipv6/conf/default/disable_ipv6", "0", { onError: "ignore" });

function hasIpv6({ ipv6, routes }: Host): boolean {
  return ipv6 && routes[6];
}

/** pasta also enters the user namespace, unless it is in it already: then it cannot be entered again. */
function namespaces(pid: number, enter: readonly string[]): readonly string[] {
  return enter.length > 0 ? [String(pid)] : ["--netns-only", `--netns=/proc/${pid}/ns/net`];
}

function network({ ifname }: Target, options: UplinkOptions, ipv6: boolean): readonly string[] {
  const { address, length, gateway } = networkOf(options);
  return [
    ...["--config-net", `--ns-ifname=${ifname}`, `--mtu=${options.mtu}`],
    ...(options.mac === undefined ? [] : [`--ns-mac-addr=${options.mac}`]),
    ...[`--address=${address}`, `--netmask=${length}`, `--gateway=${gateway}`],
    ...(ipv6 ? [`--address=${network6.address}`, `--gateway=${network6.gateway}`] : ["--ipv4-only"]),
    // The addresses are configured already.
    ...["--no-dhcp", "--no-dhcpv6", "--no-ra"],
  ];
}

/**
 * What the container can reach. A restricted container could remove our rules; so pasta also uses the loopback link for
 * outgoing connections, on which nothing is reachable.
 */
function reach(options: UplinkOptions, { host, restricted }: Target, ipv6: boolean): readonly string[] {
  if (restricted) return ["--no-map-gw", "--no-icmp", "--outbound-if4=lo"];
  return [
    ...(options.hostLoopback ? [] : ["--no-map-gw"]),
    ...(options.dns ? [`--dns-forward=${networkOf(options).dns}`] : []),
    ...(options.dns && ipv6 && asksBySix(host) ? [`--dns-forward=${network6.dns}`] : []),
    ...outbound(options.outbound4, 4),
    ...outbound(options.outbound6, 6),
  ];
}

function outbound(from: string | undefined, family: 4 | 6): readonly string[] {
  if (from === undefined) return [];
  return [parseAddress(from) ? `--outbound=${from}` : `--outbound-if${family}=${from}`];
}

function forwards(protocol: "tcp" | "udp", ports: readonly PortMapping[]): readonly string[] {
  const own = ports.filter((port) => port.protocol === protocol);
  if (own.length === 0) return [`--${protocol}-ports=none`];
  return rangesOf(own).map(({ first: { family, hostIp, hostPort, port }, count }) => {
    const on = hostIp ?? (family === undefined ? undefined : family === 4 ? "0.0.0.0" : "::");
    const range = (from: number) => count === 1 ? `${from}` : `${from}-${from + count - 1}`;
    return `--${protocol}-ports=${on === undefined ? "" : `${on}/`}${range(hostPort)}:${range(port)}`;
  });
}

/** Consecutive ports of one address. */
interface PortRange {
  readonly first: PortMapping;
  readonly count: number;
}

/** How many rules pasta takes (MAX_FWD_RULES). */
const mostRules = 255;

/** Merges consecutive ports into ranges, each of which is one rule. */
function rangesOf(ports: readonly PortMapping[]): readonly PortRange[] {
  const ranges: PortRange[] = [];
  for (const port of ports) {
    const last = ranges.at(-1);
    if (last && continues(last, port)) ranges[ranges.length - 1] = { ...last, count: last.count + 1 };
    else ranges.push({ first: port, count: 1 });
  }
  return ranges;
}

function continues({ first, count }: PortRange, { family, hostIp, hostPort, port }: PortMapping): boolean {
  return family === first.family && hostIp === first.hostIp && hostPort === first.hostPort + count &&
    port === first.port + count;
}
