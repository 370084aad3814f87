/** Which link of the host's is the bridge of a configuration. */
import { macFrom } from "../../net/names.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { ownAlias } from "../../plan/ip.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Conf } from "./bridge_conf.ts";

/** The link that has the name. @throws CniError if it is no bridge */
export function findBridge({ bridge }: Conf, { links }: HostState): Link | undefined {
  const found = links.get(bridge);
  if (!found || found.kind === "bridge") return found;
  throw new CniError(
    "internal",
    `failed to create bridge "${bridge}": "${bridge}" already exists but is not a bridge`,
  );
}

/** A bridge that is found by none of its names is found by being ours, and the network's. */
export function isRenamed({ bridge }: Conf, { name, altNames, alias }: Link): boolean {
  return name !== bridge && alias === ownAlias && altNames?.includes(bridge) !== true;
}

/**
 * Whether we made the bridge. One that is down, has our MAC address and no mark is not finished: an earlier ocinet was
 * stopped, or another one is at it.
 */
export function isOurs({ alias, up, mac }: Link, networkDigest: string): boolean {
  return alias === ownAlias || up === false && mac === macFrom(networkDigest);
}

/** What the bridge is called once the steps are done. */
export function nameNow(conf: Conf, found: Link | undefined): string {
  return found && !isRenamed(conf, found) ? found.name : conf.bridge;
}
