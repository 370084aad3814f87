import type { Result } from "../../wire/cni/result.ts";
import { noServer } from "../../net/resolv_conf.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import { addForward } from "../../plan/hostfwd.ts";
import { addAddress, addRoute } from "../../plan/ip.ts";
import { type Send, setSysctl, type Step } from "../../plan/step.ts";
import { keepRunning } from "./supervise.ts";
import { asksBySix, cidrOf, commonKeys, lacksNameServer, network6, networkOf, resultOf } from "./network.ts";
import type { UplinkOptions } from "./options.ts";
import { refuse, refuseLow } from "./refusals.ts";
import { noWayOut } from "./restricted.ts";
import type { Host, Running, Target, Uplink } from "./uplink.ts";

/** slirp4netns: it needs nothing from the host and supports every option. */
export const slirp4netns = {
  name: "slirp4netns",
  setsLoUp: true,
  keys: [...commonKeys, "sandbox" as const, "seccomp" as const],
  // A connection from the host's loopback has the gateway as its source.
  keepsClientAddress: true,
  publishes: 4,
  problem: () => undefined,
  losesNames: (host) => {
    if (asksBySix(host) && !host.ipv6) {
      return "the host's name servers have IPv6 addresses only, and the kernel has no IPv6";
    }
    if (!isBlind(host) || serversOf(host).length > 0) return undefined;
    return lacksNameServer(host)
      ? noServer
      : `${host.resolvers!.stray} is out of its sandbox, and no name server is reached without it`;
  },
  refusal: (mapping, host, _, others: readonly PortMapping[] = []) => {
    if (mapping.protocol === "sctp") return refuse(mapping, "slirp4netns forwards tcp and udp only");
    if (mapping.family === 6) {
      return refuse(
        mapping,
        "slirp4netns listens on IPv4 addresses only; use 0.0.0.0 or 127.0.0.1, or --port-driver relay",
      );
    }
    // libslirp finds the client of an answer by the port that it comes from alone.
    if (
      others.some(({ protocol, port }) =>
        mapping.protocol === "udp" && protocol === "udp" && port === mapping.port
      )
    ) {
      return refuse(
        mapping,
        "slirp4netns publishes a UDP port of the container once; use --port-driver relay",
      );
    }
    if (mapping.protocol === "udp" && mapping.hostIp?.startsWith("127.")) {
      return refuse(
        mapping,
        "slirp4netns sends no answer to the host's loopback, which is kept from the container; " +
          "use another address of the host's, or --port-driver relay",
      );
    }
    return refuseLow(mapping, host);
  },
  publish: forward,
  connect: (target, options, ports) => {
    const ipv6 = options.ipv6 && target.host.ipv6 && !target.restricted;
    return {
      steps: [
        spawn(target, options, ipv6),
        ...(target.restricted ? [noWayOut] : []),
        ...(ipv6 ? configureIpv6(target.ifname) : []),
        ...ports.map((port) => forward({ ...target, guest: networkOf(options).address }, port)),
      ],
      result: withSeenServers(target, options, resultOf(target, options, ipv6)),
    };
  },
} satisfies Uplink;

/** Whether it finds no server in the host's resolv.conf. Its sandbox hides all but /etc and /run. */
function isBlind(host: Host): boolean {
  return lacksNameServer(host) || host.resolvers?.stray !== undefined;
}

function serversOf({ names }: Host): readonly string[] {
  return names?.nameservers ?? [];
}

/** If the sandbox hides the host's name servers, the container uses them directly. */
function withSeenServers({ host }: Target, { sandbox }: UplinkOptions, result: Result): Result {
  const hidden = sandbox && isBlind(host) && result.dns.nameservers !== undefined;
  return hidden && serversOf(host).length > 0 ? { ...result, dns: { nameservers: serversOf(host) } } : result;
}

function spawn(target: Target, options: UplinkOptions, ipv6: boolean): Step {
  const { ifname, socket, restricted } = target;
  const words = (pid: number) => [
    ...["slirp4netns", "--exit-fd=3", "--ready-fd=4", `--api-socket=${socket}`],
    ...[
      "--configure",
      `--mtu=${options.mtu}`,
      `--cidr=${cidrOf(options)}`,
      ...(ipv6 ? ["--enable-ipv6"] : []),
    ],
    ...(options.mac === undefined ? [] : [`--macaddress=${options.mac}`]),
    ...(options.hostLoopback && !restricted ? [] : ["--disable-host-loopback"]),
    ...(options.sandbox ? ["--enable-sandbox"] : []),
    ...(options.seccomp ? ["--enable-seccomp"] : []),
    // DNS queries can carry any data to the outside.
    ...(restricted || !options.dns ? ["--disable-dns"] : []),
    ...outbound(options, restricted),
    // By pid, not by paths: with --userns-path, version 1.2.0 stays outside the user namespace, and its sandbox fails.
    ...[String(pid), ifname],
  ];
  return keepRunning(target, {
    name: "slirp4netns",
    words,
    ends: "told",
    cmdlineMarker: socket,
    cleanupPaths: [socket],
  });
}

/**
 * A restricted container could remove our rules. So connections are also bound to an address that no host has, which
 * fails.
 */
function outbound({ outbound4, outbound6 }: UplinkOptions, restricted: boolean): readonly string[] {
  if (restricted) return ["--outbound-addr=240.0.0.1"];
  return [
    ...(outbound4 === undefined ? [] : [`--outbound-addr=${outbound4}`]),
    ...(outbound6 === undefined ? [] : [`--outbound-addr6=${outbound6}`]),
  ];
}

/**
 * slirp4netns advertises an IPv6 address only seconds after the start, so it is set here. IPv6 may be off in the
 * namespace. A missing sysctl is ignored.
 */
function configureIpv6(ifname: string): readonly Step[] {
  const set = (key: string) =>
    setSysctl("container", `net/ipv6/conf/${ifname}/${key}`, "0", { onError: "ignore" });
  return [
    ...[set("disable_ipv6"), set("accept_ra")],
    addAddress("container", `${network6.address}/${network6.length}`, ifname),
    addRoute("container", { dst: "::/0", gw: network6.gateway }, ifname),
  ];
}

function forward({ socket, guest }: Running, { protocol, hostIp, hostPort, port }: PortMapping): Send {
  return addForward(socket, {
    ...{ proto: protocol, host_addr: hostIp ?? "0.0.0.0", host_port: hostPort },
    ...{ guest_addr: guest, guest_port: port },
  });
}
