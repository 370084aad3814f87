/** What only CHECK, GC and STATUS ask of host-local. */
import { addressOf } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import type { Result } from "../../wire/cni/result.ts";
import { type Conf, giveBack, keptOf, owned, reservations } from "./host_local.ts";
import { looks, ownerOf, showSet } from "./host_local_take.ts";
import { candidates } from "./ranges.ts";
import { giveBackOutlived, isEmpty, outlived, removeBegun } from "./stale.ts";

/**
 * The reference's CHECK accepts any one address. We require one of each set. The result's addresses are checked first,
 * because looking for others means reading every reservation.
 */
export function checkDrift(
  conf: Conf,
  at: Attachment,
  world: World,
  made: Result | undefined,
): string | undefined {
  const own = (made?.ips ?? []).filter(({ address }) =>
    world.read(`${conf.dataDir}/${at.network}/${addressOf(address)}`)?.trim() === ownerOf(at)
  );
  if (own.length >= conf.sets.length || owned(conf, at, world).length >= conf.sets.length) return undefined;
  return `host-local: Failed to find address added by container ${at.containerId}`;
}

/** The reason why no address is available, if all addresses of a set are taken. */
export function exhausted(conf: Conf, at: Attachment, world: World): string | undefined {
  const directory = `${conf.dataDir}/${at.network}`;
  const names = new Set(world.list(directory));
  outlived(world, keptOf(conf, at)).forEach((address) => names.delete(address));
  const isFree = (address: string, i: number) =>
    !names.has(address) || (i < looks && isEmpty(world, `${directory}/${address}`));
  const full = conf.sets.find((set) => {
    let i = 0;
    for (const { address } of candidates(set, undefined)) if (isFree(address, i++)) return false;
    return true;
  });
  return full && `no IP addresses available in range set: ${showSet(full)}`;
}

/** Releases what no attachment in `valid` holds. A file that stays empty is left from a crash. */
export function collect(conf: Conf, at: Attachment, valid: ReadonlySet<string>, world: World): void {
  giveBackOutlived(world, keptOf(conf, at));
  removeBegun(world, keptOf(conf, at));
  const containers = new Set([...valid].map((attachment) => attachment.split(" ")[0]));
  for (const one of reservations(conf, at, world)) {
    const [containerId, ifname] = one.owner.split(/\s+/);
    const known = ifname === undefined ? containers.has(containerId!) : valid.has(`${containerId} ${ifname}`);
    const begun = one.owner === "" && !isEmpty(world, one.path);
    if (!known && !begun) giveBack(conf, at, world, one);
  }
}
