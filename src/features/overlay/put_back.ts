import { type Agent, etcdOf, type Joined, keysOf, report } from "./agent_state.ts";
import { claimsOfHost, claimValue, readClaim, showHolder } from "./claims.ts";
import { attachmentsOn } from "./local_records.ts";
import { writeNetwork } from "./keys.ts";

/**
 * Puts back what etcd has lost, as when it was made anew: a network that containers of this host are on, and their
 * addresses. A network can be removed only when no address on it is taken, so one that is missing was lost.
 */
export async function putBack(agent: Agent, joined: Joined): Promise<void> {
  const { networks, config } = agent;
  const { network, claims } = joined;
  if (!networks.synced || !claims.synced) return;
  // A person may have deleted some of it.
  const there = claimsOfHost(claims.entries, config.name).map(({ address }) => address);
  const reads = [networks.reads, claims.reads, networks.entries.has(network.name), ...there].join(" ");
  if (joined.compared === reads) return;
  const own = attachmentsOn(agent, network.name);
  const isTaken = reportTaken(agent, joined, own);
  const lost = own.filter(({ addresses }) => addresses.some((address) => !claims.entries.has(address)));
  const keys = keysOf(agent);
  if (own.length > 0 && !networks.entries.has(network.name)) {
    const [key, vni, value] = [keys.network(network.name), keys.vni(network.vni), network.name];
    const isKept = (await etcdOf(agent).get(vni))?.value === value;
    await etcdOf(agent).change(
      [{ key, created: "0" }, isKept ? { key: vni, value } : { key: vni, created: "0" }],
      [{ put: key, value: writeNetwork(network) }, { put: vni, value }],
    );
  }
  for (const { id, ifname, addresses } of lost) {
    const value = claimValue({ host: agent.config.name, id, ifname }, addresses);
    const all = addresses.map((address) => keys.address(network.name, address));
    const missing = all.filter((_, i) => !claims.entries.has(addresses[i]!));
    await etcdOf(agent).change(
      missing.map((key) => ({ key, created: "0" })),
      missing.map((key) => ({ put: key, value })),
    );
    agent.tell(
      `network "${network.name}": put back the addresses of ${
        id === "" ? "the host" : `container "${id}"`
      }, which etcd had lost`,
    );
  }
  // What a backup gives to another is put back once that has given it up.
  if (!isTaken) joined.compared = reads;
}

/** Says which address of a container of this host is another's in etcd, as after a restore from an older backup. */
function reportTaken(
  agent: Agent,
  { network, claims }: Joined,
  own: ReturnType<typeof attachmentsOn>,
): boolean {
  const problems = own.flatMap(({ id, ifname, addresses }) =>
    addresses.flatMap((address) => {
      const entry = claims.entries.get(address);
      const claim = entry && readClaim(entry);
      if (claim === undefined) return [];
      if (claim.host === agent.config.name && claim.id === id && claim.ifname === ifname) return [];
      return [
        `Cannot have address ${address} of ${id === "" ? "this host" : `container "${id}"`} on network ` +
        `"${network.name}" in etcd: ${showHolder(claim)} has it; take one of the two down`,
      ];
    })
  );
  report(agent, `addresses on network ${network.name}`, problems.toSorted()[0]);
  return problems.length > 0;
}
