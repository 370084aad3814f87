import { type PortMapping, showMapping } from "../../net/port_mapping.ts";
import type { Host } from "./uplink.ts";

/** The message that a port cannot be published, with the reason. */
export function refuse(mapping: PortMapping, why: string): string {
  return `Cannot publish "${showMapping(mapping)}" without root: ${why}`;
}

/** Refuses the ports that only root may listen on. */
export function refuseLow(mapping: PortMapping, host: Host): string | undefined {
  const why = whyLow(mapping, host);
  return why && refuse(mapping, why);
}

/** The reason why only root may listen on a port, with the remedy; undefined if others may too. */
export function whyLow({ hostPort }: PortMapping, { lowestPort }: Host): string | undefined {
  if (hostPort >= lowestPort) return undefined;
  return `ports below ${lowestPort} are root's; take a higher one, have root set ` +
    `sysctl net.ipv4.ip_unprivileged_port_start=${hostPort}, or have root grant it through ocinet helper`;
}
