/** Keeps a network's links, rules and tables on this host as they are to be. */
import { apply } from "../../engine/apply.ts";
import { passPolicies } from "../../engine/forward_policy.ts";
import { findDrift } from "../../engine/drift.ts";
import { type PluginRecord, readPlugin } from "../../engine/record.ts";
import { setLink } from "../../plan/ip.ts";
import type { Step } from "../../plan/step.ts";
import { type Agent, type Applied, type Joined, report } from "./agent_state.ts";
import { bridgeMac, guardTable, linkNames } from "./links.ts";
import { overlayKey } from "./local_records.ts";
import { changePeers, indexOf } from "./peer_index.ts";
import {
  flooded,
  floodSteps,
  guardSteps,
  observeEntries,
  observeGuard,
  peerSteps,
  wantedEntries,
} from "./peers.ts";
import { hostsOn } from "./tunnel.ts";

/** Where lines are run: all of it is the host's. */
export const here = { host: [], container: [] };
/** Milliseconds after which the kernel's tables are looked at again, and links and rules. */
const [lookEvery, inspectEvery] = [20_000, 2500];
/** How many times as long as a look at the tables takes there is none: changes wait for it. */
const lookRest = 100;

/** Makes the host's side of a network as it is to be, as far as that can be told. @throws Error, StepError */
export async function mend(agent: Agent, joined: Joined): Promise<void> {
  const { world, state } = agent;
  const record = readPlugin(world, state, overlayKey(joined.network.name));
  if (record === undefined) return;
  // Not with each endpoint that comes: it takes several programs.
  const isDue = performance.now() - (joined.inspected ?? -Infinity) >= inspectEvery;
  const again = !isDue ? [] : [
    ...changed(agent, joined, record.request),
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

/** The other hosts know this host by its MAC address; and with a small MTU the kernel takes IPv6 off a link. */
function changed(
  { world }: Agent,
  { digest }: Joined,
  { own, mtu }: PluginRecord["request"],
): readonly Step[] {
  const { bridge, vxlan } = linkNames(digest);
  const wanted = [
    [vxlan, "mtu", String(mtu)],
    [bridge, "mtu", String(mtu)],
    [bridge, "address", bridgeMac({ own: own as readonly string[] })],
  ] as const;
  return wanted.flatMap(([link, key, value]) => {
    const now = world.read(`/sys/class/net/${link}/${key}`)?.trim() ?? value;
    return now === value ? [] : [setLink("host", link, key, value)];
  });
}

/**
 * Has the tables say where the endpoints of other hosts are. What has changed is compared alone, unless the hosts have
 * changed, or the kernel's tables have not been looked at for a while.
 * @throws StepError
 */
export async function mendPeers(agent: Agent, joined: Joined): Promise<void> {
  const hosts = await hostsOn(agent, joined.network);
  const hostsKey = [...hosts].map(([name, { underlay }]) => `${name} ${underlay}`).join("\n");
  const [changes, known] = [joined.claims.takeChanges(), joined.applied];
  const isFresh = known !== undefined && performance.now() < known.until;
  if (isFresh && known.isWhole && known.hostsKey === hostsKey && changes !== "all") {
    await applyChanges(agent, joined, known, changes, hosts);
  } else {
    await applyAll(agent, joined, isFresh ? known : undefined, hosts, hostsKey);
  }
}

type Hosts = Awaited<ReturnType<typeof hostsOn>>;

async function applyChanges(
  agent: Agent,
  joined: Joined,
  known: Applied,
  changes: ReadonlySet<string>,
  hosts: Hosts,
): Promise<void> {
  if (changes.size === 0) return;
  const { network, digest, claims } = joined;
  const names = linkNames(digest);
  const change = changePeers(known.index, changes, {
    ...{ network, claims: claims.held, hosts, own: agent.config.name },
  });
  reportClaims(agent, joined, change.wanted.problems);
  await applySteps(agent, joined, [
    ...guardSteps(guardTable(network), known.hosts, change.hosts),
    ...floodSteps(names.vxlan, flooded(network, known.hosts), flooded(network, change.hosts)),
    ...peerSteps(change.now, change.wanted, names),
  ]);
  joined.applied = { ...known, hosts: change.hosts, isWhole: change.wanted.problems.length === 0 };
}

/** @param known what the tables have, if that need not be looked at */
async function applyAll(
  agent: Agent,
  joined: Joined,
  known: Applied | undefined,
  hosts: Hosts,
  hostsKey: string,
): Promise<void> {
  const { world, config } = agent;
  const { network, digest } = joined;
  const [names, table, claims] = [linkNames(digest), guardTable(network), joined.claims.held];
  const wanted = wantedEntries(network, claims, hosts, config.name);
  reportClaims(agent, joined, wanted.problems);
  const began = performance.now();
  const made = guardOf(agent, joined);
  const guard = known?.hosts ?? await observeGuard(world, table, made?.tool === "nft" ? made.run : "");
  if (guard === undefined && made) await apply(world, here, [withoutUndo(made)]);
  // Docker may have come since containers did.
  if (known === undefined) await passPolicies(world, [], ["FORWARD"]);
  const entries = known
    ? { ...known.index.entries, floods: flooded(network, known.hosts) }
    : await observeEntries(world, names);
  const [looked, now] = [known?.looked ?? began, performance.now()];
  await applySteps(agent, joined, [
    ...guardSteps(table, guard ?? new Set(), wanted.hosts),
    ...floodSteps(names.vxlan, entries.floods, flooded(network, wanted.hosts)),
    ...peerSteps(entries, wanted, names),
  ]);
  joined.applied = {
    ...{
      index: indexOf(claims, wanted),
      hosts: wanted.hosts,
      hostsKey,
      isWhole: wanted.problems.length === 0,
    },
    ...{ looked, until: known?.until ?? now + Math.max(lookEvery, (now - began) * lookRest) },
  };
}

function reportClaims(agent: Agent, { network }: Joined, problems: readonly string[]): void {
  report(agent, `claims on network ${network.name}`, problems.toSorted()[0]);
}

/** Until they are done, nothing is known of the tables. */
async function applySteps({ world }: Agent, joined: Joined, steps: readonly Step[]): Promise<void> {
  delete joined.applied;
  // Side by side: none of these tables needs another's entry.
  const tools = [...new Set(steps.map(({ tool }) => tool))];
  await Promise.all(tools.map((one) => apply(world, here, steps.filter(({ tool }) => tool === one))));
}

function guardOf({ world, state }: Agent, { network }: Joined): Step | undefined {
  const record = readPlugin(world, state, overlayKey(network.name));
  return record?.steps.find(({ id }) => id.kind === "table");
}
