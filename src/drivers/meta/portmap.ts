import { addressOf, family, networkOf } from "../../net/address.ts";
import { vethFrom } from "../../net/names.ts";
import { expanded, type PortMapping, showHostPorts } from "../../net/port_mapping.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import { acceptLoopbackAnswers } from "../../plan/ip.ts";
import { withElements } from "../../plan/nft/element.ts";
import {
  type Endpoint,
  guardLocalnet,
  masqueradeInbound,
  neighbour,
  openPort,
} from "../../plan/nft/endpoint.ts";
import { forwardPort, forwardPortWhen, holdPort, sparePort6 } from "../../plan/nft/ports.ts";
import { tryRules } from "../../plan/nft/table.ts";
import type { Plan } from "../../plan/plan.ts";
import { endFlowsTo, type Exec, exec, type Flows, setSysctl, type Step } from "../../plan/step.ts";
import { CniError } from "../../wire/cni/error.ts";
import { endLinks, ownIps } from "../../wire/cni/previous_result.ts";
import type { Ip, Result } from "../../wire/cni/result.ts";
import { endpointLookups, endpointOf, isOurs } from "../main/endpoint.ts";
import { hasMode } from "../main/gateway_modes.ts";
import type { Lookups } from "../plugin.ts";
import type { Conf } from "./portmap_conf.ts";

export { parse } from "./portmap_conf.ts";

/** Looks up the host's routes to addresses that other plugins made. */
export function lookups({ mappings }: Conf, at: Attachment, made?: Result): Lookups {
  if (mappings.length === 0) return {};
  const { reached } = endpointLookups(at, made);
  return { sysctls: [bridgeCalls6], ...(reached ? { reached, links: endLinks(made!) } : {}) };
}

/** Whether bridged packets pass ip6tables and so nat. Docker and Kubernetes turn it on. */
const bridgeCalls6 = "net/bridge/bridge-nf-call-ip6tables";

/**
 * Whether answers to ::1 are lost. A bridge then translates them back to ::1, and the kernel accepts no packet to ::1
 * from a link.
 */
function losesLoopback6(
  { link }: Endpoint,
  at: Attachment,
  made: Result,
  { sysctls, links }: HostState,
): boolean {
  const isBridge = isOurs(at, made)
    ? link !== vethFrom(at.digest)
    : links.get(link)?.kind === "bridge" || endLinks(made).length > 1;
  return isBridge && sysctls.get(bridgeCalls6) === "1";
}

/** @throws CniError for a port on ::1 whose answers would be lost */
export function refuseLost({ mappings }: Conf, at: Attachment, made: Result, seen: HostState): void {
  const endpoint = endpointOf(at, made, seen.reached);
  const six = mappings.find(({ hostIp }) => hostIp === "::1");
  if (!six || !endpoint || !losesLoopback6(endpoint, at, made, seen)) return;
  throw new CniError(
    "internal",
    `Cannot publish "[::1]:${six.hostPort}" by bridge "${endpoint.link}": sysctl ${bridgeCalls6} is 1, and answers to ` +
      "::1 are lost; set it to 0, or use 127.0.0.1",
  );
}

/** Forwards the host's ports to the container's first address of each family. */
export function plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  refuseLost(conf, at, made, seen);
  return forwardPorts(conf, at, made, seen);
}

/** Like `plan`, but for ports that are published already: it never refuses. */
export function forwardPorts(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  const { mappings, masks } = conf;
  const endpoint = endpointOf(at, made, seen.reached);
  if (mappings.length === 0) return { steps: [], result: made };
  const ips = ledIps(conf, at, made);
  const spares6 = endpoint !== undefined && losesLoopback6(endpoint, at, made, seen);
  const everywhere = mappings.filter(({ hostIp }) => hostIp === undefined);
  const onAll = new Set(
    ips.flatMap(({ address }) =>
      everywhere.filter((one) => leadsTo(one, address)).map((one) => ofFamily(one, address))
    ),
  );
  return {
    steps: [
      ...(masks === "none" || !endpoint ? [] : reachableFromLoopback(endpoint, at, made, ips)),
      ...(endpoint && masks !== "none" && !isOurs(at, made) ? neighbour(endpoint, ips) : []),
      ...(endpoint ? maskingSteps(conf, endpoint, ips) : []),
      ...mappings.flatMap((mapping) => forwardMapping(conf, at, mapping, { endpoint, ips, spares6, onAll })),
      ...(endpoint ? openPorts(conf, endpoint, firstIps(made, at)) : []),
      ...mappings.flatMap(forgetFlows),
    ],
    result: made,
  };
}

/** Opens the ports on the container's addresses that are routed. */
function openPorts({ mappings, modes }: Conf, endpoint: Endpoint, ips: readonly Ip[]): readonly Step[] {
  return ips.filter(hasMode(modes, "routed")).map(({ address }) => addressOf(address)).flatMap((address) =>
    expanded(mappings).filter((one) => leadsTo(one, address)).map((one) =>
      openPort(endpoint, { ...one, address })
    )
  );
}

/** The target of port forwarding. */
interface Target {
  readonly endpoint: Endpoint | undefined;
  readonly ips: readonly Ip[];
  /** Ports on [::1] are not forwarded. */
  readonly spares6: boolean;
  /** The ports that are published on all addresses, of each family. */
  readonly onAll: ReadonlySet<string>;
}

function ofFamily(mapping: PortMapping, address: string): string {
  return `${family(address)} ${mapping.protocol} ${showHostPorts(mapping)}`;
}

