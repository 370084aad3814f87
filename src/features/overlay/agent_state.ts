import type { World } from "../../plan/world.ts";
import type { ClusterConfig, Underlay } from "./cluster_config.ts";
import type { Etcd } from "./etcd.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { type HostRecord, keysBelow, type OverlayNetwork, parseHost, parseNetwork } from "./keys.ts";
import type { Mirror } from "./mirror.ts";
import type { Store } from "./networks.ts";
import type { PeerIndex } from "./peer_index.ts";

/** What the agent of a host knows. */
export interface Agent {
  readonly world: World;
  readonly state: string;
  readonly config: ClusterConfig;
  readonly store: Store;
  readonly hosts: Mirror;
  readonly networks: Mirror;
  /** The members of services on all hosts. */
  readonly services: Mirror;
  /** This host's members as they were put last, by key, with the lease. */
  readonly published: Map<string, string>;
  /** Files of names whose containers have ended, NETWORK/FILE, as of the last sweep. */
  ended?: ReadonlySet<string>;
  /** The networks that the host takes part in, by name. */
  readonly joined: Map<string, Joined>;
  readonly tell: (line: string) => void;
  /** What is wrong now, by what it concerns. */
  readonly problems: Map<string, string>;
  /** Has everything looked at soon. */
  wake(): void;
  /** What was done for the ports of services: lines of IPv4 and IPv6 with their undo, and the members' addresses. */
  mesh?: {
    readonly text: string;
    readonly routes: readonly [ReadonlyMap<string, string>, ReadonlyMap<string, string>];
    readonly reached: ReadonlySet<string>;
    readonly looked: number;
  } | undefined;
  hasClearedMesh?: true;
  /** Puts the rules of this host's containers back. @returns whether a table of them was missing */
  readonly restoreRules?: () => Promise<boolean>;
  /** When the table of this host's containers was looked for, in milliseconds of the monotonic clock. */
  rulesLooked?: number;
  /** Has the agent end, once what it is at is done. */
  end(): void;
  /** The host is not to be in the cluster any more. */
  hasLeft?: true;
  /** The host's lease, once it has one. */
  lease?: string;
  /** The last renewing of it that was begun. */
  beating?: Promise<void>;
  /** Which reading of the networks has been searched for addresses of this host's on those that it has no part in. */
  searched?: number;
  underlay?: Underlay;
  /** The host's WireGuard, once an encrypted network needs it, and the configuration that it was given. */
  tunnel?: {
    readonly key: string;
    readonly port: number;
    applied?: { readonly conf: string; looked: number };
  };
}

/** A network that the host takes part in. */
export interface Joined {
  network: OverlayNetwork;
  /** The revision that made it. */
  created: string;
  readonly digest: string;
  readonly claims: Mirror;
  readonly names: Mirror;
  /** The names of this host's containers as they were put last, by key, with the lease. */
  readonly published: Map<string, string>;
  /** What the kernel's tables have, as far as is known without looking. */
  applied?: Applied;
  /** When the links and rules were looked at, in milliseconds of the monotonic clock. */
  inspected?: number;
  /** When the names of other hosts' containers are to be looked at again, in milliseconds of the monotonic clock. */
  namesDue?: number;
  /** Which reading of networks and claims, with which addresses, has been held against what is recorded here. */
  compared?: string;
  /** Until when it is kept although no container has an address on it, in milliseconds of the monotonic clock. */
  keptUntil: number;
}

/** What the agent has put into the kernel's tables for a network. */
export interface Applied {
  readonly index: PeerIndex;
  /** Underlay addresses that the guard lets in. */
  readonly hosts: ReadonlySet<string>;
  /** The hosts that it was made for, in one text. */
  readonly hostsKey: string;
  /** No claim was left out, so that changes may be looked at by themselves. */
  readonly isWhole: boolean;
  /** When the kernel's tables were looked at, and until when that counts, in milliseconds of the monotonic clock. */
  readonly looked: number;
  readonly until: number;
}

/** The client of the agent's cluster. */
export function etcdOf({ store }: Agent): Etcd {
  return store.etcd;
}

/** Milliseconds in which the hosts have put back what etcd lost: they hear of it, and then look for it. */
export function lingerOf({ leaseSeconds }: ClusterConfig): number {
  return leaseSeconds * 1000 + 10_000;
}

/** The cluster's keys. */
export function keysOf({ config }: Pick<Agent, "config">): ReturnType<typeof keysBelow> {
  return keysBelow(config.prefix);
}

/** Says what is wrong, once, whatever else suffers from it; and once when it is no longer. */
export function report(agent: Agent, topic: string, problem: string | undefined): void {
  const before = agent.problems.get(topic);
  if (before === problem) return;
  agent.problems.delete(topic);
  const isTold = [...agent.problems.values()].some((one) => (problem ?? before)!.endsWith(one));
  if (problem !== undefined) agent.problems.set(topic, problem);
  if (!isTold) agent.tell(problem ?? `${topic}: in order again`);
}

/** Hosts that have been read, by what etcd told. */
const read = new WeakMap<KeyValue, HostRecord>();

/** The hosts that are alive, by name. */
export function livingHosts(agent: Agent): ReadonlyMap<string, HostRecord> {
  const problems: string[] = [];
  const entries = [...agent.hosts.held].flatMap(([name, entry]) => {
    try {
      const host = read.get(entry) ?? parseHost(name, entry.value);
      read.set(entry, host);
      return [[name, host] as const];
    } catch (error) {
      problems.push(`Cannot read the record of host ${JSON.stringify(name)}: ${(error as Error).message}`);
      return [];
    }
  });
  report(agent, "records of hosts", problems.toSorted()[0]);
  return new Map(entries);
}

/**
 * Takes over a network's record as etcd has it now.
 * @throws Error for one that is no longer encrypted: a client that may write to etcd must not have it go on in clear text
 */
export function updateNetwork(
  joined: Joined,
  known: Pick<Joined, "network" | "created"> | undefined,
): Joined {
  if (joined.network.encrypted && known !== undefined && !known.network.encrypted) {
    throw new Error(
      `Cannot use network "${joined.network.name}": this host knows it as encrypted, and its record in etcd says it is ` +
        "not; put the record right, or take the containers off it",
    );
  }
  return Object.assign(joined, known);
}

/** A network of the cluster as the agent knows it, or undefined. @throws Error when its record cannot be read */
export function knownNetwork(
  { networks }: Pick<Agent, "networks">,
  name: string,
): { readonly network: OverlayNetwork; readonly created: string } | undefined {
  const entry = networks.entries.get(name);
  if (entry === undefined) return undefined;
  try {
    return { network: parseNetwork(name, entry.value), created: entry.created };
  } catch (error) {
    throw new Error(
      `Cannot use network "${name}": its record in etcd cannot be read: ${(error as Error).message}`,
    );
  }
}
