import { digest } from "../../net/names.ts";
import type { Step } from "../../plan/step.ts";
import { StepError } from "../../engine/step_error.ts";
import { hasBootEnded } from "../../engine/namespace.ts";
import { newRecord, type PluginRecord, readPlugin, removeRecord } from "../../engine/record.ts";
import { reconcile } from "../../engine/reconcile.ts";
import type { Joined as JoinedAnswer } from "../../wire/overlay/requests.ts";
import {
  type Agent,
  etcdOf,
  type Joined,
  keysOf,
  knownNetwork,
  lingerOf,
  updateNetwork,
} from "./agent_state.ts";
import { claimAddresses, claimsOf, claimValue, readClaim, releaseAddresses } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { parseNetwork } from "./keys.ts";
import { bridgeMac, guardStep, linkNames, linkSteps, type LocalNetwork, mtuOf, withLength } from "./links.ts";
import { hasContainers, overlayKey } from "./local_records.ts";
import { dropNames } from "./member_names.ts";
import { here, mend } from "./mend.ts";
import { type Mirror, mirror } from "./mirror.ts";
import { insideOf } from "./peers.ts";
import { isMeshed } from "./services.ts";
import { hostsOn, openTunnel, tunnelLink, underlayOf } from "./tunnel.ts";

/** Milliseconds that a network is kept for a container that is about to claim an address. */
const joinGrace = 10_000;
/** Milliseconds that a request waits for etcd. */
const timeoutMs = 4500;

/** The networks that the host took part in when the last agent ended. */
export async function resume(agent: Agent): Promise<void> {
  const { world, state } = agent;
  for (const file of world.list(`${state}/overlay`)) {
    const name = /^([^.].*)\.json$/.exec(file)?.[1];
    const record = name === undefined ? undefined : readPlugin(world, state, overlayKey(name));
    if (record === undefined) continue;
    if (hasBootEnded(world, record)) removeRecord(world, state, record);
    else {
      const spec = record.request["network"];
      await open(agent, parseNetwork(name!, JSON.stringify(spec)), String(record.request["created"]));
    }
  }
}

async function open(agent: Agent, network: Joined["network"], created: string): Promise<Joined> {
  const { addresses, names } = keysOf(agent);
  const joined: Joined = {
    ...{ network, created, digest: await digest(network.name), keptUntil: 0 },
    claims: mirror(agent.store, addresses(network.name), agent.wake, lingerOf(agent.config)),
    names: mirror(agent.store, names(network.name), agent.wake, lingerOf(agent.config)),
    published: new Map(),
  };
  agent.joined.set(network.name, joined);
  return joined;
}

/** Has the network's links on this host. @throws Error when there is no such network, or etcd cannot be reached */
export async function join(agent: Agent, name: string): Promise<JoinedAnswer> {
  const until = performance.now() + timeoutMs;
  await untilRead(agent.networks, name, until);
  const known = knownNetwork(agent, name) ?? await newNetwork(agent, name);
  const joined = agent.joined.get(name) ?? await open(agent, known.network, known.created);
  updateNetwork(joined, known);
  joined.keptUntil = performance.now() + joinGrace;
  await untilRead(joined.claims, name, until);
  const local = await makeLinks(agent, joined);
  const { bridge } = linkNames(joined.digest);
  return {
    ...{ bridge, mac: bridgeMac(local), internal: joined.network.internal },
    mtu: Math.min(await currentMtu(agent, joined), recordedMtu(agent, name)),
  };
}

/** A large network takes longer, as long as etcd answers. @throws Error when it has not been read in time */
async function untilRead(one: Mirror, name: string, until: number): Promise<void> {
  await one.wait(Math.max(0, until - performance.now()));
  for (let tries = 0, pages = 0; tries < 3 && !one.synced && one.pages > pages; tries++) {
    pages = one.pages;
    await one.wait(timeoutMs);
  }
  if (one.synced) return;
  throw new Error(`Cannot join network "${name}": ${one.problem ?? "Cannot reach etcd: no answer yet"}`);
}

/** One that was made a moment ago, elsewhere. */
async function newNetwork(agent: Agent, name: string) {
  const there = await etcdOf(agent).get(keysOf(agent).network(name));
  if (there) {
    agent.networks.note(name, there);
    return knownNetwork(agent, name)!;
  }
  throw new Error(
    `Cannot join network "${name}": the cluster has none of that name; create it with "ocinet cluster create ${name}"`,
  );
}

async function currentMtu(agent: Agent, { network }: Joined): Promise<number> {
  const others = [...(await hostsOn(agent, network)).values()];
  const own = await underlayOf(agent, network);
  return mtuOf(network, [
    ...others.map(({ underlay, mtu }) => ({ address: underlay, mtu })),
    ...own ? [own] : [],
  ]);
}

function recordedMtu({ world, state }: Agent, name: string): number {
  return Number(readPlugin(world, state, overlayKey(name))?.request["mtu"] ?? 65535);
}

async function makeLinks(agent: Agent, joined: Joined): Promise<LocalNetwork> {
  const { network } = joined;
  const underlay = await underlayOf(agent, network);
  const fault = underlay && agent.lease
    ? insideOf(network, agent.underlay!.address)
    : agent.problems.get("cluster") ?? "not in the cluster yet";
  if (!underlay || fault) throw new Error(`Cannot join network "${network.name}": ${fault}`);
  if (network.encrypted) await openTunnel(agent);
  const own = await ownAddresses(agent, joined);
  const local: LocalNetwork = {
    ...{ network, digest: joined.digest, own, underlay, port: agent.config.port },
    ...(network.encrypted ? { tunnel: tunnelLink } : {}),
  };
  await reconcileLinks(agent, joined, local);
  await mend(agent, joined);
  return local;
}

