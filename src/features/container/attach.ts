import { messageOf } from "../../wire/cni/error.ts";
import { hasDns, type Result } from "../../wire/cni/result.ts";
import { setLink } from "../../plan/ip.ts";
import { forbidSpoofing } from "../../plan/nft_bridge.ts";
import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { vethEnds } from "../../drivers/main/veth.ts";
import { apply, explain, RollbackError } from "../../engine/apply.ts";
import type { ChainPlan } from "../../engine/chain.ts";
import { awaitLinks, ownNamespace, prefixesOf, staleness } from "../../engine/namespace.ts";
import { detachLocked, readOrRecover } from "./detach.ts";
import { namesUnasked, provideFiles, withNames } from "./files.ts";
import { addExternal, settle } from "../cni_runtime/external_network.ts";
import { refuseForwardingOfRoot } from "../rootless/forwarding.ts";
import { collect } from "./gc.ts";
import { Interrupted } from "../../engine/interruption.ts";
import { type Journal, readJournal, writeJournal } from "../../engine/journal.ts";
import { recordKeptChanges } from "../../engine/kept_changes.ts";
import { planLimits, resolveNames } from "../limits/limits.ts";
import { givePorts, planLinks, type PlannedLink, plannedLink, publish, publishedThrough } from "./links.ts";
import { chooseNetworks, listNetDirectories, networksIn } from "../networks/networks.ts";
import { findConflicting, portClaims, takePorts } from "./ports.ts";
import { bootId } from "../../engine/process.ts";
import type { Request } from "./request.ts";
import { planRelay } from "../rootless/relay.ts";
import { planRootless, refuseStandIns, type RootlessPlan } from "../rootless/rootless.ts";
import { type ContainerPaths, containerPaths, refuseUnknownFiles } from "../../engine/state.ts";
import { forwardFromHost, type HostForwarding, withSessionForwarders } from "../rootless/host_forwarding.ts";
import { isRoot } from "../../engine/user.ts";
import type { AttachOptions } from "./options.ts";

/**
 * Attaches a container to its networks, publishes its ports and provides its files; or does nothing at all.
 * @returns what is written down of it, or undefined for mode `host`, of which there is nothing to write
 * @throws Error when something is wrong, or could not be done; then everything is undone
 */
export async function attach(world: World, state: string, request: Request): Promise<Journal | undefined> {
  const paths = containerPaths(state, request.id);
  // Nobody takes away what containers share while somebody has the directory in common with us.
  const [release, unlock] = await Promise.all([world.share(state), world.lock(paths.lock)]);
  try {
    const old = request.replace ? await readOrRecover(world, state, request.id) : readJournal(world, paths);
    if (old && !request.replace) await awaitLinks(world, old);
    if (old && !request.replace && old.phase === "done" && staleness(world, old) === undefined) {
      throw new Error(`Cannot attach container "${request.id}": it is attached already; take it down first`);
    }
    if (old) await detachLocked(world, state, old);
    else refuseUnknownFiles(world, state, request.id);
    return await attachLocked(world, state, paths, request);
  } finally {
    unlock();
    release();
  }
}

async function attachLocked(
  world: World,
  state: string,
  paths: ContainerPaths,
  request: Request,
): Promise<Journal | undefined> {
  const { id, container, options, session } = request;
  refuseUplinkOfRoot(world, options);
  if (isRoot(world)) refuseForwardingOfRoot(options.forwarding);
  const contained = options.mode.kind === "contained";
  const directories = contained ? listNetDirectories(world, options.netDirectories) : [];
  const networks = request.networks ??
    chooseNetworks(contained ? networksIn(world, directories) : [], options.mode);
  const source = { state, root: isRoot(world), directories };
  // A session is connected by an uplink all the same: what the file says counts in it.
  if (!source.root && !session) refuseStandIns(networks);
  const planned = await Promise.all(networks.map((network) => plannedLink(world, source, network, request)));
  const ports = await withSessionForwarders(world, options.ports);
  const reach = forwardFromHost(world, ports);
  const links = givePorts(world, planned, source, reach.ports);
  const write = (journal: Journal) => {
    if (options.mode.kind !== "host") writeJournal(world, paths, journal);
    return journal;
  };
  let done = write(firstJournal(world, request, ports, links, portClaims(state, options.ports, id)));
  let written = done;
  const flush: Connecting["flush"] = async (steps, results, rootless) => {
    written = write(withSteps(done, steps, results, rootless));
    recordKeptChanges(world, state, steps);
    await apply(world, prefixesOf(container), steps);
    done = written;
  };
  try {
    // Of those who have the ports, some may have ended without our hearing of it.
    await collect(world, state, findConflicting(world, state, options.ports, id), "patient");
    await takePorts(world, state, options.ports, id);
    await connect(world, state, { paths, request, links, root: source.root, reach, flush });
    return options.mode.kind === "host" ? undefined : write({ ...done, phase: "done" });
  } catch (error) {
    // With its journal it can be tried again.
    if (error instanceof RollbackError) throw explain(error);
    // Of what was interrupted nobody knows how far it had got, as after a crash.
    throw explain(await giveUp(world, state, error instanceof Interrupted ? written : done, error));
  }
}

