import { passPolicies } from "../../engine/forward_policy.ts";
import { explain } from "../../engine/step_error.ts";
import { hasHostPort } from "../../net/port_mapping.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { type Agent, livingHosts, report } from "./agent_state.ts";
import { linkNames } from "./links.ts";
import { join } from "./local_networks.ts";
import { giveMarks, mostPairs, readMarks, writeMarks } from "./mesh_marks.ts";
import { allowForwarding } from "./mesh_forwarding.ts";
import {
  meshLeftovers,
  meshMembers,
  type MeshNetwork,
  meshRoutes,
  meshRules,
  meshTable,
  type MeshTarget,
} from "./mesh.ts";
import { drainedOf, hostsOf, type ServiceTarget, targetsOf } from "./mesh_targets.ts";
import { type Member, members } from "./services.ts";
import { listWhole } from "./whole_table.ts";

/** Milliseconds after which what is there is looked at again. */
const lookEvery = 20_000;

/** Leads the ports of all services on this host. @throws Error when that cannot be done */
export async function followMesh(agent: Agent): Promise<void> {
  if (!agent.services.synced || !agent.hosts.synced) return;
  const meshed = members(agent).filter(({ ports }) => ports.length > 0);
  if (meshed.length === 0 && agent.mesh === undefined) return await clearLeftovers(agent);
  for (const network of new Set(meshed.map((one) => one.network))) await takePart(agent, network);
  // What is there stays until it is known who has which address.
  if (meshed.some(({ network }) => agent.joined.get(network)?.claims.synced === false)) return;
  const networks = await meshNetworks(agent, meshed);
  await allowForwarding(agent, networks);
  const hosts = [...livingHosts(agent).values()].map(({ underlay }) => underlay).toSorted();
  const rules = meshRules(networks, [...new Set(hosts)]);
  const routes = [meshRoutes(networks, 4), meshRoutes(networks, 6)] as const;
  const [before, now] = [agent.mesh, performance.now()];
  const text = [rules, ...routes.flatMap((lines) => [...lines.keys()])].join("\n");
  if (before?.text === text && now - before.looked < lookEvery) return;
  const isThere = before?.text === text && await listWhole(agent.world, meshTable, rules) !== undefined;
  await setRoutes(agent, routes, before?.routes);
  if (!isThere) await setRules(agent, rules);
  const reached = meshMembers(networks);
  await endFlows(agent, [...before?.reached ?? []].filter((one) => !reached.has(one)));
  agent.mesh = meshed.length === 0 ? undefined : { text, routes, reached, looked: now };
}

/** One network that cannot be joined is no reason for the ports of the others not to be led. */
async function takePart(agent: Agent, network: string): Promise<void> {
  if (agent.joined.has(network) || !agent.networks.entries.has(network)) return;
  await join(agent, network).then(
    () => report(agent, `ports on network ${network}`, undefined),
    (error) => report(agent, `ports on network ${network}`, messageOf(explain(error))),
  );
}

/** An agent before this one may have led ports of services that have ended since. */
async function clearLeftovers(agent: Agent): Promise<void> {
  if (agent.hasClearedMesh) return;
  if (await hasTable(agent)) await takeAway(agent, undefined);
  agent.hasClearedMesh = true;
}

/** Takes all of it away. */
export async function closeMesh(agent: Agent): Promise<void> {
  if (agent.mesh === undefined) return;
  await takeAway(agent, agent.mesh.routes);
  agent.mesh = undefined;
}

async function takeAway(agent: Agent, before: Routes | undefined): Promise<void> {
  await setRoutes(agent, [new Map(), new Map()], before);
  await setRules(agent, meshRules([], []));
  writeMarks(agent.world, agent.state, new Map());
}

async function meshNetworks(agent: Agent, meshed: readonly Member[]): Promise<readonly MeshNetwork[]> {
  const problems = new Map<string, string>();
  const owners = new Map<string, string>();
  const networks: MeshNetwork[] = [];
  const names = [...new Set(meshed.map(({ network }) => network))].toSorted();
  for (const joined of names.flatMap((name) => agent.joined.get(name) ?? [])) {
    const on = meshed.filter(({ network }) => network === joined.network.name);
    const isThere = (host: string) => host === agent.config.name || agent.hosts.held.has(host);
    const hosts = hostsOf(joined.claims.held, isThere);
    const targets = targetsOf(joined.network, joined.claims.held, on, hosts)
      .filter((target) => hasPort(target, joined.network.name, owners, problems));
    const free = await Promise.all(targets.map((target) => isFree(agent, target)));
    for (const target of targets.filter((_, i) => !free[i])) {
      const port = portOf(target);
      problems.set(
        port,
        `Cannot lead ${port} to service "${target.service}" on this host: a program or a container of it has the port; stop it, or publish another one`,
      );
    }
    networks.push({
      bridge: linkNames(joined.digest).bridge,
      subnets: joined.network.subnets,
      internal: joined.network.internal,
      own: hosts.find(({ name }) => name === agent.config.name)?.addresses ?? [],
      hosts: hosts.filter(({ name }) => name !== agent.config.name),
      targets: targets.filter((_, i) => free[i]),
      drained: drainedOf(joined.network, joined.claims.held, on, hosts),
    });
  }
  const marked = withMarks(agent, networks);
  if (marked.some(({ hosts }) => hosts.some(({ mark }) => mark === undefined))) {
    problems.set(
      "ports of services",
      `Cannot lead all ports of services: other hosts on their networks are more than ${mostPairs}`,
    );
  }
  reportPorts(agent, problems);
  return marked;
}