function forwardMapping(
  { conditions, held }: Conf,
  at: Attachment,
  mapping: PortMapping,
  { endpoint, ips, spares6, onAll }: Target,
): readonly Step[] {
  const owner = endpoint?.owner ?? at.containerId;
  return ips.map(({ address }) => addressOf(address)).filter((address) => leadsTo(mapping, address))
    .flatMap((address) => {
      const condition = conditions[family(address)];
      // A range with conditions is led port by port.
      const ports = condition === "" ? [mapping] : expanded([mapping]);
      return ports.map((one) => ({ condition, port: { ...one, address } }));
    }).flatMap(({ condition, port }) => {
      const { address } = port;
      const isOnAll = mapping.hostIp === undefined;
      const beside = [
        ...(isOnAll && held ? [holdPort(port)] : []),
        ...(isOnAll && spares6 && family(address) === 6 ? [sparePort6(port)] : []),
      ];
      const lead = condition === ""
        ? [forwardPort(owner, port, onAll.has(ofFamily(mapping, address)))]
        : forwardPortWhen(owner, port, condition, vethFrom(at.digest));
      return [...lead.slice(0, -1), withElements(lead.at(-1)!, beside)];
    });
}

function leadsTo(mapping: PortMapping, address: string): boolean {
  return mapping.family === undefined || mapping.family === family(address);
}

/** The masquerading that differs from what our table does by default. */
function maskingSteps(
  { masks, markChain }: Conf,
  endpoint: Endpoint,
  ips: readonly Ip[],
): readonly Step[] {
  if (markChain === undefined || masks === "none") {
    if (masks === "needed") return [];
    return ips.map(({ address }) => masqueradeInbound(endpoint, address, masks === "all"));
  }
  return ips.flatMap(({ address }) => {
    const from = masks === "all" ? [undefined] : [networkOf(address), loopback[family(address)]];
    return [
      masqueradeInbound(endpoint, address, false),
      ...from.map((source) => mark(markChain, addressOf(address), source)),
    ];
  });
}

const loopback = { 4: "127.0.0.0/8", 6: "::1" } as const;

/**
 * Lets iptables mark forwarded packets to the container. The rule comes first, before any rule that acts on the mark.
 */
function mark(chain: string, address: string, source: string | undefined): Exec {
  const program = family(address) === 4 ? "iptables" : "ip6tables";
  const from = source === undefined ? [] : ["-s", source];
  const rule = [...from, "-d", address, "-m", "conntrack", "--ctstate", "DNAT", "-j", chain];
  const call = (verb: string) => [program, "--wait", "-t", "nat", verb, "POSTROUTING", ...rule];
  return exec("host", `mark ${address} from ${source ?? "all"}`, { run: call("-I"), undo: call("-D") });
}

/** The addresses that ports are forwarded to. */
export function ledIps({ modes }: Conf, at: Attachment, made: Result): readonly Ip[] {
  const isRouted = hasMode(modes, "routed");
  return firstIps(made, at).filter((ip) => !isRouted(ip));
}

/** The container's first address of each family. */
function firstIps(made: Result, at: Attachment): readonly Ip[] {
  const ips = ownIps(made, at.ifname);
  return [4, 6].flatMap((of) => ips.filter(({ address }) => family(address) === of).slice(0, 1));
}

/**
 * Lets packets from 127.0.0.1 leave by the host's link to the container, and lets answers to ::1 arrive on it.
 * Addresses are translated in both cases.
 */
function reachableFromLoopback(
  { link }: Endpoint,
  at: Attachment,
  made: Result,
  ips: readonly Ip[],
): readonly Step[] {
  const own = isOwnLink(made, link);
  const setting = setSysctl("host", routeLocalnet(link), "1", { onError: "ignore" });
  const four = ips.some(({ address }) => family(address) === 4);
  return [
    // Our own main types have set this guard already.
    ...(four && !isOurs(at, made) ? [guardLocalnet(link, own)] : []),
    ...ips.map(({ address }): Step => ({
      ...(family(address) === 6 ? acceptLoopbackAnswers(link) : setting),
      ...(own ? {} : { undoBy: "gc" }),
    })),
  ];
}

/** Whether the link belongs to the container. A host's only link does; if there are others, it is the bridge. */
function isOwnLink(made: Result, link: string): boolean {
  const links = endLinks(made);
  return links.length === 1 && links[0] === link;
}

function routeLocalnet(link: string): string {
  return `net/ipv4/conf/${link}/route_localnet`;
}

/** Looks up whether packets from 127.0.0.1 may leave by the host's link. */
export function evidence(conf: Conf, at: Attachment, made: Result): Lookups {
  const { mappings, masks } = conf;
  // For another program's result, only the host's routes tell which link it is.
  const isKnown = isOurs(at, made) || endLinks(made).length === 1;
  const link = isKnown ? endpointOf(at, made)?.link : undefined;
  const four = ledIps(conf, at, made).some(({ address }) => family(address) === 4);
  if (mappings.length === 0 || masks === "none" || link === undefined || !four) return {};
  return { sysctls: [routeLocalnet(link)] };
}

/** Checks that sysctl. */
export function checkDrift(
  _conf: Conf,
  _at: Attachment,
  _made: Result,
  { sysctls }: HostState,
): string | undefined {
  const off = [...sysctls].find(([key, value]) => key.endsWith("/route_localnet") && value === "0");
  return off && `sysctl "${off[0]}" is 0, not 1`;
}

/** Tests for rules. */
export function kernelProbe(): readonly string[] {
  return tryRules;
}

function forgetFlows(mapping: PortMapping): readonly Flows[] {
  return mapping.protocol === "udp" ? [endFlowsTo(showHostPorts(mapping), mapping.hostIp)] : [];
}
