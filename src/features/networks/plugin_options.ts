import { type Driver, drivers } from "./driver_options.ts";

/** Options that the drivers have, where an engine's plugin passes them on. */
const known = [
  "type",
  "parent",
  "mode",
  "macvlan_mode",
  "ipvlan_mode",
  "mtu",
  "com.docker.network.driver.mtu",
  "com.docker.network.bridge.name",
  "com.docker.network.bridge.enable_icc",
  "com.docker.network.bridge.enable_ip_masquerade",
  "com.docker.network.bridge.host_binding_ipv4",
];

/**
 * The driver of a network that an engine leaves to us, which its option `type` names.
 * @param also options that the engine has beside those of the drivers
 * @throws Error for an option that nothing here reads
 */
export function driverOf(
  options: Readonly<Record<string, string>>,
  also: readonly string[] = [],
): Driver {
  const unknown = Object.keys(options).find((key) => !known.includes(key) && !also.includes(key));
  if (unknown !== undefined) {
    throw new Error(
      `Cannot use option ${JSON.stringify(unknown)} of the network: there are ${
        [...known, ...also].join(", ")
      }`,
    );
  }
  const type = options["type"] ?? "bridge";
  const driver = drivers.find((one) => one === type);
  if (driver) return driver;
  throw new Error(`Cannot use option type ${JSON.stringify(type)}: it is none of ${drivers.join(", ")}`);
}
