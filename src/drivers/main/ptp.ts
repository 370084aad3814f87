import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type Dns, hasDns, parseDns, type Result } from "../../wire/cni/result.ts";
import { addressOf, networkOf } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { addAddress, addRoute, addVeth, route, setLink } from "../../plan/ip.ts";
import { guardVeth, join, keepInternal, masquerade } from "../../plan/nft/endpoint.ts";
import { tryRules } from "../../plan/nft/table.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { Step } from "../../plan/step.ts";
import { hostLinks, ownIps } from "../../wire/cni/previous_result.ts";
import type { Lease, Lookups } from "../plugin.ts";
import { endpointOf } from "./endpoint.ts";
import { addRoutes, alone, enableIpv6, needAddresses, parseMasquerade, withLease } from "./layer3.ts";
import {
  disableDuplicateDetection,
  forward,
  forwardingSysctls,
  linkForwarding,
  lostVeth,
  vethEnds,
} from "./veth.ts";

interface Conf {
  readonly mtu?: number;
  readonly ipMasq: boolean;
  /** Our own option: the container can open connections only to its neighbours and to the host. */
  readonly internal: boolean;
  readonly dns?: Dns;
}

/** Reads a ptp configuration. */
export function parse(conf: Fields): Conf {
  const dns = parseDns(conf.object("dns"));
  if (conf.object("ipam")?.string("type") === undefined) {
    throw new CniError(
      "invalidConfig",
      'Cannot use type "ptp" without addresses: give it an "ipam" with a "type"',
    );
  }
  return {
    // `up` and the hook set `pathMtu` to the MTU of the host's way out.
    mtu: conf.integer("mtu", { min: 0, max: 65535 }) || conf.integer("pathMtu", { min: 0, max: 65535 }),
    ipMasq: parseMasquerade(conf),
    internal: conf.boolean("internal") ?? false,
    ...(hasDns(dns) ? { dns } : {}),
  };
}

/** Looks up the forwarding sysctls, and the links whose router advertisements must still be accepted. */
export function lookups(): Lookups {
  return { sysctls: forwardingSysctls, advertised: true };
}

/** Makes the veth. One end is in the container, the other on the host, on no bridge. */
export function link({ mtu }: Conf, at: Attachment): Plan {
  const { host, container } = vethEnds(at);
  return {
    steps: [
      addVeth({ host, container, netns: at.netns, mtu }),
      setLink("host", host.name, "up"),
      ...disableDuplicateDetection(host.name),
      setLink("container", container.name, "up"),
    ],
    result: {
      interfaces: [host, { ...container, sandbox: at.netns }],
      ips: [],
      routes: [],
      dns: {},
    },
  };
}

/** Adds a route for each address between both ends. The container's link leads to the host only. */
export function address(
  { ipMasq, internal, dns }: Conf,
  at: Attachment,
  lease: Lease,
  made: Result,
  seen: HostState,
): Plan {
  needAddresses(lease);
  const host = made.interfaces[0]!.name;
  const endpoint = endpointOf(at, made)!;
  return {
    steps: [
      ...lease.ips.flatMap(({ address, gateway }) => routeBetween(host, at.ifname, address, gateway)),
      ...forward(lease.ips, seen, host),
      ...enableIpv6(lease, at.ifname),
      ...addRoutes(lease, at.ifname),
      ...guardVeth(endpoint),
      ...join(endpoint, lease.ips),
      ...(internal ? [keepInternal(endpoint)] : []),
      ...(ipMasq ? masquerade(endpoint, lease.ips) : []),
    ],
    result: withLease(made, lease, 1, dns),
  };
}

function routeBetween(
  host: string,
  ifname: string,
  address: string,
  gateway: string | undefined,
): readonly Step[] {
  if (gateway === undefined) {
    throw new CniError(
      "invalidConfig",
      `Cannot route ${address}: its IPAM gives no gateway, which type "ptp" needs`,
    );
  }
  const [ip, subnet] = [addressOf(address), networkOf(address)];
  return [
    addAddress("host", alone(gateway), host),
    addRoute("host", { dst: alone(address) }, host),
    addAddress("container", address, ifname, "noprefixroute"),
    route("add", "container", {
      ...{ dst: alone(gateway), dev: ifname },
      attributes: [["scope", "link"], ["src", ip]],
    }),
    route("add", "container", {
      ...{ dst: subnet, dev: ifname },
      attributes: [["via", gateway], ["src", ip]],
    }),
  ];
}

/** Looks up the host's routes to the container. */
export function evidence(_conf: Conf, { ifname }: Attachment, made: Result): Lookups {
  const sysctls = hostLinks(made).map(linkForwarding);
  return { sysctls, reached: ownIps(made, ifname).map(({ address }) => addressOf(address)) };
}

/** Checks the other end of the veth, forwarding, and the host's routes to the addresses. */
export function checkDrift(
  _conf: Conf,
  { ifname }: Attachment,
  made: Result,
  seen: HostState,
): string | undefined {
  const [ips, [name = ""]] = [ownIps(made, ifname), hostLinks(made)];
  const problem = lostVeth(ips, ifname, seen.links.get(name), seen);
  if (problem !== undefined) return problem;
  const away = ips.map(({ address }) => addressOf(address)).find((address) =>
    seen.reached?.get(address) !== name
  );
  return away && `Failed to find the host's route to ${away}`;
}

/** Tests for masquerading. */
export function kernelProbe({ ipMasq }: Conf): readonly string[] {
  return ipMasq ? tryRules : [];
}
