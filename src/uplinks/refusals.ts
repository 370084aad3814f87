import { type PortMapping, showMapping } from "../net/port_mapping.ts";
import type { Host } from "./uplink.ts";

/** Says that a port cannot be published, and why. */
export function refuse(mapping: PortMapping, why: string): string {
  return `Cannot publish "${showMapping(mapping)}" without root: ${why}`;
}

/** Refuses the ports that are root's. */
export function refuseLow(mapping: PortMapping, { lowestPort }: Host): string | undefined {
  if (mapping.hostPort >= lowestPort) return undefined;
  return refuse(
    mapping,
    `ports below ${lowestPort} are root's; take a higher one, have root set ` +
      `sysctl net.ipv4.ip_unprivileged_port_start=${mapping.hostPort}, or have root grant it through ocinet helper`,
  );
}
