import { apply } from "../../engine/apply.ts";
import { explain, RollbackError } from "../../engine/step_error.ts";
import { waitForAll } from "../../engine/locks.ts";
import { awaitLinks, prefixesOf, staleness } from "../../engine/namespace.ts";
import { reconcile } from "../../engine/reconcile.ts";
import {
  type Attached,
  containerKey,
  type ContainerRecord,
  newRecord,
  readContainer,
  writeRecord,
} from "../../engine/record.ts";
import { defaultMtu } from "../../engine/routes.ts";
import { containerPaths, refuseUnknownFiles } from "../../engine/state.ts";
import { isRoot } from "../../engine/user.ts";
import { boundTo, joined } from "../../net/port_mapping.ts";
import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import type { Result } from "../../wire/cni/result.ts";
import { flush as flushFold, type Fold, newFold } from "../cni_runtime/fold.ts";
import { planLimits, resolveNames } from "../limits/limits.ts";
import { nameSteps, refreshNames } from "../networks/names.ts";
import { chooseNetworks, type ChosenNetwork, listNetDirectories, networksIn } from "../networks/networks.ts";
import { serviceSteps, withService } from "../networks/services.ts";
import { refuseForwardingOfRoot } from "../rootless/forwarding.ts";
import { forwardFromHost, type HostForwarding, withSessionForwarders } from "../rootless/host_forwarding.ts";
import { refuseStandIns, type RootlessPlan } from "../rootless/rootless.ts";
import { filesOf, type Linked, planLinksOf, publishPorts } from "./attach_links.ts";
import { detachLocked } from "./detach.ts";
import { readOrRecover } from "./read_or_recover.ts";
import { collect } from "./gc.ts";
import { bindingOf, givePorts, hostPorts, type PlannedLink, plannedLink, type Source } from "./links.ts";
import type { AttachOptions } from "./options.ts";
import { findConflicting, portClaims } from "./port_claims.ts";
import { TakenPort, takePorts } from "./ports.ts";
import type { Request } from "./request.ts";
import { explainShared } from "./shared_namespace.ts";
import { withoutIpv6 } from "./without_ipv6.ts";

/** A container that runs has the id. */
export class AttachedAlready extends Error {}

/**
 * Attaches a container to its networks, publishes its ports and provides its files; or does nothing at all.
 * @returns what is recorded of it, or undefined for mode `host`, of which there is nothing to record
 * @throws Error when something is wrong, or could not be done; then everything is undone
 */
export async function attach(
  world: World,
  state: string,
  request: Request,
): Promise<ContainerRecord | undefined> {
  const { id } = request;
  // No process takes away what containers share while we share the lock on the directory.
  const release = await waitForAll([world.share(state), world.lock(containerPaths(state, id).lock)]);
  try {
    const old = request.replace ? await readOrRecover(world, state, id) : readContainer(world, state, id);
    if (old && !request.replace) await awaitLinks(world, old);
    if (old && !request.replace && old.phase === "done" && staleness(world, old) === undefined) {
      throw new AttachedAlready(
        `Cannot attach container "${id}": it is attached already; take it down first`,
      );
    }
    if (old) await detachLocked(world, state, old);
    else refuseUnknownFiles(world, state, id);
    return await attachLocked(world, state, request);
  } finally {
    release();
  }
}

/** The networks as they are for this container: with its service, and without IPv6 if it has none. */
function forContainer(
  found: readonly ChosenNetwork[],
  { id, options: { service }, withoutIpv6: hasNoIpv6 }: Request,
): readonly ChosenNetwork[] {
  const served = service ? withService(id, found, service) : found;
  return hasNoIpv6
    ? served.map((one) => ({ ...one, list: withoutIpv6(one.list, hasNoIpv6 === "now" ? id : undefined) }))
    : served;
}

