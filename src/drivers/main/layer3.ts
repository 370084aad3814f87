import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Ip, Result, Route } from "../../wire/cni/result.ts";
import { addressOf, family, hostLength, lengthOf, networkOf } from "../../net/address.ts";
import { addAddress, addRoute } from "../../plan/ip.ts";
import { setSysctl, type Step, type Sysctl } from "../../plan/step.ts";
import type { Lease } from "../plugin.ts";

/** @throws CniError in the reference's words where the IPAM has given none */
export function needAddresses({ ips }: Lease): void {
  if (ips.length === 0) throw new CniError("internal", "IPAM plugin returned missing IP config");
}

/** Whether addresses are masqueraded. Both backends of the reference are accepted; our own table is used for either. */
export function parseMasquerade(conf: Fields): boolean {
  const [wanted, backend] = [conf.boolean("ipMasq") ?? false, conf.string("ipMasqBackend")];
  if (wanted && backend !== undefined && backend !== "iptables" && backend !== "nftables") {
    throw new CniError("internal", `unknown ipmasq backend ${JSON.stringify(backend)}`);
  }
  return wanted;
}

/**
 * Turns on IPv6 in the container for these links, if the lease has an IPv6 address: a new namespace may have it off.
 * Router advertisements are ignored on a link with our addresses, because they would add a second address and a second
 * default route.
 */
export function enableIpv6({ ips }: Lease, ...links: readonly string[]): readonly Sysctl[] {
  if (!ips.some(({ address }) => family(address) === 6)) return [];
  const settings = [["lo/disable_ipv6", "0"]].concat(
    links.flatMap((link) => [[`${link}/disable_ipv6`, "0"], [`${link}/keep_addr_on_down`, "1"], [
      `${link}/accept_ra`,
      "0",
    ]]),
  );
  return settings.map(([key, value]) =>
    setSysctl("container", `net/ipv6/conf/${key}`, value!, { onError: "ignore" })
  );
}

/** Adds the lease's addresses to the container's link. */
export function addAddresses({ ips }: Lease, ifname: string): readonly Step[] {
  return ips.map(({ address }) => addAddress("container", address, ifname));
}

/**
 * Adds the lease's routes through the container's link. A route without `gw` uses the first gateway of its family.
 * Routes to one destination by several gateways become one route with several next hops
 * (containernetworking/plugins#601).
 */
export function addRoutes({ ips, routes }: Pick<Lease, "ips" | "routes">, ifname: string): readonly Step[] {
  const groups = new Map<string, Route[]>();
  for (const route of routes.map((route) => withGateway(route, ips))) {
    const key = `${networkOf(route.dst)} ${route.priority} ${route.table}`;
    groups.set(key, [...groups.get(key) ?? [], route]);
  }
  return [...groups.values()].map(([first, ...others]) => {
    // The kernel refuses a second next hop if the first has no gateway.
    const hops = first!.gw === undefined ? [] : others.flatMap(({ gw }) => gw ?? []);
    const line = addRoute("container", first!, ifname, [...new Set(hops)].filter((gw) => gw !== first!.gw));
    // Another network may have set a default route. The first one stays.
    return isDefault(first!.dst) ? { ...line, onError: "ignore-exists" } : line;
  });
}

function withGateway(route: Route, ips: readonly Ip[]): Route {
  const gw = route.gw ??
    (route.scope === undefined || route.scope === 0 ? gatewayFor(ips, route.dst) : undefined);
  return { ...route, ...(gw === undefined ? {} : { gw }) };
}

/** Whether a destination is the default route's. */
export function isDefault(dst: string): boolean {
  return lengthOf(dst) === 0;
}

/** The first gateway of the destination's family. */
export function gatewayFor(ips: readonly Ip[], dst: string): string | undefined {
  return ips.find(({ address, gateway }) => gateway !== undefined && family(address) === family(dst))
    ?.gateway;
}

/** An address as a prefix of one address: `10.1.2.3/32`. */
export function alone(address: string): string {
  return `${addressOf(address)}/${hostLength(address)}`;
}

/** The result, with the lease's addresses on one of its interfaces. */
export function withLease(made: Result, lease: Lease, index: number, own?: Result["dns"]): Result {
  return {
    ...made,
    ips: lease.ips.map((ip) => ({ ...ip, interface: index })),
    routes: lease.routes,
    dns: own ?? lease.dns,
  };
}
