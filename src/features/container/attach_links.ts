/** The links, ports and files of a container that is being attached, network by network. */
import { vethEnds } from "../../drivers/main/veth.ts";
import { RollbackError } from "../../engine/step_error.ts";
import { Interrupted } from "../../engine/interruption.ts";
import { prefixesOf } from "../../engine/namespace.ts";
import { containerPaths } from "../../engine/state.ts";
import { setLink } from "../../plan/ip.ts";
import { forbidSpoofing } from "../../plan/nft/bridge.ts";
import { append, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { hasDns, type Result } from "../../wire/cni/result.ts";
import { writeCache } from "../cni_runtime/cache.ts";
import { callOf } from "../cni_runtime/external_network.ts";
import { flush as flushFold, type Fold, foldNetwork } from "../cni_runtime/fold.ts";
import { resolversOf } from "../networks/names.ts";
import { settingsInSession } from "../rootless/host_forwarding.ts";
import { planRelay } from "../rootless/relay.ts";
import { planRootless, type RootlessPlan } from "../rootless/rootless.ts";
import { type Connecting, namedBy, withResults } from "./attach.ts";
import { namesUnasked, provideFiles, withNames } from "./files.ts";
import { areHosts, fromHost } from "./host_names.ts";
import { believeAll, naming, type PlannedLink, publish, publishedThrough, stepsOf } from "./links.ts";
import { defaultRouteFilter } from "./default_route.ts";
import type { Request } from "./request.ts";

const loopbackUp = setLink("container", "lo", "up");

/** A container's links as they will be. */
export interface Linked {
  /** What is still to be done for them, beside what is in the fold. */
  readonly steps: readonly Step[];
  readonly results: readonly Result[];
  readonly rootless?: RootlessPlan;
}

/** Plans the links; of those that a server has to be asked for, what comes before the answer is done. */
export async function planLinksOf(world: World, state: string, connecting: Connecting): Promise<Linked> {
  const { request, links, root, forwarding } = connecting;
  // A port that is taken is refused before anything is made.
  const steps: readonly Step[] = request.options.mode.kind === "host"
    ? []
    : [...forwarding.forwards, loopbackUp, ...settingsInSession(world)];
  if (!root && links.length > 0) return await planUplink(world, state, connecting, steps);
  const results: Result[] = [];
  const more: Step[] = [];
  const isWanted = defaultRouteFilter(results);
  for (const link of links) {
    const result = await addLink(world, connecting, link, isWanted);
    append(more, [...stepsOf(world, link, result, results), ...guards(request, link, result)]);
    results.push(result);
  }
  return { steps: [...steps, ...more, ...believeAll(links, results)], results };
}

/**
 * Puts a network's plugins into the fold, and runs those that are not ours.
 * @throws Error naming the network, where a plugin that is not ours failed
 */
export async function addLink(
  world: World,
  { request, fold }: {
    readonly request: Pick<Request, "id" | "container" | "lasting">;
    readonly fold: Fold;
  },
  { attached, file }: PlannedLink,
  isWanted: (step: Step) => boolean,
): Promise<Result> {
  const { id, container, lasting } = request;
  const entered = { recorded: lasting ?? container, prefixes: prefixesOf(container) };
  const call = { ...callOf(fold.state, { id, netns: container.netns }, attached), entered };
  if (!attached.path) {
    const adjust = (steps: readonly Step[]) => steps.filter(isWanted);
    const folding = { begun: [], blames: false, adjust };
    return await naming(attached.network.name, file, () => foldNetwork(fold, call, folding));
  }
  try {
    const folding = { begun: [], blames: true };
    const result = await foldNetwork(fold, call, folding);
    await flushFold(fold, folding);
    writeCache(world, call, result);
    return result;
  } catch (error) {
    throw new Error(
      `Cannot attach container "${id}" to network "${attached.network.name}": ${messageOf(error)}`,
    );
  }
}

async function planUplink(
  world: World,
  state: string,
  { request, links, flush }: Connecting,
  first: readonly Step[],
): Promise<Linked> {
  const attachments = links.map(({ attached }) => attached);
  const rootless = await planRootless(world, state, request, attachments);
  if (typeof rootless.result !== "function") {
    const steps = [...first, ...rootless.steps].filter((step) => step !== loopbackUp || !rootless.setsLoUp);
    return { steps, results: [rootless.result], rootless };
  }
  await flush(first, []);
  const granted = await firstGranted(rootless, (plan) => flush(plan.steps, [], plan));
  return { steps: granted.steps, results: [granted.result as Result], rootless: granted };
}

/** The steps that publish the container's ports: by the plugins of its network, or without root by the relay. */
export async function publishPorts(
  world: World,
  state: string,
  { request, links, forwarding }: Connecting,
  { results, rootless }: Linked,
): Promise<readonly Step[]> {
  const target = links[publishedThrough(links)];
  if (!target || target.attached.published) return [];
  const result = results[links.indexOf(target)]!;
  if (!rootless) return await publish(world, target, result, forwarding.ports, { results });
  return planRelay(world, state, {
    ...{ entering: request, attached: { ...target.attached, result }, ports: rootless.ports },
    isSession: request.session !== undefined,
  });
}

/** @param names addresses of names that the container may go to; a resolver might tell it others */
export function filesOf(
  world: World,
  state: string,
  { request: { id, options, rootfs }, links }: Connecting,
  { results, rootless }: Linked,
  names: ReadonlyMap<string, readonly string[]>,
): readonly Step[] {
  const named = results.findIndex(({ dns }) => hasDns(dns));
  const isAsked = options.files.resolv !== "network";
  const unasked = named < 0 && !isAsked ? namesUnasked(world, rootfs, results) : undefined;
  const isService = named >= 0 && rootless?.by === "helper" && areHosts(world, results[named]!.dns);
  const found = named < 0 ? unasked && { from: fromHost, dns: unasked } : {
    from: isService ? fromHost : `network ${links[named]!.attached.network.name}`,
    dns: results[named]!.dns,
  };
  const given = rootfs === undefined ? options.files : withNames(options.files, names);
  const resolvers = namedBy(links).length > 0 ? resolversOf(withResults(links, results)) : [];
  const wanted = namedBy(links).length > 0 ? { ...given, named: true as const, resolvers } : given;
  return provideFiles(world, containerPaths(state, id).directory, wanted, found, rootfs);
}

/** The first way, of this and those instead of it, that no driver refuses, with what is true of it; or one that need not ask. */
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
export function guards(
  { container }: Pick<Request, "container">,
  { at }: PlannedLink,
  result: Result,
): readonly Step[] {
  if (container.owner === undefined) return [];
  const inside = result.interfaces.find(({ sandbox }) => sandbox !== undefined);
  return forbidSpoofing(vethEnds(at).host.name, inside!.mac!, result.ips);
}
