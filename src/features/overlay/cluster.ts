/** What people ask of a cluster. */
import { stateDirectory } from "../../engine/state.ts";
import { contains, parseAddress } from "../../net/address.ts";
import { resolvConf, serversIn } from "../../engine/name_servers.ts";
import { askAgent } from "../../plan/ask_agent.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { asTyped } from "../../engine/usage.ts";
import { type AgentRequest, agentSocket, parseAnswer, writeRequest } from "../../wire/overlay/requests.ts";
import type { AgentStatus } from "./agent_requests.ts";
import { readClusterConfig } from "./cluster_config.ts";
import { connect, type MemberStatus } from "./etcd.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { type HostRecord, keysBelow, type OverlayNetwork, parseHost, parseSubnets } from "./keys.ts";
import { encryptionProblem } from "./tunnel.ts";
import { createNetwork, listNetworks, type NetworkWish, type Store } from "./networks.ts";
import { readClaim } from "./claims.ts";
import { checkNewName } from "../networks/create.ts";
import { type Place, probeWays } from "./probe.ts";
import { type Member, readMember } from "./services.ts";

/** The cluster that this host is configured for. @throws Error when it is for none */
export function openStore(world: World): Store {
  const config = readClusterConfig(world);
  return { etcd: connect(world, config), prefix: config.prefix, random: world.random };
}

/**
 * Makes a network of the cluster.
 * @throws Error naming what is in the way; an encrypted one is refused where this host could not be on it, and one in which
 * this host has to reach its name servers or etcd
 */
export async function createOn(world: World, wish: NetworkWish): Promise<OverlayNetwork> {
  await checkNewName(world, wish.name);
  if (wish.subnets.length > 0) asTyped(() => parseSubnets(wish.subnets));
  const { endpoints } = readClusterConfig(world);
  const needed = [
    ...serversIn(world, resolvConf),
    ...endpoints.flatMap((one) => parseAddress(new URL(one).hostname.replace(/[[\]]/g, "")) ?? []),
  ];
  for (const subnet of wish.subnets) {
    const server = needed.find((one) => contains(subnet, one));
    if (server === undefined) continue;
    throw new Error(
      `Cannot create network "${wish.name}" with subnet ${subnet}: it contains ${server}, which is a name server or etcd`,
    );
  }
  const problem = wish.encrypted ? await encryptionProblem(world) : undefined;
  if (problem !== undefined) {
    throw new Error(`Cannot create network "${wish.name}" with encryption: ${problem}`);
  }
  return await createNetwork(openStore(world), wish);
}

/** A cluster, as this host sees it. */
export interface ClusterStatus {
  readonly host: string;
  readonly agent: AgentStatus | { readonly problem: string };
  readonly etcd: readonly MemberStatus[];
  readonly hosts: readonly (HostRecord & { readonly name: string })[];
  readonly networks:
    readonly (OverlayNetwork & { readonly addresses: number; readonly hosts: readonly string[] })[];
  /** Members of services that get no new connections. */
  readonly drained: readonly Pick<Member, "network" | "service" | "host" | "id">[];
  /** What is wrong, with the remedy. */
  readonly problems: readonly string[];
}

/** Looks at all of it; what cannot be seen is among the problems. */
export async function clusterStatus(world: World): Promise<ClusterStatus> {
  const config = readClusterConfig(world);
  const store = openStore(world);
  const problems: string[] = [];
  // Side by side: each of them may wait for its answer as long as it may take.
  const looked = lookAt(store, (problem) => problems.push(problem)).catch((error) => {
    problems.push(messageOf(error));
    return { hosts: [], networks: [], places: [], drained: [] };
  });
  const [agent, etcd, seen, ways] = await Promise.all([
    askOwn(world, { do: "status" }).then(
      (status) => status as AgentStatus,
      (error) => ({ problem: messageOf(error) }),
    ),
    store.etcd.status(),
    looked,
    looked.then(({ places, hosts }) => probeWays(world, config, places, hosts)),
  ]);
  const dead = seen.networks.flatMap(({ hosts }) => hosts).filter((name) =>
    !seen.hosts.some((one) => one.name === name)
  );
  for (const name of new Set(dead)) {
    problems.push(
      `host "${name}" has addresses and is not there; start its agent, or give them back with "ocinet cluster forget ${name}"`,
    );
  }
  problems.push(...etcdProblems(etcd), ...ways);
  problems.push(...("problem" in agent ? [agent.problem] : agent.problems));
  const { hosts, networks, drained } = seen;
  return { host: config.name, agent, etcd, hosts, networks, drained, problems: [...new Set(problems)] };
}

/** Seconds by which clocks may differ. */
const mostAhead = 60;