/** Tells which ports cannot be led, and which can again. @param problems by topic */
function reportPorts(agent: Agent, problems: ReadonlyMap<string, string>): void {
  const told = [...agent.problems.keys()].filter((topic) => /^port |^ports of services$/.test(topic));
  told.filter((topic) => !problems.has(topic)).forEach((topic) => report(agent, topic, undefined));
  problems.forEach((problem, topic) => report(agent, topic, problem));
}

/**
 * Whether a service has its port: the first one that asks for it does.
 * @param owners of the ports so far @param problems where it is told if another service has it
 */
function hasPort(
  target: ServiceTarget,
  network: string,
  owners: Map<string, string>,
  problems: Map<string, string>,
): boolean {
  const [port, owner] = [portOf(target), `service "${target.service}" of network "${network}"`];
  const first = owners.get(port) ?? owner;
  owners.set(port, first);
  if (first === owner) return true;
  problems.set(port, `Cannot lead ${port} to ${owner}: ${first} has it; publish another port`);
  return false;
}

/** A port of the host as messages have it: "port 80", "port 53/udp". */
function portOf({ protocol, hostPort }: Pick<MeshTarget, "protocol" | "hostPort">): string {
  return `port ${hostPort}${protocol === "tcp" ? "" : `/${protocol}`}`;
}

/** Each pair of a network and another host has a mark, which it keeps. */
function withMarks({ world, state }: Agent, networks: readonly MeshNetwork[]): readonly MeshNetwork[] {
  const pairOf = ({ bridge }: MeshNetwork, name: string) => `${bridge}/${name}`;
  const pairs = networks.flatMap((network) => network.hosts.map(({ name }) => pairOf(network, name)));
  const marks = pairs.length === 0 ? new Map<string, number>() : giveMarks(readMarks(world, state), pairs);
  writeMarks(world, state, marks);
  return networks.map((network) => ({
    ...network,
    hosts: network.hosts.map((host) => ({ ...host, mark: marks.get(pairOf(network, host.name)) })),
  }));
}

/** What a program of this host, or a published port of a container, has is left to it. */
async function isFree({ world, state, mesh }: Agent, { protocol, hostPort }: MeshTarget): Promise<boolean> {
  const ranges = world.list(`${state}/ports/${protocol}-ranges`);
  if (ranges.some((range) => hasHostPort(range, hostPort))) return false;
  if (world.list(`${state}/ports/${protocol}/${hostPort}`).length > 0) return false;
  const isLed = mesh?.text.includes(`${protocol} dport ${hostPort} goto`);
  if (isLed === true) return true;
  if (protocol === "udp") return !hasSocket(world, hostPort);
  if (protocol === "sctp") return !hasEndpoint(world, hostPort);
  return await world.canListen("0.0.0.0", hostPort) && await world.canListen("::", hostPort);
}

/** Whether a program of this host takes datagrams at the port from anywhere. */
function hasSocket(world: World, port: number): boolean {
  const row = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, "0")} 0+:0000 `);
  return ["udp", "udp6"].some((table) => row.test(world.read(`/proc/net/${table}`) ?? ""));
}

/** Whether a program of this host has an SCTP endpoint on the port: the sixth word of a line. */
function hasEndpoint(world: World, port: number): boolean {
  const lines = (world.read("/proc/net/sctp/eps") ?? "").split("\n");
  return lines.some((line) => line.trim().split(/\s+/)[5] === String(port));
}

async function hasTable({ world }: Agent): Promise<boolean> {
  return (await world.run(["nft", "list", "table", ...meshTable.split(" ")], { looks: true })).code === 0;
}

async function setRules({ world }: Agent, rules: string): Promise<void> {
  const output = await world.run(["nft", "-f", "-"], { stdin: rules });
  if (output.code !== 0) throw new Error(`Cannot lead the ports of services: ${whyFailed(output)}`);
  await passPolicies(world, [], ["FORWARD"]);
}

type Routes = NonNullable<Agent["mesh"]>["routes"];

/** Only what changes is touched. What is there already is no error: it may have been lost without our hearing of it. */
async function setRoutes({ world }: Agent, routes: Routes, before: Routes | undefined): Promise<void> {
  for (const [i, f] of [[0, "-4"], [1, "-6"]] as const) {
    const gone = [...before?.[i] ?? []].filter(([line]) => !routes[i].has(line)).map(([, undo]) =>
      `${undo}\n`
    );
    const first = before === undefined ? meshLeftovers() : gone.join("");
    const lines = first + [...routes[i].keys()].map((line) => `${line}\n`).join("");
    if (lines !== "") await world.run(["ip", f, "-force", "-batch", "-"], { stdin: lines });
  }
}

/** Datagrams of a client go on to a member that is gone, as long as they keep coming, unless their flow is ended. */
async function endFlows({ world }: Agent, gone: readonly string[]): Promise<void> {
  for (const address of gone) {
    await world.run(["conntrack", "-D", "-p", "udp", "--reply-src", address]).catch(() => undefined);
  }
}