function refuseUplinkOfRoot(world: World, { uplink }: AttachOptions): void {
  if (!uplink || !isRoot(world)) return;
  throw new Error(
    `Cannot use uplink "${uplink.uplink.name}" as root: root's containers are connected by their networks; ` +
      "leave --uplink out",
  );
}

/** What is written down before anything is planned or done: who has which names and ports. */
function firstJournal(
  world: World,
  { id, container, lasting, options, session, ending }: Request,
  ports: Journal["ports"],
  links: readonly PlannedLink[],
  claims: readonly Step[],
): Journal {
  return {
    ...{ format: 1, id, created: new Date().toISOString(), bootId: bootId(world), host: ownNamespace(world) },
    ...{ container: lasting ?? container, phase: "planning", ports, limits: options.limits },
    ...(session ? { session: { lowestPort: session.lowestPort } } : {}),
    attachments: links.map(({ attached }) => attached),
    steps: [...(session ? [session.ending] : []), ...(ending ? [ending] : []), ...claims],
  };
}

function withSteps(
  journal: Journal,
  steps: readonly Step[],
  results: readonly Result[],
  rootless: RootlessPlan | undefined,
): Journal {
  const attachments = journal.attachments.map((attached, i) => ({
    ...attached,
    ...(rootless ? { by: rootless.by } : {}),
    ...(results[i] === undefined ? {} : { result: results[i] }),
  }));
  const ports = rootless?.ports ?? journal.ports;
  return { ...journal, phase: "planned", attachments, ports, steps: [...journal.steps, ...steps] };
}

/**
 * Takes back what was done before something failed. What the step that failed had done itself is taken back already, and
 * what it was not allowed to do must not be.
 * @returns the error, with what resisted
 */
async function giveUp(world: World, state: string, done: Journal, error: unknown): Promise<unknown> {
  try {
    // Addresses may be taken that no step names yet.
    await detachLocked(world, state, { ...done, phase: "planning" });
    return error;
  } catch (problem) {
    return new RollbackError(error, [messageOf(problem)]);
  }
}

/** What connecting a container takes. */
interface Connecting {
  readonly paths: ContainerPaths;
  readonly request: Request;
  readonly links: readonly PlannedLink[];
  readonly root: boolean;
  readonly reach: HostForwarding;
  /** Writes down what was planned, with the results so far and who connects it, and does it. */
  flush(steps: readonly Step[], results: readonly Result[], rootless?: RootlessPlan): Promise<void>;
}

/** Plans as much as can be planned at once, and does it: all of it, unless a plugin has to be asked in between. */
async function connect(world: World, state: string, connecting: Connecting): Promise<void> {
  const { request: { options }, links, flush } = connecting;
  const names = await resolveNames(world, options.limits);
  const linked = await planLinksOf(world, state, connecting);
  const published = publishPorts(world, state, connecting, linked);
  const limits = planLimits(options.limits, names, links.map(({ attached }) => attached));
  const files = filesOf(world, connecting, linked, names);
  await flush([...linked.steps, ...published, ...limits, ...files], linked.results, linked.rootless);
}

/** A container's links as they will be. */
interface Linked {
  /** What is still to be done for them. */
  readonly steps: readonly Step[];
  readonly results: readonly Result[];
  readonly rootless?: RootlessPlan;
}

