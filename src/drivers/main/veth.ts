import type { Ip } from "../../wire/cni/result.ts";
import { family } from "../../net/address.ts";
import { linkNameProblem, macFrom, vethFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { VethEnd } from "../../plan/ip.ts";
import { keepUnforwarded } from "../../plan/nft/endpoint.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { setSysctl, type Step, type Sysctl } from "../../plan/step.ts";

/** The names and MAC addresses of an attachment's veth. They are known before it is made. */
export function vethEnds(at: Attachment, mac?: string): { host: VethEnd; container: VethEnd } {
  return {
    host: { name: vethFrom(at.digest), mac: macFrom(at.digest.slice(0, 64)) },
    container: { name: at.ifname, mac: mac ?? macFrom(at.digest) },
  };
}

/**
 * Sysctls for the host's link to containers. It ignores their router advertisements (CVE-2020-10749). It also does no
 * duplicate address detection. During that, for up to two seconds, the host sends no neighbour solicitation on the link
 * (ndisc_send_ns needs a link-local address), and so forwards nothing to the container.
 */
export function disableDuplicateDetection(link: string): readonly Sysctl[] {
  return ["accept_ra", "accept_dad"].map((key) =>
    setSysctl("host", `net/ipv6/conf/${link}/${key}`, "0", { onError: "ignore" })
  );
}

/** The sysctls that `forward` needs to know. */
export const forwardingSysctls = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/**
 * Turns on forwarding for the families of the addresses if it is off, for containers only. The bridges of overlays have
 * rules of their own, and may be there before any container is. For IPv4 the link has a switch of its own, which is off
 * where net.ipv4.conf.default.forwarding is.
 * @param link of the host, by which it reaches the container; absent: it reaches many
 */
export function forward(ips: readonly Ip[], seen: HostState, link?: string): readonly Step[] {
  const own = link !== undefined && forwardOf(ips).includes("net/ipv4/ip_forward")
    ? [setSysctl("host", linkForwarding(link), "1", { onError: "ignore", undoBy: "gc" })]
    : [];
  const wide = forwardOf(ips).filter((key) => seen.sysctls.get(key) !== "1").flatMap((key) => {
    const version = key === "net/ipv4/ip_forward" ? 4 : 6;
    const links = (seen.unforwarded?.() ?? []).filter((link) =>
      !/^(lo|(ov|vx)[0-9a-f]{11})$/.test(link) && linkNameProblem(link) === undefined
    );
    return [
      ...(links.length > 0 ? [keepUnforwarded(version, links)] : []),
      ...(version === 6 ? keepDefaultRoutes(seen) : []),
      forwardOn(key),
    ];
  });
  return [...wide, ...own];
}

/** Whether what comes by a link is forwarded. */
export function linkForwarding(link: string): string {
  return `net/ipv4/conf/${link}/forwarding`;
}

/** The forwarding sysctls of the addresses' families. */
function forwardOf(ips: readonly Ip[]): readonly string[] {
  return forwardingSysctls.filter((_, i) => ips.some(({ address }) => family(address) === (i === 0 ? 4 : 6)));
}

function forwardOn(key: string): Sysctl {
  return setSysctl("host", key, "1", { undoBy: "gc" });
}

/**
 * A host that forwards IPv6 ignores router advertisements and would lose default routes from them. This setting
 * (accept_ra 2) keeps them.
 */
function keepDefaultRoutes({ advertised = [] }: HostState): readonly Sysctl[] {
  return advertised.map((link) =>
    setSysctl("host", `net/ipv6/conf/${link}/accept_ra`, "2", { onError: "ignore", undoBy: "gc" })
  );
}

/**
 * What is missing between the container's link and the host: the other end of the veth, or forwarding.
 * @param way the link by which the host reaches the container
 */
export function lostVeth(
  ips: readonly Ip[],
  ifname: string,
  end: Link | undefined,
  seen: HostState,
  way = end?.name ?? "",
): string | undefined {
  const link = seen.inside?.links.get(ifname);
  if (link?.kind !== "veth" || link.linkIndex !== end?.index) {
    return `container interface "${ifname}" is not the other end of "${end?.name ?? ""}"`;
  }
  const off = forwardOf(ips).find((key) => seen.sysctls.get(key) !== "1") ??
    (ips.length > 0 ? [linkForwarding(way)] : []).find((key) => seen.sysctls.get(key) === "0");
  return off && `sysctl "${off}" is ${seen.sysctls.get(off) || "not there"}, not 1`;
}