async function attachLocked(
  world: World,
  state: string,
  asked: Request,
): Promise<ContainerRecord | undefined> {
  const { id, container, options: wanted, session } = asked;
  refuseUplinkOfRoot(world, wanted);
  if (isRoot(world)) refuseForwardingOfRoot(wanted.forwarding);
  const contained = wanted.mode.kind === "contained";
  const directories = contained ? listNetDirectories(world, wanted.netDirectories) : [];
  const found = asked.networks ??
    chooseNetworks(contained ? networksIn(world, directories, wanted.mode) : [], wanted.mode);
  const networks = forContainer(found, asked);
  const bound = boundTo(bindingOf(networks.map(({ list }) => list)), wanted.ports);
  const request = { ...asked, options: { ...wanted, ports: bound } };
  const { options } = request;
  const source = await sourceOf(world, state, directories);
  // A session is connected by an uplink all the same: what the file says counts in it.
  if (!source.root && !session) refuseStandIns(networks);
  const planned = await Promise.all(networks.map((network) => plannedLink(world, source, network, request)));
  const single = await withSessionForwarders(world, options.ports);
  const ports = source.root ? joined(single) : single;
  const forwarding = forwardFromHost(world, ports);
  const links = givePorts(world, planned, source, forwarding.ports);
  const isRecorded = options.mode.kind !== "host";
  const claimed = hostPorts(links, ports);
  const first = firstRecord(world, request, ports, links, portClaims(state, claimed, id));
  let done = isRecorded ? writeRecord(world, state, first) : first;
  const fold = newFold(world, state);
  const flush: Connecting["flush"] = async (steps, results, rootless) => {
    const next = withSteps(done, steps, results, rootless);
    const change = isRecorded ? [{ from: done, to: next }] : [];
    // In the host's network there is nothing to undo later: its files are in the container's mounts, which end with it.
    if (!isRecorded) await apply(world, prefixesOf(container), steps);
    else if (fold.planned.length > 0) await flushFold(fold, { begun: [], blames: false }, change);
    else await reconcile({ world, state }, change, prefixesOf(container));
    done = next;
  };
  try {
    await takeFreedPorts(world, state, claimed, id);
    await connect(world, state, { request, links, root: source.root, forwarding, fold, flush });
    if (namedBy(links).length > 0) await refreshNames(world, state, namedBy(links), { id });
    return isRecorded ? writeRecord<ContainerRecord>(world, state, { ...done, phase: "done" }) : undefined;
  } catch (error) {
    // With its record it can be tried again.
    if (error instanceof RollbackError) throw explain(error);
    throw explainShared(world, state, request, await giveUp(world, state, done, error));
  }
}

/** Claims ports. Of the containers that have them, some may have ended, and be on their way out, now or a moment later. */
async function takeFreedPorts(
  world: World,
  state: string,
  ports: ContainerRecord["ports"],
  id: string,
): Promise<void> {
  const conflicting = () => findConflicting(world, state, ports, id);
  try {
    await takePorts(world, state, ports, id);
  } catch (error) {
    if (!(error instanceof TakenPort)) throw error;
    await collect(world, state, conflicting(), "for links and processes");
    if (conflicting().length > 0) throw error;
    await takePorts(world, state, ports, id);
  }
}

async function sourceOf(world: World, state: string, directories: Source["directories"]): Promise<Source> {
  const root = isRoot(world);
  return { state, root, directories, ...(root ? { pathMtu: await defaultMtu(world) } : {}) };
}

function refuseUplinkOfRoot(world: World, { uplink }: AttachOptions): void {
  if (!uplink || !isRoot(world)) return;
  throw new Error(
    `Cannot use uplink "${uplink.uplink.name}" as root: root's containers are connected by their networks; ` +
      "leave --uplink out",
  );
}

