import { type Agent, etcdOf, type Joined, keysOf, report } from "./agent_state.ts";
import { claimsOfHost, claimValue, isClaimOf, readClaim, showHolder } from "./claims.ts";
import type { Condition, KeyValue } from "./etcd_wire.ts";
import { attachmentsOn } from "./local_records.ts";
import { LaterRecord, parseClaim, parseNetwork, writeNetwork } from "./keys.ts";

/**
 * Puts back what etcd has lost, as when it was made anew, and what is damaged there: a network that containers of this host
 * are on, and their addresses. A network can be removed only when no address on it is taken, so one that is missing was lost.
 */
export async function putBack(agent: Agent, joined: Joined): Promise<void> {
  const { networks, config } = agent;
  const { network, claims } = joined;
  if (!networks.synced || !claims.synced) return;
  // A person may have deleted some of it.
  const there = claimsOfHost(claims.entries, config.name).map(({ address }) => address);
  const record = networks.entries.get(network.name);
  const isNetworkLost = isLost(record, (text) => parseNetwork(network.name, text));
  const reads = [networks.reads, claims.reads, isNetworkLost, ...there].join(" ");
  if (joined.compared === reads) return;
  const own = attachmentsOn(agent, network.name);
  let isWhole = !reportTaken(agent, joined, own);
  const keys = keysOf(agent);
  if (own.length > 0 && isNetworkLost) {
    isWhole = false;
    const [key, vni, value] = [keys.network(network.name), keys.vni(network.vni), network.name];
    const isKept = (await etcdOf(agent).get(vni))?.value === value;
    await etcdOf(agent).change(
      [unchanged(key, record), isKept ? { key: vni, value } : { key: vni, created: "0" }],
      [{ put: key, value: writeNetwork(network) }, { put: vni, value }],
    );
  }
  for (const { id, ifname, addresses } of own) {
    const lost = addresses.filter((address) => isLost(claims.entries.get(address), parseClaim));
    if (lost.length === 0) continue;
    isWhole = false;
    const value = claimValue({ host: agent.config.name, id, ifname }, addresses);
    const isDone = await etcdOf(agent).change(
      lost.map((address) => unchanged(keys.address(network.name, address), claims.entries.get(address))),
      lost.map((address) => ({ put: keys.address(network.name, address), value })),
    );
    if (!isDone) continue;
    agent.tell(
      `network "${network.name}": put back the addresses of ${
        id === "" ? "the host" : `container "${id}"`
      }, which etcd had lost`,
    );
  }
  // It may be lost again before this is seen; and what a backup gives to another is put back once that has given it up.
  if (isWhole) joined.compared = reads;
}

/** Whether it is not there, or cannot be read by any ocinet. */
function isLost(entry: KeyValue | undefined, parse: (text: string) => unknown): boolean {
  if (entry === undefined) return true;
  try {
    parse(entry.value);
    return false;
  } catch (error) {
    return !(error instanceof LaterRecord);
  }
}

function unchanged(key: string, entry: KeyValue | undefined): Condition {
  return entry === undefined ? { key, created: "0" } : { key, modified: entry.modified };
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
      if (claim === undefined || isClaimOf(entry, { host: agent.config.name, id, ifname })) return [];
      return [
        `Cannot have address ${address} of ${id === "" ? "this host" : `container "${id}"`} on network ` +
        `"${network.name}" in etcd: ${showHolder(claim)} has it; take one of the two down`,
      ];
    })
  );
  report(agent, `addresses on network ${network.name}`, problems.toSorted()[0]);
  return problems.length > 0;
}