/** Plans the links; of those that somebody has to be asked for, what comes before the answer is done. */
async function planLinksOf(world: World, state: string, connecting: Connecting): Promise<Linked> {
  const { paths, request, links, root, reach, flush } = connecting;
  const results: Result[] = [];
  // A port that is taken is refused before anything is made.
  let steps: readonly Step[] = request.options.mode.kind === "host"
    ? []
    : [...reach.forwards, setLink("container", "lo", "up")];
  if (!root && links.length > 0) {
    let rootless = await planRootless(world, state, paths, request, links.map(({ attached }) => attached));
    if (typeof rootless.result === "function") {
      await flush(steps, results);
      rootless = await firstGranted(rootless, (plan) => flush(plan.steps, results, plan));
      steps = [];
    }
    return { steps: [...steps, ...rootless.steps], results: [rootless.result as Result], rootless };
  }
  for (const group of groupsOf(links)) {
    const [first] = group as [PlannedLink];
    const { attached } = first;
    if (attached.path) {
      await flush(steps, results);
      const result = await addExternal(world, state, request, attached);
      steps = settle(world, first, result, results);
      results.push(result);
    } else {
      const plans = await planLinks(world, group, request.container, results);
      results.push(...plans.map(({ result }) => result));
      steps = [...steps, ...plans.flatMap(({ steps }) => steps), ...guards(request, group, plans)];
    }
  }
  return { steps, results };
}

function publishPorts(
  world: World,
  state: string,
  { paths, request, links, reach }: Connecting,
  { results, rootless }: Linked,
): readonly Step[] {
  const target = links[publishedThrough(links)];
  if (!target || target.attached.published) return [];
  const result = results[links.indexOf(target)]!;
  if (!rootless) return publish(target, result, reach.ports, results);
  return planRelay(world, state, paths, {
    ...{ entering: request, attached: { ...target.attached, result }, ports: rootless.ports },
    isSession: request.session !== undefined,
  });
}

/** @param names addresses of names that the container may go to; a resolver might tell it others */
function filesOf(
  world: World,
  { paths, request: { options, rootfs }, links }: Connecting,
  { results }: Linked,
  names: ReadonlyMap<string, readonly string[]>,
): readonly Step[] {
  const named = results.findIndex(({ dns }) => hasDns(dns));
  const unasked = named < 0 ? namesUnasked(world, rootfs, results) : undefined;
  const found = named < 0
    ? unasked && { from: "the host", dns: unasked }
    : { from: `network ${links[named]!.attached.network.name}`, dns: results[named]!.dns };
  const wanted = rootfs === undefined ? options.files : withNames(options.files, names);
  return provideFiles(world, paths.directory, wanted, found, rootfs);
}

/** The first way, of this and those instead of it, that nobody refuses, with what is true of it; or one that need not ask. */
async function firstGranted(
  plan: RootlessPlan,
  doFirst: (plan: RootlessPlan) => Promise<void>,
): Promise<RootlessPlan> {
  if (typeof plan.result !== "function") return plan;
  try {
    await doFirst(plan);
    return { ...plan, steps: [], result: await plan.result() };
  } catch (error) {
    if (!plan.instead || error instanceof Interrupted || error instanceof RollbackError) throw error;
    return await firstGranted(await plan.instead(), doFirst);
  }
}

/** What keeps a container that its owner has power over, and not root, from speaking for others. */
function guards(
  { container }: Request,
  links: readonly PlannedLink[],
  plans: readonly ChainPlan[],
): readonly Step[] {
  if (container.owner === undefined) return [];
  return plans.flatMap(({ result }, i) => {
    const inside = result.interfaces.find(({ sandbox }) => sandbox !== undefined);
    return forbidSpoofing(vethEnds(links[i]!.at).host.name, inside!.mac!, result.ips);
  });
}

/** Neighbours that can be planned together; one that cannot is alone. */
function groupsOf(links: readonly PlannedLink[]): readonly (readonly PlannedLink[])[] {
  const groups: PlannedLink[][] = [];
  for (const link of links) {
    const last = groups.at(-1);
    if (last && !link.attached.path && !last[0]!.attached.path) last.push(link);
    else groups.push([link]);
  }
  return groups;
}
