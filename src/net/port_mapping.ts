import { type Family, family, parseAddress } from "./address.ts";
import type { ProxyVersion } from "./proxy_protocol.ts";

/** The protocols that have ports. */
export type Protocol = "tcp" | "udp" | "sctp";

/** A port of the host that leads to a port of the container. */
export interface PortMapping {
  readonly protocol: Protocol;
  /** Only connections to this host address; absent means all host addresses. */
  readonly hostIp?: string;
  /** Only this address family; absent means both. */
  readonly family?: Family;
  readonly hostPort: number;
  readonly port: number;
  /** A range of so many ports that have the same numbers on both sides, of which `hostPort` and `port` are the first. */
  readonly count?: number;
  /** Set if our relay forwards the port, instead of the container's uplink. */
  readonly relay?: Relaying;
  /** In a session: the name of the uplink that forwards the port from the host. */
  readonly uplink?: string;
}

/** How our relay forwards a port. */
export interface Relaying {
  /**
   * The header that tells the container the client's address. Without it, the container sees its own address.
   */
  readonly proxyProtocol?: ProxyVersion;
}

const syntax = "[HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]";

/**
 * Reads the value of `--publish`. An IPv6 host address is written in brackets. `0.0.0.0` and `[::]` mean all addresses
 * of a family.
 * @throws Error naming the value and the reason
 */
export function parsePublish(text: string): readonly PortMapping[] {
  const match = /^(?:(?:\[([^\]]*)\]|([0-9.]+)):)?([0-9]+(?:-[0-9]+)?):([0-9]+(?:-[0-9]+)?)(?:\/([a-z]+))?$/
    .exec(text);
  if (!match) throw problem(text, misspelt(text) ?? `it is not ${syntax}`);
  const [, ip6, ip4, hostPorts, ports, protocol = "tcp"] = match;
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") {
    throw problem(text, `protocol "${protocol}" is neither tcp, udp nor sctp`);
  }
  const [hosts, targets] = [parseRange(text, hostPorts!), parseRange(text, ports!)];
  if (hosts.length !== targets.length) {
    throw problem(text, `the host's range has ${hosts.length} ports and the container's ${targets.length}`);
  }
  const where = parseHost(text, ip4 ?? ip6);
  return hosts.map((hostPort, i) => ({ protocol, ...where, hostPort, port: targets[i]! }));
}

function misspelt(text: string): string | undefined {
  const [, ip6, rest] = /^([0-9a-fA-F:]*:[0-9a-fA-F:]*):(\d+:\d+.*)$/.exec(text) ?? [];
  return ip6 && parseAddress(ip6) ? `an IPv6 address stands in brackets: [${ip6}]:${rest}` : undefined;
}

function parseRange(text: string, ports: string): readonly number[] {
  const [from, to = from] = ports.split("-").map(Number) as [number, number?];
  if (from < 1 || to! > 65535) throw problem(text, "a port is a number from 1 to 65535");
  if (from > to!) throw problem(text, `the range ${ports} ends before it begins`);
  return Array.from({ length: to! - from + 1 }, (_, i) => from + i);
}

function parseHost(text: string, ip: string | undefined): Pick<PortMapping, "hostIp" | "family"> {
  if (ip === undefined) return {};
  const host = parseHostIp(ip);
  if (!host) throw problem(text, `"${ip}" is not an address`);
  return host;
}

/**
 * Parses the host address of a mapping. `0.0.0.0` and `::` mean all addresses of their family. Returns undefined for
 * other text.
 */
export function parseHostIp(text: string): Pick<PortMapping, "hostIp" | "family"> | undefined {
  const address = parseAddress(text);
  if (!address) return undefined;
  const anywhere = address === "0.0.0.0" || address === "::";
  return { ...(anywhere ? {} : { hostIp: address }), family: family(address) };
}

/** Binds the mappings that name no host address to this one. */
export function boundTo(binding: string | undefined, ports: readonly PortMapping[]): readonly PortMapping[] {
  const host = binding === undefined ? undefined : parseHostIp(binding);
  if (!host) return ports;
  return ports.map((port) =>
    port.hostIp === undefined && port.family === undefined ? { ...port, ...host } : port
  );
}

function problem(text: string, reason: string): Error {
  return new Error(`Cannot publish "${text}": ${reason}`);
}

/** Fewer ports than this are a mapping each: maps of single ports cost the same with any number of containers. */
const leastRange = 16;

/** What of single ports a record has room for. */
const mostMappings = 28_000;

/**
 * Joins consecutive ports on all of the host's addresses that lead to the same numbers, where the kernel forwards them.
 * @throws Error where there are more mappings than a record has room for
 */
export function joined(ports: readonly PortMapping[]): readonly PortMapping[] {
  const runs: PortMapping[][] = [];
  for (const one of ports) {
    const last = runs.at(-1);
    const isNext = last && canJoin(one) && canJoin(last[0]!) && one.hostPort === last.at(-1)!.hostPort + 1 &&
      one.protocol === last[0]!.protocol && one.family === last[0]!.family;
    if (isNext) last.push(one);
    else runs.push([one]);
  }
  const all = runs.flatMap((run) => run.length < leastRange ? run : [{ ...run[0]!, count: run.length }]);
  if (all.length <= mostMappings) return all;
  throw new Error(
    `Cannot publish ${ports.length} ports: there may be ${mostMappings}; a range without HOSTIP that has the same ` +
      "numbers on both sides counts as one",
  );
}

function canJoin({ hostIp, hostPort, port, relay, uplink }: PortMapping): boolean {
  return hostPort === port && hostIp === undefined && relay === undefined && uplink === undefined;
}

/** A mapping for each port. */
export function expanded(ports: readonly PortMapping[]): readonly PortMapping[] {
  return ports.flatMap((one) => {
    const { count, ...first } = one;
    if (count === undefined) return [one];
    return Array.from(
      { length: count },
      (_, i) => ({ ...first, hostPort: first.hostPort + i, port: first.port + i }),
    );
  });
}

/** The host's ports of a mapping: "8080", or "20000-21999". */
export function showHostPorts({ hostPort, count }: Pick<PortMapping, "hostPort" | "count">): string {
  return count === undefined ? `${hostPort}` : `${hostPort}-${hostPort + count - 1}`;
}

/** Reads such text. @returns the first port and the last */
export function hostPortsIn(text: string): readonly [number, number] {
  const [first, last = first] = text.split("-").map(Number) as [number, number?];
  return [first, last!];
}

/** Whether such text has a port. */
export function hasHostPort(text: string, port: number): boolean {
  const [first, last] = hostPortsIn(text);
  return first <= port && port <= last;
}

/** A mapping in the syntax of `--publish`. */
export function showMapping(mapping: PortMapping): string {
  const { protocol, hostIp, family, port } = mapping;
  const anywhere = family === 4 ? "0.0.0.0:" : family === 6 ? "[::]:" : "";
  const host = hostIp === undefined ? anywhere : hostIp.includes(":") ? `[${hostIp}]:` : `${hostIp}:`;
  const hostPorts = showHostPorts(mapping);
  return `${host}${hostPorts}:${mapping.count === undefined ? port : hostPorts}/${protocol}`;
}

/** Whether two mappings need the same port of the same address. */
export function collide(a: PortMapping, b: PortMapping): boolean {
  return a.protocol === b.protocol && a.hostPort < b.hostPort + (b.count ?? 1) &&
    b.hostPort < a.hostPort + (a.count ?? 1) &&
    (a.family === undefined || b.family === undefined || a.family === b.family) &&
    (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp);
}