/** What is recorded before anything is planned or done: who has which names and ports. */
function firstRecord(
  world: World,
  { id, runtimeId, container, lasting, options, session, ending, hostname }: Request,
  ports: ContainerRecord["ports"],
  links: readonly PlannedLink[],
  claims: readonly Step[],
): ContainerRecord {
  return newRecord(world, {
    ...{ ...containerKey(id), created: new Date(world.now()).toISOString(), phase: "planning" as const },
    ...{ container: lasting ?? container, ports, limits: options.limits },
    ...(runtimeId === undefined ? {} : { runtimeId }),
    ...(session ? { session: { lowestPort: session.lowestPort } } : {}),
    attachments: links.map(({ attached }) => attached),
    ...(namedBy(links).length > 0 && hostname !== undefined ? { hostname } : {}),
    ...nameServersOf(options),
    steps: [...(session ? [session.ending] : []), ...(ending ? [ending] : []), ...claims],
  });
}

function withSteps(
  record: ContainerRecord,
  steps: readonly Step[],
  results: readonly Result[],
  rootless: RootlessPlan | undefined,
): ContainerRecord {
  const attachments = record.attachments.map((attached, i) => ({
    ...attached,
    ...(rootless ? { by: rootless.by } : {}),
    ...(results[i] === undefined ? {} : { result: results[i] }),
  }));
  const ports = rootless?.ports ?? record.ports;
  return { ...record, phase: "planned" as const, attachments, ports, steps: [...record.steps, ...steps] };
}

/**
 * Takes back what was done before something failed. What the step that failed had done itself is taken back already, and
 * what it was not allowed to do must not be.
 * @returns the error, with what resisted
 */
async function giveUp(world: World, state: string, done: ContainerRecord, error: unknown): Promise<unknown> {
  try {
    // Addresses may be taken that no step names yet.
    await detachLocked(world, state, { ...done, phase: "planning" as const });
    return error;
  } catch (problem) {
    return new RollbackError(error, [messageOf(problem)]);
  }
}

/** What connecting a container takes. */
export interface Connecting {
  readonly request: Request;
  readonly links: readonly PlannedLink[];
  readonly root: boolean;
  readonly forwarding: HostForwarding;
  /** What the plugins of its networks have planned. */
  readonly fold: Fold;
  /** Records what was planned, with the results so far and who connects it, and does it. */
  flush(steps: readonly Step[], results: readonly Result[], rootless?: RootlessPlan): Promise<void>;
}

/** Plans as much as can be planned at once, and does it: all of it, unless a server has to be asked in between. */
async function connect(world: World, state: string, connecting: Connecting): Promise<void> {
  const { request: { id, options }, links, flush } = connecting;
  const names = await resolveNames(world, options.limits);
  const linked = await planLinksOf(world, state, connecting);
  const published = await publishPorts(world, state, connecting, linked);
  const limits = planLimits(options.limits, names, links.map(({ attached }) => attached));
  const files = filesOf(world, state, connecting, linked, names);
  const known = [
    ...namesOf(world, state, connecting, linked),
    ...(options.service ? serviceSteps(state, id, withResults(links, linked.results), options.service) : []),
  ];
  const steps = [...linked.steps, ...published, ...limits, ...files, ...known];
  await flush(steps, linked.results, linked.rootless);
}

/** Networks whose containers know each other by name. */
export function namedBy(links: readonly PlannedLink[]): readonly string[] {
  return links.filter(({ attached }) => attached.network.named).map(({ attached }) => attached.network.name);
}

function namesOf(
  world: World,
  state: string,
  { request: { id, hostname, options }, links }: Connecting,
  { results }: Linked,
): readonly Step[] {
  if (namedBy(links).length === 0) return [];
  const named = { id, hostname, ...nameServersOf(options) };
  return nameSteps(world, state, named, withResults(links, results));
}

export function withResults(
  links: readonly PlannedLink[],
  results: readonly Result[],
): readonly (Attached & { readonly result: Result })[] {
  return links.map(({ attached }, i) => ({ ...attached, result: results[i]! }));
}

/** Whom a container asks for names, where its options say so. */
function nameServersOf({ files: { resolv } }: AttachOptions): Pick<ContainerRecord, "nameServers"> {
  const servers = typeof resolv === "object" ? resolv.nameservers ?? [] : [];
  return servers.length === 0 ? {} : { nameServers: servers };
}
