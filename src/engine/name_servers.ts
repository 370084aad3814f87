import { parseResolvConf, type ResolvConf } from "../net/resolv_conf.ts";
import type { World } from "../plan/world.ts";

/** Where programs look for name servers. */
export const resolvConf = "/etc/resolv.conf";

/** The servers that systemd-resolved asks, where the other file names nobody but itself. */
const resolvedConf = "/run/systemd/resolve/resolv.conf";

/** Whether nobody but the host itself has a server: on its loopback, or behind a link that the address names. */
export function isHostsOwn(server: string): boolean {
  return /^(127\.|0\.0\.0\.0$|::1?$)|%/.test(server);
}

/** The servers that a file names. */
export function serversIn(world: World, path: string): readonly string[] {
  return parseResolvConf(world.read(path) ?? "").nameservers ?? [];
}

/** The host's servers that are found from another network namespace as well. */
export function reachableServers(world: World): readonly string[] {
  const reachable = [resolvConf, resolvedConf].map((path) =>
    serversIn(world, path).filter((server) => !isHostsOwn(server))
  );
  return reachable.find((servers) => servers.length > 0) ?? [];
}

/** What the host says about names, with such servers only; nothing, if there are none. */
export function reachableNames(world: World): ResolvConf {
  const nameservers = reachableServers(world);
  return nameservers.length === 0 ? {} : { ...parseResolvConf(world.read(resolvConf) ?? ""), nameservers };
}
