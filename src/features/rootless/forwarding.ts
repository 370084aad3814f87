import type { PortMapping } from "../../net/port_mapping.ts";
import { type ProxyVersion, proxyVersions } from "../../net/proxy_protocol.ts";
import type { OptionValues } from "../../wire/oci/options.ts";
import { refuse, refuseLow, whyLow } from "../../drivers/uplinks/refusals.ts";
import { relayRefusal } from "../../drivers/uplinks/relay.ts";
import type { Host, Uplink } from "../../drivers/uplinks/uplink.ts";
import type { Limits } from "../../net/limits.ts";

const drivers = ["uplink", "relay"] as const;

/** Who is to forward a rootless container's ports. */
export interface Forwarding {
  /** Absent: the uplink where it can, or else our relay. */
  readonly driver?: typeof drivers[number];
  /** The header by which the container learns who connects, which only the relay writes. */
  readonly proxyProtocol?: ProxyVersion;
}

/** Reads the options. @throws Error naming the option, the value and the reason */
export function parseForwarding(given: OptionValues): Forwarding {
  const driver = oneOf(given, "port-driver", drivers);
  const proxyProtocol = oneOf(given, "proxy-protocol", proxyVersions);
  if (driver === "uplink" && proxyProtocol) {
    throw new Error(
      "Cannot use --proxy-protocol with --port-driver=uplink: only the relay writes it; leave --port-driver out",
    );
  }
  return { ...(driver ? { driver } : {}), ...(proxyProtocol ? { proxyProtocol } : {}) };
}

function oneOf<T extends string>(given: OptionValues, option: string, known: readonly T[]): T | undefined {
  const value = given.get(option)?.at(-1);
  const found = known.find((word) => word === value);
  if (value === undefined || found) return found;
  throw new Error(`Cannot use --${option} ${JSON.stringify(value)}: there are ${known.join(", ")}`);
}

/** Root's ports are led by rules, which need no choice. @throws Error for who makes one as root */
export function refuseForwardingOfRoot({ driver, proxyProtocol }: Forwarding): void {
  const option = driver ? "port-driver" : proxyProtocol ? "proxy-protocol" : undefined;
  if (!option) return;
  throw new Error(
    `Cannot use --${option} as root: nft leads root's ports, and the container sees who connects; leave it out`,
  );
}

/** For whom ports are to be forwarded. */
export interface Forwarded {
  readonly host: Host;
  readonly restricted: boolean;
  readonly limits: Limits;
  /** Whether the container runs already. */
  readonly runs: boolean;
  /** The container's ports that are forwarded already. */
  readonly others?: readonly PortMapping[];
}

/** Each port as it will be forwarded, or why it cannot be. */
export function forwarders(
  uplink: Uplink,
  ports: readonly PortMapping[],
  forwarding: Forwarding,
  forwarded: Forwarded,
): readonly (PortMapping | string)[] {
  const found: (PortMapping | string)[] = [];
  for (const port of ports) {
    const others = [...forwarded.others ?? [], ...found.filter((one) => typeof one !== "string")];
    found.push(forwarder(uplink, port, forwarding, { ...forwarded, others }));
  }
  return found;
}

/** A port as it will be forwarded, or why it cannot be. */
export function forwarder(
  uplink: Uplink,
  port: PortMapping,
  { driver, proxyProtocol }: Forwarding,
  forwarded: Forwarded,
): PortMapping | string {
  const relayed = { ...port, relay: proxyProtocol ? { proxyProtocol } : {} };
  const problem = relayProblem(port, proxyProtocol !== undefined, forwarded);
  if (driver === "relay" || proxyProtocol) return problem ?? relayed;
  const refusal = uplinkProblem(uplink, port, forwarded);
  if (refusal === undefined) return port;
  if (driver === "uplink") return refusal;
  return problem === undefined ? relayed : refusalOfBoth(port, refusal, problem, forwarded);
}

/** That a port is root's is what a person can act on, whatever else keeps the uplink from it. */
function refusalOfBoth(
  port: PortMapping,
  uplinks: string,
  relays: string,
  { host, runs }: Forwarded,
): string {
  const low = refuseLow(port, host);
  if (relays !== low || uplinks === low) return uplinks;
  return runs ? low : `${uplinks}; ${whyLow(port, host)}`;
}

function uplinkProblem(
  uplink: Uplink,
  port: PortMapping,
  { host, restricted, runs, others = [] }: Forwarded,
) {
  if (runs && !uplink.publish) return refuse(port, `${uplink.name} takes its ports when it starts`);
  return uplink.refusal(port, host, restricted, others.filter(({ relay }) => !relay));
}

function relayProblem(port: PortMapping, proxied: boolean, { host, limits }: Forwarded): string | undefined {
  const rate = limits.rateIn !== undefined
    ? "rate-in"
    : limits.rateOut !== undefined
    ? "rate-out"
    : undefined;
  if (rate) return refuse(port, `what the relay forwards does not pass the link that --${rate} holds`);
  return relayRefusal(port, host, proxied);
}
