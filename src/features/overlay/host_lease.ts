import { bootId, ownNamespace } from "../../engine/process.ts";
import { type Agent, etcdOf, keysOf, livingHosts, report } from "./agent_state.ts";
import { findUnderlay } from "./cluster_config.ts";
import { type HostRecord, LaterRecord, parseHost, writeRecord } from "./keys.ts";

/**
 * Keeps the host in the cluster: renews its lease, and writes its record again where that is gone or not right. One after
 * the other: of two leases the record would have one, and the other would be renewed.
 */
export function beat(agent: Agent): Promise<void> {
  agent.beating = (agent.beating ?? Promise.resolve()).then(() => beatOnce(agent));
  return agent.beating;
}

/** Does so at once where the host's record is gone: the others send nothing to a host that is not there. */
export async function enterAgain(agent: Agent): Promise<void> {
  const { hosts, lease, problems, config } = agent;
  const isGone = hosts.synced && !hosts.entries.has(config.name);
  if (isGone && lease !== undefined && !problems.has("cluster")) await beat(agent);
}

async function beatOnce(agent: Agent): Promise<void> {
  if (agent.hasLeft) return;
  try {
    agent.underlay = await findUnderlay(agent.world, agent.config);
    const alive = agent.lease !== undefined && await etcdOf(agent).keepAlive(agent.lease);
    const entry = agent.hosts.entries.get(agent.config.name);
    if (!alive || agent.hosts.synced && entry?.value !== recordOf(agent)) {
      await register(agent, alive ? agent.lease : undefined);
    }
    report(agent, "cluster", undefined);
  } catch (error) {
    report(agent, "cluster", (error as Error).message);
  }
}

function recordOf({ world, config, underlay, tunnel }: Agent): string {
  const { address, mtu } = underlay!;
  const instance = `${bootId(world)} ${ownNamespace(world)}`;
  const shown = tunnel === undefined
    ? {}
    : { tunnel: { key: tunnel.key, port: tunnel.port, address: config.encryptionAddress } };
  return writeRecord({ underlay: address, mtu, port: config.port, instance, ...shown });
}

/** @param held a lease that the host has @throws Error when another host has the name, or others use another port */
async function register(agent: Agent, held: string | undefined): Promise<void> {
  const { config } = agent;
  refuseOtherPorts(agent);
  const [key, value] = [keysOf(agent).host(config.name), recordOf(agent)];
  const lease = held ?? await etcdOf(agent).grant(config.leaseSeconds);
  const put = [{ put: key, value, lease }] as const;
  const done = await etcdOf(agent).change([{ key, created: "0" }], put) || await takeOver(agent, key, put);
  if (!done) throw new Error(`Cannot enter the cluster as "${config.name}" now; it is tried again`);
  agent.hosts.note(config.name, { key, value, created: "0", modified: "0" });
  agent.lease = lease;
  if (lease === held) return;
  // What goes with the lease is to have the new one.
  agent.wake();
  agent.tell(`host "${config.name}" is in the cluster, with underlay address ${agent.underlay!.address}`);
}

/** What is there may be this very host's: of an agent before this one, or of the machine before a restart. */
async function takeOver(
  agent: Agent,
  key: string,
  put: readonly [{ readonly put: string; readonly value: string; readonly lease: string }],
): Promise<boolean> {
  const there = await etcdOf(agent).get(key);
  if (there === undefined) return false;
  const [other, own] = [there.value, put[0].value].map((value) => readOwn(agent, value));
  if (other && other.instance !== own!.instance && other.underlay !== own!.underlay) {
    throw new Error(
      `Cannot enter the cluster as "${agent.config.name}": a host at ${other.underlay} has that name; ` +
        `give this one another "name" in ${agent.config.path}, or stop the other's agent`,
    );
  }
  return await etcdOf(agent).change([{ key, modified: there.modified }], put);
}

/** The record of this host's name; undefined where it cannot be read, and is no host's. */
function readOwn({ config: { name, path } }: Agent, value: string): HostRecord | undefined {
  try {
    return parseHost(name, value);
  } catch (error) {
    if (!(error instanceof LaterRecord)) return undefined;
    throw new Error(
      `Cannot enter the cluster as "${name}": there is a record of that name, and ${error.message}, ` +
        `or give it another "name" in ${path}`,
    );
  }
}

function refuseOtherPorts(agent: Agent): void {
  const { name, port, path } = agent.config;
  const other = [...livingHosts(agent)].find(([host, record]) => host !== name && record.port !== port);
  if (other === undefined) return;
  throw new Error(
    `Cannot enter the cluster with UDP port ${port}: host "${other[0]}" uses ${other[1].port}; ` +
      `set "port" in ${path} to the same on all hosts`,
  );
}
