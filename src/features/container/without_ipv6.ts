import { asObject, type Config } from "../../wire/oci/config.ts";
import type { NetworkList, PluginConf } from "../../wire/cni/network_list.ts";

/** Whether a bundle's config.json switches IPv6 off. The runtime sets its sysctls after its hooks, over ours. */
export function switchesIpv6Off(config: Config | undefined): boolean {
  const sysctls = asObject(asObject(config?.["linux"])["sysctl"]);
  return String(sysctls["net.ipv6.conf.all.disable_ipv6"]) === "1";
}

/**
 * A network without its IPv6 subnets, which a container without IPv6 would lose its addresses of (moby#48971).
 * @returns the same for a network that has no others
 */
export function withoutIpv6(list: NetworkList): NetworkList {
  const [main, ...others] = list.plugins as readonly [PluginConf, ...PluginConf[]];
  const ipam = main["ipam"];
  if (typeof ipam !== "object" || ipam === null) return list;
  const kept = Object.fromEntries(
    Object.entries(ipam).map(([key, value]) => [key, Array.isArray(value) ? value.filter(isNotIpv6) : value]),
  );
  const isLeft =
    ["ranges", "addresses"].some((key) => ((kept[key] ?? []) as readonly unknown[]).length > 0) ||
    typeof kept["subnet"] === "string" && isNotIpv6(kept["subnet"]);
  return isLeft ? { ...list, plugins: [{ ...main, ipam: kept }, ...others] } : list;
}

/** Whether an entry of `ranges`, `addresses` or `routes` is of IPv4: by the first address in it. */
function isNotIpv6(entry: unknown): boolean {
  const [, text = ""] = /"(?:subnet|address|dst)":"([^"]*)"/.exec(JSON.stringify(entry)) ?? [];
  return !(typeof entry === "string" ? entry : text).includes(":");
}
