import { type Network, scopeOf } from "./catalog.ts";
import type { NetworkEndpoint } from "./endpoints.ts";

/** A network as `docker network inspect` shows it. */
export function describe(
  network: Network,
  endpoints: readonly NetworkEndpoint[],
): Readonly<Record<string, unknown>> {
  const own = endpoints.filter((one) => one.network === network.name && one.isRunning);
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: scopeOf(network),
    Driver: network.driver,
    EnableIPv4: network.ipv4,
    EnableIPv6: network.ipv6,
    IPAM: {
      Driver: network.ipamDriver ?? "default",
      Options: network.ipamOptions ?? {},
      Config: network.ipam,
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: network.configFrom ?? "" },
    ConfigOnly: network.configOnly ?? false,
    Containers: Object.fromEntries(own.map((one) => [one.container, {
      Name: one.container,
      EndpointID: one.endpointId,
      MacAddress: one.mac,
      IPv4Address: one.ipv4,
      IPv6Address: one.ipv6,
    }])),
    Options: network.options,
    Labels: network.labels,
  };
}

/** A network as a row of `docker network ls`; its id is whole where that is asked for. */
export function row(network: Network, isWhole: boolean): Readonly<Record<string, unknown>> {
  return {
    // Docker's only function of a row: {{.Label "team"}}.
    Label: (key: string) => network.labels[key] ?? "",
    CreatedAt: network.created,
    Driver: network.driver,
    ID: isWhole ? network.id : network.id.slice(0, 12),
    IPv4: String(network.ipv4),
    IPv6: String(network.ipv6),
    Internal: String(network.internal),
    Labels: Object.entries(network.labels).map(([key, value]) => `${key}=${value}`).join(","),
    Name: network.name,
    Scope: scopeOf(network),
  };
}
