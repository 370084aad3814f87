import type { NetworkList, PluginConf } from "../../wire/cni/network_list.ts";

/**
 * A network without its IPv6 subnets, which a container without IPv6 would lose its addresses of (moby#48971).
 * @param id of a container that has IPv6 off already; without one, a network that has no others stays as it is
 * @throws Error for such a network
 */
export function withoutIpv6(list: NetworkList, id?: string): NetworkList {
  const [main, ...others] = list.plugins as readonly [PluginConf, ...PluginConf[]];
  const ipam = main["ipam"];
  if (typeof ipam !== "object" || ipam === null) return list;
  const kept = Object.fromEntries(
    Object.entries(ipam).map(([key, value]) => [key, Array.isArray(value) ? value.filter(isNotIpv6) : value]),
  );
  const isLeft = (conf: Readonly<Record<string, unknown>>) =>
    ["ranges", "addresses"].some((key) => ((conf[key] ?? []) as readonly unknown[]).length > 0) ||
    typeof conf["subnet"] === "string" && (conf !== kept || isNotIpv6(conf["subnet"]));
  if (isLeft(kept)) return { ...list, plugins: [{ ...main, ipam: kept }, ...others] };
  if (id === undefined || !isLeft(ipam as Readonly<Record<string, unknown>>)) return list;
  throw new Error(
    `Cannot connect container "${id}" to network "${list.name}": it has IPv6 subnets only, and IPv6 is off in the ` +
      "container (net.ipv6.conf.all.disable_ipv6=1); use one with an IPv4 subnet",
  );
}

/** Whether there is an IPv6 address in what the network says of its addresses. */
export function mayHaveIpv6({ plugins }: NetworkList): boolean {
  return /:[0-9a-f]*:/i.test(JSON.stringify(plugins[0]!["ipam"] ?? ""));
}

/** Whether an entry of `ranges`, `addresses` or `routes` is of IPv4: by the first address in it. */
function isNotIpv6(entry: unknown): boolean {
  const [, text = ""] = /"(?:subnet|address|dst)":"([^"]*)"/.exec(JSON.stringify(entry)) ?? [];
  return !(typeof entry === "string" ? entry : text).includes(":");
}
