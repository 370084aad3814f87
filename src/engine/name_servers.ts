import { parseAddress } from "../net/address.ts";
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
  const { nameservers = [] } = parseResolvConf(world.read(path) ?? "");
  // As of libc: a line whose address is none says nothing. One may have a zone.
  return nameservers.filter((server) => parseAddress(server.split("%")[0]!) !== undefined);
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

/** How the host's own programs find names. */
export interface Resolvers {
  /** The families of the servers that they ask; neither, where the file names none. */
  readonly families: { readonly 4: boolean; readonly 6: boolean };
  /** Where the links of the file lead out of /etc and /run; a program that sees no other directories reads no server. */
  readonly stray?: string;
}

/** How the host finds names. */
export function resolversOf(world: World): Resolvers {
  const servers = serversIn(world, resolvConf);
  const isSix = (server: string) => server.includes(":");
  const stray = strayTarget(world, resolvConf);
  return {
    families: { 4: servers.some((server) => !isSix(server)), 6: servers.some(isSix) },
    ...(stray === undefined ? {} : { stray }),
  };
}

/** The most links that the kernel follows. */
const mostLinks = 40;

function strayTarget(world: World, path: string): string | undefined {
  let here = path;
  for (let i = 0; i < mostLinks; i++) {
    const target = linkTarget(world, here);
    if (target === undefined) return undefined;
    if (!/^\/(etc|run)\//.test(target)) return target;
    here = target;
  }
  return here;
}

function linkTarget(world: World, path: string): string | undefined {
  try {
    const target = world.readLink(path);
    return target === undefined ? undefined : new URL(target, `file://${path}`).pathname;
  } catch {
    // It is a file.
    return undefined;
  }
}
