import { type Cidr, networkOf } from "../../net/address.ts";
import type { Member } from "./member.ts";

/** The names of one network. */
export interface Zone {
  readonly network: string;
  readonly internal: boolean;
  /** Addresses by name, in lower case. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  /** A name for each address. */
  readonly owners: ReadonlyMap<string, string>;
  readonly members: ReadonlyMap<string, ZoneMember>;
  /** The host's addresses there. */
  readonly listen: readonly Cidr[];
  readonly subnets: readonly Cidr[];
}

/** Who has an address. */
export interface ZoneMember {
  readonly id: string;
  readonly servers: readonly string[];
}

/**
 * What a network's members are called. An id outweighs other names: an alias takes over no part of what is asked of the
 * container that is called so.
 * @param members by their containers' ids
 */
export function zoneOf(network: string, members: readonly (readonly [id: string, Member])[]): Zone {
  const names = new Map<string, string[]>();
  const owners = new Map<string, string>();
  const byAddress = new Map<string, ZoneMember>();
  const add = (name: string, addresses: readonly string[]) => {
    const known = names.get(name.toLowerCase()) ?? [];
    names.set(name.toLowerCase(), [...new Set([...known, ...addresses])]);
  };
  for (const [id, { addresses }] of members) idsOf(id).forEach((name) => add(name, addresses));
  const ids = new Set(names.keys());
  for (const [id, { addresses, names: all, servers }] of members) {
    const own = idsOf(id);
    all.filter((name) => !own.includes(name) && !ids.has(name.toLowerCase()))
      .forEach((name) => add(name, addresses));
    for (const address of addresses) {
      owners.set(address, own.at(-1)!);
      byAddress.set(address, { id, servers });
    }
  }
  const listen = [...new Set(members.flatMap(([, member]) => member.listen))];
  return {
    ...{ network, names, owners, members: byAddress, listen, subnets: listen.map(networkOf) },
    internal: members.some(([, { internal }]) => internal),
  };
}

/** An id of 64 digits is known by the first 12 as well, as Docker has it. */
export function idsOf(id: string): readonly string[] {
  return /^[0-9a-f]{64}$/.test(id) ? [id, id.slice(0, 12)] : [id];
}
