import { type Agent, etcdOf, type Joined, keysOf } from "./agent_state.ts";
import { claimValue } from "./claims.ts";
import { attachmentsOn } from "./local_records.ts";
import { writeNetwork } from "./keys.ts";

/**
 * Puts back what etcd has lost, as when it was made anew: a network that containers of this host are on, and their
 * addresses. A network can be removed only when nobody has an address on it, so one that is missing was lost.
 */
export async function putBack(agent: Agent, joined: Joined): Promise<void> {
  const { networks } = agent;
  const { network, claims } = joined;
  const reads = `${networks.reads} ${claims.reads}`;
  if (!networks.synced || !claims.synced || joined.compared === reads) return;
  const own = attachmentsOn(agent, network.name);
  const lost = own.filter(({ addresses }) => addresses.some((address) => !claims.entries.has(address)));
  const keys = keysOf(agent);
  if (own.length > 0 && !networks.entries.has(network.name)) {
    await etcdOf(agent).change(
      [{ key: keys.network(network.name), created: "0" }, { key: keys.vni(network.vni), created: "0" }],
      [{ put: keys.network(network.name), value: writeNetwork(network) }, {
        put: keys.vni(network.vni),
        value: network.name,
      }],
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
  joined.compared = reads;
}
