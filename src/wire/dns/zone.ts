import { type Cidr, networkOf } from "../../net/address.ts";
import type { Member } from "./member.ts";

/** The names of one network. */
export interface Zone {
  readonly network: string;
  readonly internal: boolean;
  /** Who has a name, in lower case. */
  readonly names: ReadonlyMap<string, readonly Holder[]>;
  /** Who has an address: of several at most one is still there. */
  readonly members: ReadonlyMap<string, readonly ZoneMember[]>;
  /** The host's addresses there. */
  readonly listen: readonly Cidr[];
  readonly subnets: readonly Cidr[];
}

/** Who has an address. */
export interface ZoneMember {
  readonly id: string;
  readonly servers: readonly string[];
  /** See `Member`. */
  readonly link?: string | undefined;
}

/** One that has a name. */
interface Holder extends Pick<ZoneMember, "link"> {
  readonly addresses: readonly string[];
  /** The name is its id, or the beginning of that. */
  readonly isId: boolean;
}

/**
 * What a network's members are called.
 * @param members by their containers' ids
 */
export function zoneOf(network: string, members: readonly (readonly [id: string, Member])[]): Zone {
  const names = new Map<string, Holder[]>();
  const byAddress = new Map<string, ZoneMember[]>();
  const add = <T>(map: Map<string, T[]>, key: string, one: T) => {
    if (!map.get(key)?.push(one)) map.set(key, [one]);
  };
  for (const [id, { addresses, names: all, servers, link }] of members) {
    const own = idsOf(id);
    for (const name of new Set([...own, ...all])) {
      add(names, name.toLowerCase(), { addresses, link, isId: own.includes(name) });
    }
    for (const address of addresses) add(byAddress, address, { id, servers, link });
  }
  const listen = [...new Set(members.flatMap(([, member]) => member.listen))];
  return {
    ...{ network, names, members: byAddress, listen, subnets: listen.map(networkOf) },
    internal: members.some(([, { internal }]) => internal),
  };
}

/**
 * The addresses of those that have a name and are still there. An id outweighs other names: an alias takes over no part of
 * what is asked of the container that is called so.
 */
export function addressesOf(
  { names }: Zone,
  name: string,
  isThere: (one: Pick<ZoneMember, "link">) => boolean,
): readonly string[] {
  const there = (names.get(name) ?? []).filter(isThere);
  const ids = there.filter(({ isId }) => isId);
  return [...new Set((ids.length > 0 ? ids : there).flatMap(({ addresses }) => addresses))];
}

/** An id of 64 digits is known by the first 12 as well, as Docker has it. */
export function idsOf(id: string): readonly string[] {
  return /^[0-9a-f]{64}$/.test(id) ? [id, id.slice(0, 12)] : [id];
}
