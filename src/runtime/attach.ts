import { messageOf } from "../cni/error.ts";
import { hasDns } from "../cni/result.ts";
import { setLink } from "../plan/ip.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { apply, RollbackError, StepError, undoClaim } from "./apply.ts";
import { releaseAddresses } from "./chain.ts";
import { ownNamespace, prefixesOf, staleness } from "./container.ts";
import { detachLocked, readOrSalvage } from "./detach.ts";
import { provideFiles, withNames } from "./files.ts";
import { collect } from "./gc.ts";
import { type Journal, readJournal, writeJournal } from "./journal.ts";
import { planLimits, resolveNames } from "./limits.ts";
import { planLinks, type PlannedLink, plannedLink } from "./links.ts";
import { chooseNetworks, loadNetworks } from "./networks.ts";
import { findRivals, portClaims, takePorts } from "./ports.ts";
import { bootId } from "./process.ts";
import type { Request } from "./request.ts";
import { planRootless } from "./rootless.ts";
import { type ContainerPaths, containerPaths } from "./state.ts";
import { isRoot } from "./user.ts";

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
    const old = request.replace ? await readOrSalvage(world, state, request.id) : readJournal(world, paths);
    if (old && !request.replace && old.phase === "done" && staleness(world, old) === undefined) {
      throw new Error(`Cannot attach container "${request.id}": it is attached already; take it down first`);
    }
    if (old) await detachLocked(world, state, old);
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
  const { id, container, wish } = request;
  const networks = chooseNetworks(
    wish.mode.kind === "contained" ? loadNetworks(world, wish.netDirectories) : [],
    wish.mode,
  );
  const links = await Promise.all(networks.map((network) => plannedLink(state, network, request)));
  const claims = portClaims(state, wish.ports, id);
  const journal: Journal = {
    ...{ format: 1, id, created: new Date().toISOString(), bootId: bootId(world), host: ownNamespace(world) },
    ...{ container, phase: "planning", ports: wish.ports, limits: wish.limits },
    attachments: links.map(({ attached }) => attached),
    steps: claims,
  };
  if (wish.mode.kind !== "host") writeJournal(world, paths, journal);
  try {
    // Of those who have the ports, some may have ended without our hearing of it.
    await collect(world, state, findRivals(world, state, wish.ports, id));
    await takePorts(world, state, wish.ports, id);
    const planned = await plan(world, state, paths, request, links, journal);
    if (wish.mode.kind !== "host") writeJournal(world, paths, planned);
    await apply(world, prefixesOf(container), planned.steps);
    if (wish.mode.kind === "host") return undefined;
    const done: Journal = { ...planned, phase: "done" };
    writeJournal(world, paths, done);
    return done;
  } catch (error) {
    // With its journal it can be tried again.
    if (error instanceof RollbackError) throw explain(error);
    // What was applied is undone; what was taken before anything was applied is not.
    claims.forEach((claim) => undoClaim(world, claim));
    links.forEach(({ chain, at }) => releaseAddresses(chain, at, world));
    world.remove(paths.directory);
    throw explain(error);
  }
}

async function plan(
  world: World,
  state: string,
  paths: ContainerPaths,
  request: Request,
  links: readonly PlannedLink[],
  journal: Journal,
): Promise<Journal> {
  const { wish, rootfs, container } = request;
  const names = await resolveNames(world, wish.limits);
  const rootless = !isRoot(world) && links.length > 0;
  const plans = rootless
    ? [planRootless(world, state, paths, request, links.map(({ attached }) => attached))]
    : await planLinks(world, links, wish, container);
  const steps = plans.flatMap(({ steps }) => steps);
  const results = plans.map(({ result }) => result);
  const loopback: readonly Step[] = wish.mode.kind === "host" ? [] : [setLink("container", "lo", "up")];
  const named = results.findIndex(({ dns }) => hasDns(dns));
  const fromNetwork = named < 0
    ? undefined
    : { network: links[named]!.attached.network.name, dns: results[named]!.dns };
  // A container that asked a resolver might be told other addresses than those it may go to.
  const wanted = rootfs === undefined ? wish.files : withNames(wish.files, names);
  const files = provideFiles(world, paths.directory, wanted, fromNetwork, rootfs);
  const limits = planLimits(wish.limits, names, journal.attachments);
  return {
    ...journal,
    phase: "planned",
    attachments: links.map(({ attached }, i) => ({
      ...attached,
      by: rootless ? "slirp4netns" : attached.by,
      ...(results[i] === undefined ? {} : { result: results[i] }),
    })),
    steps: [...journal.steps, ...loopback, ...steps, ...limits, ...files],
  };
}

/** Says of a step that failed what a person can act on. */
function explain(error: unknown): unknown {
  if (error instanceof RollbackError) {
    const first = explain(error.first);
    return new Error(`${messageOf(first)}; then could not undo all: ${error.message}; ocinet gc tries again`);
  }
  return error instanceof StepError ? new Error(`${error.message}: ${error.details}`) : error;
}
