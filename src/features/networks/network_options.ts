import type { IpamConfig, IpamOptions } from "./ipam_options.ts";

/** What is wanted of a new network. */
export interface NetworkOptions extends IpamOptions {
  readonly driver: string;
  readonly ipamDriver: string;
  /** Options of an IPAM driver that is a plugin. */
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  /** It is no network, but what others are made of. */
  readonly configOnly?: boolean;
  /** The configuration that it is made of. */
  readonly configFrom?: string | undefined;
}

/** What `--ipam-driver` may be, beside plugins of Docker's. */
export const ownIpam = ["default", "host-local"];

/** Whether the driver's networks are routed by the host. */
export function isRouted(driver: string): boolean {
  return driver === "bridge" || driver === "ptp";
}

/** On a link of the administrator's the gateway is theirs: without one that is named there is no way out. */
export function routesOf(
  ipam: readonly IpamConfig[],
  driver: string,
  { internal, gateways }: NetworkOptions,
) {
  const leads = (config: IpamConfig) =>
    !internal && (isRouted(driver) || gateways.length > 0 && config.Gateway);
  return ipam.filter(leads).map(({ Subnet }) => ({ dst: Subnet.includes(":") ? "::/0" : "0.0.0.0/0" }));
}
