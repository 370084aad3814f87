import { parseAddress } from "../net/address.ts";
import { parseResolvConf, type ResolvConf } from "../net/resolv_conf.ts";
import { linkTarget } from "../plan/files.ts";
import type { World } from "../plan/world.ts";

/** The file that programs read name servers from. */
export const resolvConf = "/etc/resolv.conf";

/** The servers that systemd-resolved uses. They are needed if resolv.conf names only systemd-resolved itself. */
export const resolvedConf = "/run/systemd/resolve/resolv.conf";

/** Whether a server can be reached only from the host: it is on the loopback, or its address has a zone. */
export function isHostsOwn(server: string): boolean {
  return /^(127\.|0\.0\.0\.0$|::1?$)|%/.test(server);
}

/** The servers that a file names. */
export function serversIn(world: World, path: string): readonly string[] {
  const { nameservers = [] } = parseResolvConf(world.read(path) ?? "");
  // Like libc, this ignores lines with an invalid address. An address may have a zone.
  return nameservers.filter((server) => parseAddress(server.split("%")[0]!) !== undefined);
}

/** The host's servers that can be reached from another network namespace too. */
export function reachableServers(world: World): readonly string[] {
  const reachable = [resolvConf, resolvedConf].map((path) =>
    serversIn(world, path).filter((server) => !isHostsOwn(server))
  );
  return reachable.find((servers) => servers.length > 0) ?? [];
}

/** The host's DNS settings with only these servers; empty if there are none. */
export function reachableNames(world: World): ResolvConf {
  const nameservers = reachableServers(world);
  return nameservers.length === 0 ? {} : { ...parseResolvConf(world.read(resolvConf) ?? ""), nameservers };
}

/** Tells why a container finds no names. */
export function tellOfLost(world: World, why: string): void {
  world.warn(`No names are found: ${why}; give others by --dns, such as --dns 9.9.9.9`);
}

/** The host's name resolution. */
export interface Resolvers {
  /** The families of the host's servers; both false if the file names none. */
  readonly families: { readonly 4: boolean; readonly 6: boolean };
  /**
   * The target of the file's links, if it is outside /etc and /run. A program that sees no other directories finds no
   * server.
   */
  readonly stray?: string;
}

/** Looks up the host's name resolution. */
export function resolversOf(world: World): Resolvers {
  const servers = serversIn(world, resolvConf);
  const isSix = (server: string) => server.includes(":");
  const stray = strayTarget(world, resolvConf);
  return {
    families: { 4: servers.some((server) => !isSix(server)), 6: servers.some(isSix) },
    ...(stray === undefined ? {} : { stray }),
  };
}

/** The largest number of links that the kernel follows. */
const mostLinks = 40;

function strayTarget(world: World, path: string): string | undefined {
  let here = path;
  for (let i = 0; i < mostLinks; i++) {
    const link = linkTarget(world, here);
    if (link === undefined) return undefined;
    const target = new URL(link, `file://${here}`).pathname;
    if (!/^\/(etc|run)\//.test(target)) return target;
    here = target;
  }
  return here;
}
