import { allPluginKeys, overlayPart, readPlugin, type RecordKey } from "../../engine/record.ts";
import { addressOf } from "../../net/address.ts";
import type { World } from "../../plan/world.ts";
import type { Agent } from "./agent_state.ts";

/** The key of the record of what the agent made for a network. */
export function overlayKey(network: string): RecordKey {
  return { id: "overlay", network, ifname: "", part: overlayPart };
}

function keysOn(world: World, state: string, network: string): readonly RecordKey[] {
  return allPluginKeys(world, state).filter((key) => key.part === "overlay" && key.network === network);
}

/** Whether a container is on a network by this host's records, whatever etcd knows. */
export function hasContainers({ world, state }: Agent, network: string): boolean {
  return keysOn(world, state, network).length > 0;
}

/** Who has addresses on a network by this host's records: containers' interfaces, and the host itself. */
export function attachmentsOn({ world, state }: Agent, network: string) {
  const own = readPlugin(world, state, overlayKey(network))?.request["own"];
  const host = Array.isArray(own) ? own.map((address) => addressOf(String(address))) : [];
  const containers = keysOn(world, state, network)
    .flatMap((key) => {
      const ips = readPlugin(world, state, key)?.result?.ips ?? [];
      const addresses = ips.map(({ address }) => addressOf(address));
      return addresses.length === 0 ? [] : [{ id: key.id, ifname: key.ifname, addresses }];
    });
  return host.length === 0 ? containers : [...containers, { id: "", ifname: "", addresses: host }];
}
