import { allPluginKeys, readPlugin } from "../../engine/record.ts";
import { addressOf } from "../../net/address.ts";
import { type Agent, etcdOf, type Joined, keysOf } from "./agent_state.ts";
import { claimValue } from "./claims.ts";
import { overlayKey } from "./local_networks.ts";
import { writeRecord } from "./keys.ts";

/**
 * Puts back what etcd has lost, as when it was made anew: a network that containers of this host are on, and their
 * addresses. A network can be removed only when nobody has an address on it, so one that is missing was lost.
 */
export async function putBack(agent: Agent, joined: Joined): Promise<void> {
  const { networks } = agent;
  const { network, claims } = joined;
  if (!networks.synced || !claims.synced) return;
  const own = attachmentsOn(agent, network.name);
  const lost = own.filter(({ addresses }) => addresses.some((address) => !claims.entries.has(address)));
  if (lost.length === 0) return;
  const keys = keysOf(agent);
  if (!networks.entries.has(network.name)) {
    const { name: _, ...record } = network;
    await etcdOf(agent).change(
      [{ key: keys.network(network.name), created: "0" }, { key: keys.vni(network.vni), created: "0" }],
      [{ put: keys.network(network.name), value: writeRecord(record) }, {
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
}

/** Who has addresses on a network by this host's records: containers' interfaces, and the host itself. */
function attachmentsOn({ world, state }: Agent, network: string) {
  const own = readPlugin(world, state, overlayKey(network))?.request["own"];
  const host = Array.isArray(own) ? own.map((address) => addressOf(String(address))) : [];
  const containers = allPluginKeys(world, state).filter((key) =>
    key.part === "overlay" && key.network === network
  )
    .flatMap((key) => {
      const ips = readPlugin(world, state, key)?.result?.ips ?? [];
      const addresses = ips.map(({ address }) => addressOf(address));
      return addresses.length === 0 ? [] : [{ id: key.id, ifname: key.ifname, addresses }];
    });
  return host.length === 0 ? containers : [...containers, { id: "", ifname: "", addresses: host }];
}
