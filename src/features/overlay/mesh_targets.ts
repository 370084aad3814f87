/** Where ports of services lead, by what etcd says of members, addresses and hosts. */
import { addressOf, type Family, family } from "../../net/address.ts";
import { isClaimOf, readClaim } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { type OverlayNetwork, subnetOf } from "./keys.ts";
import type { MeshHost, MeshNetwork, MeshTarget } from "./mesh.ts";
import type { Member } from "./services.ts";

type Entries = ReadonlyMap<string, KeyValue>;

/** A port of a service. */
export interface ServiceTarget extends MeshTarget {
  readonly service: string;
}

/** The hosts that have addresses of their own on a network, as far as they are there, in the order of their names. */
export function hostsOf(claims: Entries, isThere: (host: string) => boolean): readonly MeshHost[] {
  const own = [...claims].flatMap(([address, entry]) => {
    const claim = readClaim(entry);
    return claim?.id === "" && isThere(claim.host) ? [{ address, claim }] : [];
  });
  const hosts = new Map<string, MeshHost>();
  // Not as etcd told them: that is another order after each reading.
  for (const { address, claim: { host, mac } } of own.toSorted((a, b) => a.address < b.address ? -1 : 1)) {
    const before = hosts.get(host) ?? { name: host, addresses: [], mac };
    hosts.set(host, { ...before, addresses: [...before.addresses, address] });
  }
  return [...hosts.values()].toSorted((a, b) => a.name < b.name ? -1 : 1);
}

/**
 * The ports of a network's services, with the members that can be led to: an address counts with a claim of the same
 * interface, on a host that can be reached by the same family.
 */
export function targetsOf(
  network: OverlayNetwork,
  claims: Entries,
  members: readonly Member[],
  hosts: readonly MeshHost[],
): readonly ServiceTarget[] {
  const targets = new Map<string, ServiceTarget>();
  for (const one of members.toSorted((a, b) => keyOf(a) < keyOf(b) ? -1 : 1)) {
    const addresses = one.addresses.filter(reachable(network, claims, one, hosts));
    for (const { protocol, hostPort, port, on } of addresses.length === 0 ? [] : one.ports) {
      const key = `${one.service} ${protocol} ${hostPort} ${on}`;
      const { affinity, members } = targets.get(key) ?? { affinity: false, members: [] };
      const led = addresses.map((address) => ({ address: addressOf(address), host: one.host, port }));
      targets.set(key, {
        ...{ service: one.service, protocol, hostPort, on },
        ...{ affinity: affinity || one.affinity, members: [...members, ...led] },
      });
    }
  }
  return [...targets.values()];
}

/** Which addresses of a member count. */
function reachable(network: OverlayNetwork, claims: Entries, one: Member, hosts: readonly MeshHost[]) {
  const canReach = (f: Family) =>
    hosts.some(({ name, addresses }) => name === one.host && addresses.some((own) => family(own) === f));
  return (address: string) =>
    subnetOf(network, address) !== undefined && isClaimOf(claims.get(address), one) &&
    canReach(family(address));
}

/** The same of drained members, to which connections go that are open. */
export function drainedOf(
  network: OverlayNetwork,
  claims: Entries,
  members: readonly Member[],
  hosts: readonly MeshHost[],
): MeshNetwork["drained"] {
  return members.flatMap((one) =>
    (one.drained ?? []).filter(reachable(network, claims, one, hosts)).map((address) => ({
      ...{ address, host: one.host },
    }))
  );
}

function keyOf({ service, host, id, ifname }: Member): string {
  return [service, host, id, ifname].join("/");
}
