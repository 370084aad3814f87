/** Containers of this host that have ended without a word, as when their runtime was killed: others are told no more of them. */
import { hasEnded, namesDirectory, refreshNames } from "../networks/names.ts";
import type { Agent } from "./agent_state.ts";

/** A file of names of a container of this host. */
export const ownFile = /^([^~. ][^ ]*) ([^ ]+)$/;

/** Looks whose namespace is gone, and takes their names out of the hosts files of this host's containers. */
export async function noteEnded(agent: Agent): Promise<void> {
  const { world, state } = agent;
  const ended = new Set<string>();
  for (const network of agent.joined.keys()) {
    for (const file of world.list(namesDirectory(state, network))) {
      const [, id, ifname] = ownFile.exec(file) ?? [];
      if (id !== undefined && await hasEnded(world, state, id, { network, ifname: ifname! })) {
        ended.add(`${network}/${file}`);
      }
    }
  }
  const changed = [...ended].filter((one) => !agent.ended?.has(one)).map((one) => one.split("/")[0]!);
  agent.ended = ended;
  await refreshNames(world, state, [...new Set(changed)]);
}

/**
 * What this host tells of its containers, without those that have ended.
 * @param told by key: NETWORK/HOST/ID/IFNAME @param below what the keys begin with, which they leave out
 */
export async function ofLiving(
  { world, state, ended }: Agent,
  told: ReadonlyMap<string, string>,
  below = "",
): Promise<ReadonlyMap<string, string>> {
  const kept = new Map(told);
  for (const key of told.keys()) {
    const [network, , id, ifname] = `${below}${key}`.split("/") as [string, string, string, string];
    // It may have been started again since.
    if (ended?.has(`${network}/${id} ${ifname}`) && await hasEnded(world, state, id, { network, ifname })) {
      kept.delete(key);
    }
  }
  return kept;
}
