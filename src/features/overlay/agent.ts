/**
 * The agent of a host: it keeps the host's lease in etcd, claims addresses for containers that start, makes the links of
 * the networks that they are on, and keeps the kernel's tables as the other hosts' endpoints ask. Without etcd everything
 * stays as it is; without the agent, too.
 */
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { type InTurn, turns } from "../../engine/turns.ts";
import { type Agent, lingerOf, report } from "./agent_state.ts";
import { serve } from "./agent_requests.ts";
import { agentSocket } from "../../wire/overlay/requests.ts";
import { type ClusterConfig, readClusterConfig } from "./cluster_config.ts";
import { connect } from "./etcd.ts";
import { noteEnded } from "./ended.ts";
import { EtcdError } from "./etcd_error.ts";
import { beat, enterAgain } from "./host_lease.ts";
import { restoreHostRules } from "./host_rules.ts";
import { keysBelow } from "./keys.ts";
import { follow, leaveUnused, resume } from "./local_networks.ts";
import { followMesh } from "./follow_mesh.ts";
import { publishMembers } from "./services.ts";
import { followNames } from "./member_names.ts";
import { mirror } from "./mirror.ts";
import { writeNetworkFiles } from "./network_files.ts";
import { putBack } from "./put_back.ts";
import { followTunnel, resumeTunnel } from "./tunnel.ts";
import { sweepClaims, sweepElsewhere } from "./sweep.ts";

/** Milliseconds between two looks at everything, and between a change and the look that follows it. */
const [lookEvery, settle] = [3000, 30];

/**
 * Serves until it is told to end.
 * @param restoreRules puts back the rules of the host's containers
 * @throws Error when it cannot start
 */
export async function runAgent(
  world: World,
  state: string,
  tell: (line: string) => void,
  restoreRules: () => Promise<boolean>,
): Promise<void> {
  const config = readClusterConfig(world);
  world.makeDirectory(`${state}/locks`, 0o700);
  const unlock = await world.tryLock(`${state}/locks/.agent`);
  if (unlock === undefined) throw new Error(`Cannot start: an agent of ${state} runs already`);
  const agent = Object.assign(newAgent(world, state, config, tell), { restoreRules });
  const inTurn = turns();
  const work = loop(agent, inTurn);
  try {
    await inTurn(() => resume(agent));
    await inTurn(() => resumeTunnel(agent)).catch((error) => tell(messageOf(error)));
    await inTurn(() => beat(agent));
    const listening = await serve(agent, inTurn);
    tell(`host "${config.name}": listening`);
    await untilSignal(agent);
    listening.close();
    world.remove(agentSocket(state));
  } finally {
    work.stop();
    [
      agent.hosts,
      agent.networks,
      agent.services,
      ...[...agent.joined.values()].flatMap(({ claims, names }) => [claims, names]),
    ]
      .forEach((one) => one.stop());
    unlock();
  }
}

function newAgent(world: World, state: string, config: ClusterConfig, tell: (line: string) => void): Agent {
  const store = { etcd: connect(world, config), prefix: config.prefix, random: world.random };
  const keys = keysBelow(config.prefix);
  const agent = {
    ...{ world, state, config, tell, store },
    ...{ joined: new Map(), problems: new Map(), published: new Map(), wake: () => {}, end: () => {} },
  };
  const wake = () => agent.wake();
  return Object.assign(agent, {
    hosts: mirror(store, keys.hosts, wake, lingerOf(config)),
    networks: mirror(store, keys.networks, wake),
    services: mirror(store, keys.services, wake, lingerOf(config)),
  });
}

/** Looks at everything now and then, and soon after each change; renews the lease meanwhile. */
function loop(agent: Agent, inTurn: InTurn): { stop(): void } {
  const state: { timer?: ReturnType<typeof setTimeout>; soon: boolean; looks: boolean; ended: boolean } = {
    soon: false,
    looks: false,
    ended: false,
  };
  let swept = 0;
  const look = async () => {
    state.soon = false;
    state.looks = true;
    const isDue = performance.now() - swept >= lookEvery;
    if (isDue) swept = performance.now();
    void restoreHostRules(agent);
    await inTurn(() => pass(agent, isDue)).catch((error) => agent.tell(messageOf(error)));
    state.looks = false;
    if (!state.ended) plan(state.soon ? settle : lookEvery);
  };
  const plan = (milliseconds: number) => {
    clearTimeout(state.timer);
    state.timer = setTimeout(() => void look(), milliseconds);
  };
  agent.wake = () => {
    if (state.soon || state.ended) return;
    state.soon = true;
    // Another look begins when this one has ended: a row of them would keep those waiting who want an address.
    if (!state.looks) plan(settle);
  };
  // Beside what goes in turn: a network that takes long to mend must not cost the lease.
  let isBeating = false;
  const beating = setInterval(() => {
    if (isBeating) return;
    isBeating = true;
    void beat(agent).finally(() => isBeating = false);
  }, agent.config.leaseSeconds * 1000 / 3);
  return {
    stop: () => {
      state.ended = true;
      clearTimeout(state.timer);
      clearInterval(beating);
    },
  };
}

/** @param sweeps whether to look for claims of which nothing is recorded, too */
async function pass(agent: Agent, sweeps: boolean): Promise<void> {
  if (agent.hasLeft) return;
  report(agent, "etcd", agent.networks.problem);
  await enterAgain(agent);
  await followTunnel(agent).then(
    () => report(agent, "tunnel", undefined),
    (error) => report(agent, "tunnel", messageOf(error)),
  );
  if (sweeps) {
    const problem = await sweepElsewhere(agent).then(() => undefined, messageOf);
    report(agent, "addresses on other networks", problem);
    await noteEnded(agent).catch((error) => agent.tell(messageOf(error)));
  }
  for (const joined of [...agent.joined.values()]) {
    const topic = `network ${joined.network.name}`;
    try {
      if (sweeps) {
        await putBack(agent, joined);
        await sweepClaims(agent, joined);
      }
      if (!await leaveUnused(agent, joined)) {
        await follow(agent, joined);
        await followNames(agent, joined);
      }
      report(agent, topic, undefined);
    } catch (error) {
      report(agent, topic, `network "${joined.network.name}": ${messageOf(error)}`);
      noteLease(agent, error);
    }
  }
  try {
    await publishMembers(agent);
    await followMesh(agent);
    report(agent, "ports of services", undefined);
  } catch (error) {
    report(agent, "ports of services", messageOf(error));
    noteLease(agent, error);
  }
  writeNetworkFiles(agent);
}

/** Without its lease the host enters the cluster anew at once; nothing is told with the old one any more. */
function noteLease(agent: Agent, error: unknown): void {
  if (!(error instanceof EtcdError && error.leaseEnded)) return;
  delete agent.lease;
  void beat(agent);
}

/** SIGHUP has it look at the kernel's tables at once; the others end it. */
function untilSignal(agent: Agent): Promise<void> {
  return new Promise((resolve) => {
    agent.end = resolve;
    agent.world.onSignals(["SIGTERM", "SIGINT", "SIGHUP"], (name) => {
      if (name !== "SIGHUP") return resolve();
      delete agent.rulesLooked;
      if (agent.mesh) agent.mesh = { ...agent.mesh, looked: -Infinity };
      for (const joined of agent.joined.values()) {
        delete joined.applied;
        delete joined.inspected;
      }
      agent.wake();
    });
  });
}
