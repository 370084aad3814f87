/** Keeps a network's links, rules and tables on this host as they are to be. */
import { apply } from "../../engine/apply.ts";
import { findDrift } from "../../engine/drift.ts";
import { readPlugin } from "../../engine/record.ts";
import type { Step } from "../../plan/step.ts";
import { type Agent, type Joined, report } from "./agent_state.ts";
import { guardTable, linkNames } from "./links.ts";
import { overlayKey } from "./local_records.ts";
import { guardSteps, observeEntries, observeGuard, peerSteps, wantedEntries } from "./peers.ts";
import { hostsOn } from "./tunnel.ts";

/** Where lines are run: all of it is the host's. */
export const here = { host: [], container: [] };
/** Milliseconds after which the kernel's tables are looked at again, and links and rules. */
const [lookEvery, inspectEvery] = [20_000, 2500];

/** Makes the host's side of a network as it is to be, as far as that can be told. @throws Error, StepError */
export async function mend(agent: Agent, joined: Joined): Promise<void> {
  const { world, state } = agent;
  const record = readPlugin(world, state, overlayKey(joined.network.name));
  if (record === undefined) return;
  // Not with each endpoint that comes: it takes several programs.
  const isDue = performance.now() - (joined.inspected ?? -Infinity) >= inspectEvery;
  const again = !isDue ? [] : [
    ...(await findDrift(world, here, record.steps)).again,
    ...unset(agent, joined, record.steps),
  ];
  if (again.length > 0) {
    agent.tell(`network "${joined.network.name}": made again what was missing`);
    delete joined.applied;
    // Nothing of it is taken back where a part fails: it is tried again.
    await apply(world, here, again.map(withoutUndo));
  }
  if (isDue) joined.inspected = performance.now();
  if (agent.hosts.synced && joined.claims.synced) await mendPeers(agent, joined);
}

function withoutUndo(step: Step): Step {
  const { undo: _, ...rest } = step as Step & { undo?: unknown };
  return rest as Step;
}

/** Links that were set down, and settings that a port loses when it leaves its bridge. */
function unset({ world }: Agent, { digest }: Joined, steps: readonly Step[]): readonly Step[] {
  const { bridge, vxlan } = linkNames(digest);
  const read = (path: string) => world.read(`/sys/class/net/${path}`)?.trim();
  const isDown = (link: string) => (Number(read(`${link}/flags`) ?? "1") & 1) === 0;
  const lost = read(`${vxlan}/brport/neigh_suppress`) === "0" || read(`${vxlan}/brport/learning`) === "1";
  const down = [bridge, vxlan].filter(isDown);
  if (!lost && down.length === 0) return [];
  return steps.filter(({ id, tool }) => tool === "ip" && id.kind === "link-setting");
}

/** Has the tables say where the endpoints of other hosts are. @throws StepError */
export async function mendPeers(agent: Agent, joined: Joined): Promise<void> {
  const { world, config } = agent;
  const { network, digest } = joined;
  const names = linkNames(digest);
  const wanted = wantedEntries(network, joined.claims.held, await hostsOn(agent, network), config.name);
  report(agent, `claims on network ${network.name}`, wanted.problems.toSorted()[0]);
  const now = performance.now();
  const known = joined.applied && now - joined.applied.looked < lookEvery ? joined.applied : undefined;
  const table = guardTable(network);
  const guard = known?.hosts ?? await observeGuard(world, table);
  if (guard === undefined) await apply(world, here, [withoutUndo(guardOf(agent, joined))]);
  const entries = known?.entries ?? await observeEntries(world, names);
  const steps = [
    ...guardSteps(table, guard ?? new Set(), wanted.hosts),
    ...peerSteps(entries, wanted, names),
  ];
  delete joined.applied;
  // Side by side: none of these tables needs another's entry.
  const tools = [...new Set(steps.map(({ tool }) => tool))];
  await Promise.all(tools.map((one) => apply(world, here, steps.filter(({ tool }) => tool === one))));
  joined.applied = { entries: wanted, hosts: wanted.hosts, looked: known?.looked ?? now };
}

function guardOf({ world, state }: Agent, { network }: Joined): Step {
  const record = readPlugin(world, state, overlayKey(network.name));
  return record!.steps.find(({ id }) => id.kind === "table")!;
}
