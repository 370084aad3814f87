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

/** A mapping in the syntax of `--publish`. */
export function showMapping({ protocol, hostIp, family, hostPort, port }: PortMapping): string {
  const anywhere = family === 4 ? "0.0.0.0:" : family === 6 ? "[::]:" : "";
  const host = hostIp === undefined ? anywhere : hostIp.includes(":") ? `[${hostIp}]:` : `${hostIp}:`;
  return `${host}${hostPort}:${port}/${protocol}`;
}

/** Whether two mappings need the same port of the same address. */
export function collide(a: PortMapping, b: PortMapping): boolean {
  return a.protocol === b.protocol && a.hostPort === b.hostPort &&
    (a.family === undefined || b.family === undefined || a.family === b.family) &&
    (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp);
}
