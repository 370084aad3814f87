import { tryLockToRemove } from "../../engine/locks.ts";
import { containerFile, recordFile } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import { digest, identifierProblem } from "../../net/names.ts";
import { type Agent, etcdOf, type Joined, keysOf } from "./agent_state.ts";
import { claimsOf, claimsOfHost, readClaim, releaseAddresses } from "./claims.ts";
import { type AddressClaim } from "./keys.ts";
import { hasContainers } from "./local_records.ts";

/**
 * Gives back addresses of this host's containers of which nothing is recorded: an attaching was cut short, or a
 * container went while the agent was away. A process that is attaching has a lock.
 */
export async function sweepClaims(agent: Agent, joined: Joined): Promise<void> {
  const { config, world } = agent;
  if (!joined.claims.synced) return;
  for (const claim of claimsOfHost(joined.claims.entries, config.name)) {
    if (claim.id === "" || isRecorded(agent, joined, claim)) continue;
    const release = await lockBoth(agent, joined, claim);
    if (release === undefined) continue;
    try {
      if (!isRecorded(agent, joined, claim)) await giveBack(agent, joined, claim);
    } finally {
      release();
      world.removeEmpty(`${agent.state}/locks`);
    }
  }
}

/**
 * Gives back addresses of this host's on networks that it has no part in, as when it was installed anew under its name.
 * Once for each reading of the networks: what this agent claims is on networks that it has joined.
 */
export async function sweepElsewhere(agent: Agent): Promise<void> {
  const { networks, config, lease } = agent;
  if (!networks.synced || lease === undefined || agent.searched === networks.reads) return;
  const reads = networks.reads;
  for (const name of networks.entries.keys()) {
    if (agent.joined.has(name) || hasContainers(agent, name)) continue;
    const prefix = keysOf(agent).addresses(name);
    const { keys } = await etcdOf(agent).list(prefix);
    for (const { key, value } of keys.filter((one) => readClaim(one)?.host === config.name)) {
      await etcdOf(agent).change([{ key, value }], [{ delete: key }]);
    }
  }
  agent.searched = reads;
}

function isRecorded({ world, state }: Agent, { network }: Joined, { id, ifname }: AddressClaim): boolean {
  if (identifierProblem(id) !== undefined) return false;
  const key = { id, network: network.name, ifname, part: "overlay" };
  return world.stat(recordFile(state, key)) !== undefined ||
    world.stat(containerFile(state, id)) !== undefined;
}

/** The locks of the process that attaches it: a hook has the container's, a CNI plugin the interface's. */
async function lockBoth(
  { world, state }: Agent,
  { network }: Joined,
  { id, ifname }: AddressClaim,
): Promise<(() => void) | undefined> {
  if (identifierProblem(id) !== undefined) return () => {};
  const { lock, directory } = containerPaths(state, id);
  const own = `${state}/locks/${(await digest(id, network.name, ifname)).slice(0, 32)}-overlay`;
  const first = await tryLockToRemove(world, lock, directory);
  if (first === undefined) return undefined;
  const second = await tryLockToRemove(world, own, directory);
  if (second === undefined) return void first();
  return () => {
    second();
    first();
  };
}

/** Gives back what a container's interface has. */
export async function giveBack(
  agent: Agent,
  joined: Joined,
  { id, ifname }: Pick<AddressClaim, "id" | "ifname">,
): Promise<void> {
  const who = { host: agent.config.name, id, ifname };
  const addresses = claimsOf(joined.claims.entries, who);
  await releaseAddresses(agent.store, { ...joined, claims: joined.claims.entries }, who);
  addresses.forEach((address) => joined.claims.note(address, undefined));
}