/** The host's own addresses on the network, which are claimed for it the first time. */
async function ownAddresses(agent: Agent, joined: Joined): Promise<readonly string[]> {
  const who = { host: agent.config.name, id: "", ifname: "" };
  const known = { ...joined, claims: joined.claims.entries, held: joined.claims.held };
  const before = claimsOf(known.claims, who);
  if (before.length > 0) return before.map((address) => withLength(joined.network, address));
  const { ips } = await claimAddresses(agent.store, known, who);
  noteClaims(agent, joined, who, ips.map(({ address }) => address.split("/")[0]!));
  return ips.map(({ address }) => address);
}

/** Takes over claims of our own before etcd tells them. */
export function noteClaims(
  agent: Agent,
  { network, claims }: Joined,
  who: { readonly host: string; readonly id: string; readonly ifname: string },
  addresses: readonly string[],
): void {
  const value = claimValue(who, addresses);
  for (const address of addresses) {
    const key = keysOf(agent).address(network.name, address);
    const noted: KeyValue = { key, value, created: "0", modified: "0" };
    if (!claims.entries.has(address)) claims.note(address, noted);
  }
}

/** Where the underlay's address is another by now, only the VXLAN link is made anew: containers stay on the bridge. */
async function reconcileLinks(agent: Agent, joined: Joined, local: LocalNetwork): Promise<void> {
  const { world, state } = agent;
  const from = readPlugin(world, state, overlayKey(local.network.name));
  const mtu = Number(from?.request["mtu"] ?? await currentMtu(agent, joined));
  const steps = [guardStep(local), ...linkSteps(local, mtu)];
  if (from && JSON.stringify(from.steps) === JSON.stringify(steps)) return;
  const to = newRecord<PluginRecord>(world, {
    ...{ ...overlayKey(local.network.name), container: { netns: "", identity: "" }, steps },
    request: {
      ...{ type: "overlay", network: { version: 1, ...local.network }, created: joined.created },
      ...{ own: local.own, underlay: local.underlay.address, mtu },
    },
  });
  delete joined.applied;
  delete joined.inspected;
  const { vxlan } = linkNames(local.digest);
  const without = { ...to, steps: steps.filter((step) => !isOf(vxlan, step)) };
  if (from) await reconcile(agent, [{ from, to: without }], here);
  try {
    await reconcile(agent, [{ ...(from ? { from: without } : {}), to }], here);
  } catch (error) {
    throw explainLink(error, local);
  }
}

function isOf(link: string, { id }: Step): boolean {
  return "link" in id && id.link === link || id.kind === "sysctl" && id.key.includes(`/${link}/`);
}

/** The kernel has each pair of VNI and port but once, whatever name the link has. */
function explainLink(error: unknown, { network, port }: LocalNetwork): unknown {
  if (!(error instanceof StepError) || !/\bvx/.test(error.message)) return error;
  const reason = /exists/.test(error.details)
    ? `another link of this machine has VNI ${network.vni} on UDP port ${port}; remove it ("ip -d link show type vxlan")`
    : /in use/.test(error.details)
    ? `another program has UDP port ${port} (ss -lunp "sport = ${port}"); stop it, or set another "port" on all hosts`
    : /not supported|Unknown device type/.test(error.details)
    ? 'the kernel has no VXLAN; load it with "modprobe vxlan"'
    : error.details;
  return new Error(`Cannot make the VXLAN link of network "${network.name}": ${reason}`);
}

/** Follows the underlay's address and the network's own record. */
export async function follow(agent: Agent, joined: Joined): Promise<void> {
  const { world, state, lease } = agent;
  const underlay = await underlayOf(agent, joined.network);
  const record = readPlugin(world, state, overlayKey(joined.network.name));
  const isMoved = record && underlay && record.request["underlay"] !== underlay.address;
  if (isMoved && lease !== undefined && joined.claims.synced) await makeLinks(agent, joined);
  else await mend(agent, joined);
}

/** Whether a container of this host is on the network. What etcd does not know (any more) is known by our records. */
function isUsed(agent: Agent, { claims, network }: Joined): boolean {
  return !claims.synced || !agent.services.synced || hasContainers(agent, network.name) ||
    isMeshed(agent, network.name) || hasClaims(agent, claims.entries);
}

/** Looks at each claim of the network, of which there may be many. */
function hasClaims(agent: Agent, claims: ReadonlyMap<string, KeyValue>): boolean {
  for (const entry of claims.values()) {
    const claim = readClaim(entry);
    if (claim?.host === agent.config.name && claim.id !== "") return true;
  }
  return false;
}

/** Takes the network's links away once no container of this host is on it. @returns whether it did */
export async function leaveUnused(agent: Agent, joined: Joined): Promise<boolean> {
  if (performance.now() < joined.keptUntil || isUsed(agent, joined)) return false;
  await leave(agent, joined);
  return true;
}

/** Takes the network's links away, and gives the host's own addresses back last. */
export async function leave(agent: Agent, joined: Joined): Promise<void> {
  const { world, state, config, store } = agent;
  const record = readPlugin(world, state, overlayKey(joined.network.name));
  if (record) await reconcile(agent, [{ from: record }], here);
  const who = { host: config.name, id: "", ifname: "" };
  await releaseAddresses(store, { ...joined, claims: joined.claims.entries }, who);
  await dropNames(agent, joined);
  [joined.claims, joined.names].forEach((one) => one.stop());
  agent.joined.delete(joined.network.name);
}
