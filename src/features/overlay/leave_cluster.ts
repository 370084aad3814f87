import { type Agent, etcdOf, keysOf } from "./agent_state.ts";
import { claimsOfHost, showSome } from "./claims.ts";
import { closeMesh } from "./follow_mesh.ts";
import { leave } from "./local_networks.ts";
import { attachmentsOn } from "./local_records.ts";
import { writeNetworkFiles } from "./network_files.ts";
import { giveBack } from "./sweep.ts";
import { closeTunnel } from "./tunnel.ts";

/**
 * Takes this host out of the cluster: its endpoints, names and lease from etcd, its links and files from the host. The
 * agent then ends.
 * @param force also while containers are on overlay networks, which then have no network
 * @throws Error naming the containers that are on overlay networks, or when etcd cannot be reached: then nothing is done
 */
export async function leaveCluster(agent: Agent, force: boolean): Promise<void> {
  const { config } = agent;
  const users = [...agent.joined.values()].flatMap(({ network, claims }) => {
    const known = claimsOfHost(claims.entries, config.name);
    const ids = new Set([...known, ...attachmentsOn(agent, network.name)].map(({ id }) => id));
    return [...ids].filter((id) => id !== "").map((id) => `container "${id}" on network "${network.name}"`);
  });
  if (users.length > 0 && !force) {
    throw new Error(
      `Cannot take host "${config.name}" out of the cluster: it has ${showSome(users)}; ` +
        "take them down first, or use --force, which leaves them without that network",
    );
  }
  // Nothing is taken away on the host while the others cannot be told.
  await etcdOf(agent).get(keysOf(agent).host(config.name));
  agent.hasLeft = true;
  try {
    await takeOut(agent);
  } catch (error) {
    // It is in the cluster until all is done.
    delete agent.hasLeft;
    throw error;
  }
  writeNetworkFiles(agent);
  agent.tell(`host "${config.name}" has left the cluster`);
}

async function takeOut(agent: Agent): Promise<void> {
  const { config } = agent;
  for (const joined of [...agent.joined.values()]) {
    for (const claim of claimsOfHost(joined.claims.entries, config.name).filter(({ id }) => id !== "")) {
      await giveBack(agent, joined, claim);
    }
    await leave(agent, joined);
  }
  await closeTunnel(agent);
  await closeMesh(agent);
  if (agent.lease !== undefined) await etcdOf(agent).revoke(agent.lease);
}