function etcdProblems(members: readonly MemberStatus[]): readonly string[] {
  return members.flatMap(({ endpoint, problem, ahead = 0 }) => [
    ...(problem === undefined ? [] : [`etcd at ${endpoint}: ${problem}`]),
    ...(Math.abs(ahead) <= mostAhead ? [] : [
      `the clock of this host and that of etcd at ${endpoint} differ by ${
        Math.abs(ahead)
      } s: networks do not go by it, ` +
      "certificates and WireGuard do; set it, as by systemd-timesyncd or chrony",
    ]),
  ]);
}

/** Asks for what the agent will need, and changes nothing: etcd looks at rights before it looks at conditions. */
async function tryRights({ etcd, prefix }: Store): Promise<void> {
  const key = `${prefix}hosts/.probe`;
  await etcd.change([{ key, created: "1" }], [{ put: key, value: "" }]);
}

async function lookAt(store: Store, tell: (problem: string) => void) {
  const keys = keysBelow(store.prefix);
  // Without the right to write, or when etcd is full, reading still works.
  await tryRights(store).catch((error) => tell(messageOf(error)));
  const hosts = (await store.etcd.list(keys.hosts)).keys.flatMap(({ key, value }) => {
    const name = key.slice(keys.hosts.length);
    try {
      return [{ name, ...parseHost(name, value) }];
    } catch (error) {
      tell(`the record of host ${JSON.stringify(name)} cannot be read: ${messageOf(error)}`);
      return [];
    }
  });
  const drained = (await store.etcd.list(keys.services)).keys.flatMap((entry) => {
    try {
      const { network, service, host, id, drained } = readMember(
        entry.key.slice(keys.services.length),
        entry,
      );
      return drained ? [{ network, service, host, id }] : [];
    } catch {
      // The agents tell what cannot be read.
      return [];
    }
  });
  const places: Place[] = [];
  const networks = await Promise.all((await listNetworks(store, tell)).map(async (network) => {
    const prefix = keys.addresses(network.name);
    const claims = (await store.etcd.list(prefix)).keys;
    places.push(...placesOf(network, claims.map((one) => ({ address: one.key.slice(prefix.length), one }))));
    const members = claims.flatMap((entry) => readClaim(entry)?.host ?? []);
    return { ...network, addresses: claims.length, hosts: [...new Set(members)].toSorted() };
  }));
  return { hosts, networks, places, drained };
}

/** The first address of each host's own on a network. */
function placesOf(
  { name, encrypted }: OverlayNetwork,
  claims: readonly { readonly address: string; readonly one: KeyValue }[],
): readonly Place[] {
  const places = new Map<string, Place>();
  for (const { address, one } of claims) {
    const claim = readClaim(one);
    if (claim?.id !== "" || parseAddress(address) !== address || places.has(claim.host)) continue;
    places.set(claim.host, { network: name, encrypted: encrypted === true, host: claim.host, address });
  }
  return [...places.values()];
}

/** Has this host's WireGuard use a new key. @returns its public part @throws Error when the agent cannot be asked */
export async function rotate(world: World): Promise<string> {
  const { key } = await askOwn(world, { do: "rotate" }) as { readonly key: string };
  return key;
}

/** Takes this host out of the cluster. @throws Error naming the containers that are on overlay networks */
export async function leaveCluster(world: World, force: boolean): Promise<void> {
  await askOwn(world, { do: "leave", force });
}

/** @throws Error unless the agent runs, which tells the other hosts */
export async function needAgent(world: World): Promise<void> {
  await askOwn(world, { do: "status" });
}

async function askOwn(world: World, request: AgentRequest): Promise<unknown> {
  const socket = agentSocket(stateDirectory(world));
  return parseAnswer(
    await askAgent(world, socket, writeRequest(request), { looks: request.do === "status" }),
  );
}

/**
 * Gives back all addresses of a host that is gone for good.
 * @returns how many there were
 * @throws Error when the host is alive
 */
export async function forgetHost(store: Store, name: string): Promise<number> {
  const [{ etcd }, keys] = [store, keysBelow(store.prefix)];
  let count = 0;
  for (const network of await listNetworks(store)) {
    for (const entry of (await etcd.list(keys.addresses(network.name))).keys) {
      if (readClaim(entry)?.host !== name) continue;
      const { key, value } = entry;
      const done = await etcd.change([{ key: keys.host(name), created: "0" }, { key, value }], [{
        delete: key,
      }]);
      if (!done && await etcd.get(keys.host(name))) {
        throw new Error(
          `Cannot forget host "${name}": it is alive; stop its agent, and wait until its lease has ended`,
        );
      }
      count++;
    }
  }
  return count;
}
