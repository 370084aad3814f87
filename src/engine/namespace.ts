import type { Prefixes } from "../plan/batch.ts";
import { vethsOf } from "../plan/ip.ts";
import type { World } from "../plan/world.ts";
import type { Container, Journal } from "./journal.ts";
import { bootId, identify, isAlive } from "./process.ts";
import { linkNames } from "./observe.ts";
import { isRoot } from "./user.ts";

/**
 * The container whose first process has a pid.
 * @throws Error when there is none, or its namespaces may not be entered
 */
export function containerOfProcess(world: World, pid: number): Container {
  const init = identify(world, pid);
  if (!init) throw new Error(`Cannot use process ${pid}: it does not run`);
  const netns = `/proc/${pid}/ns/net`;
  const identity = identityOf(world, netns, `the network namespace of process ${pid}`);
  const userns = usernsToEnter(world, pid);
  return { netns, identity, init, ...(userns === undefined ? {} : { userns }) };
}

/** A container as it will be known by its first process, which may not be looked into yet. @throws Error when it is gone */
export function knownBy(world: World, { identity, userns }: Container, pid: number): Container {
  const init = identify(world, pid);
  if (!init) throw new Error(`Cannot use process ${pid}: it does not run`);
  const entered = userns === undefined ? {} : { userns: `/proc/${pid}/ns/user` };
  return { netns: `/proc/${pid}/ns/net`, identity, init, ...entered };
}

/** The container whose network namespace is at a path. @throws Error when there is none */
export function containerOfPath(world: World, path: string): Container {
  const pid = /^\/proc\/([0-9]+)\/ns\/net$/.exec(path)?.[1];
  if (pid !== undefined && pid !== "self") return containerOfProcess(world, Number(pid));
  if (!path.startsWith("/")) {
    throw new Error(
      `Cannot use namespace "${path}": it is not an absolute path; a named one is in /run/netns`,
    );
  }
  const identity = identityOf(world, path, `namespace "${path}"`);
  if (deviceOf(identity) !== deviceOf(world.stat("/proc/self/ns/net")!.identity)) {
    throw new Error(
      `Cannot use namespace "${path}": it is no namespace; ip netns add NAME makes one, /run/netns/NAME`,
    );
  }
  return { netns: path, identity };
}

/** All namespaces are files of one device. */
function deviceOf(identity: string): string {
  return identity.slice(0, identity.indexOf(":"));
}

function identityOf(world: World, path: string, what: string): string {
  try {
    const stat = world.stat(path);
    if (stat) return stat.identity;
  } catch (error) {
    const why =
      "; without root that is allowed for processes of one's own, not for a container's before it has started";
    throw new Error(`Cannot enter ${what}: ${(error as Error).message}${isRoot(world) ? "" : why}`);
  }
  throw new Error(`Cannot enter ${what}: there is none`);
}

/** Root has power over every namespace; others have to enter the user namespace that owns the network one. */
function usernsToEnter(world: World, pid: number): string | undefined {
  if (world.uid === 0) return undefined;
  const path = `/proc/${pid}/ns/user`;
  try {
    return world.readLink(path) === world.readLink("/proc/self/ns/user") ? undefined : path;
  } catch {
    // Only a process in a user namespace of its own keeps us out.
    return path;
  }
}

/** The container for whoever asks now: its hook may have been in the user namespace that we have to enter. */
export function fromHere(world: World, container: Container): Container {
  if (!container.init) return container;
  const { userns: _, ...rest } = container;
  const userns = usernsToEnter(world, container.init.pid);
  return userns === undefined ? rest : { ...rest, userns };
}

/** How to run a program on either side. */
export function prefixesOf(container: Container): Prefixes {
  return { host: [], container: ["nsenter", ...enterUser(container), `--net=${container.netns}`] };
}

/**
 * The same for whoever asks now, when the container may be gone: then there is no running in it. Nor is there in one of
 * a user's, who could end its process just then, so that its pid, and the path, were those of another.
 */
export function livePrefixes(world: World, container: Container): Pick<Prefixes, "host"> & Partial<Prefixes> {
  return container.owner === undefined && isThere(world, container)
    ? prefixesOf(fromHere(world, container))
    : { host: [] };
}

/** Words for nsenter that give power over the container's other namespaces. */
export function enterUser({ userns }: Container): readonly string[] {
  return userns === undefined ? [] : [`--user=${userns}`, "--preserve-credentials"];
}

/** Whether the container's namespace is still there, and still the same one. */
export function isThere(world: World, { netns, identity, init }: Container): boolean {
  if (init && !isAlive(world, init)) return false;
  try {
    return netns !== "" && world.stat(netns)?.identity === identity;
  } catch {
    // Unreadable is not gone: it is a living process of somebody else's.
    return true;
  }
}

/** Why a container that was attached no longer is, or undefined when it is. */
export function staleness(world: World, journal: Journal): string | undefined {
  if (journal.bootId !== bootId(world)) return "the machine has been restarted since";
  if (isThere(world, journal.container) || isHidden(world, journal)) return undefined;
  const { init, netns } = journal.container;
  return init ? `its process ${init.pid} has ended` : `its namespace ${netns} is gone`;
}

/**
 * Whether a namespace that was given by a path lives where we do not see it, as in a mount namespace of somebody's own:
 * the kernel takes away a veth when the namespace of its other end is gone.
 */
function isHidden(world: World, { container, steps }: Journal): boolean {
  if (container.init || isThere(world, container)) return false;
  const ends = vethsOf(steps);
  return ends.length > 0 && ends.some((name) => linkNames(world).has(name));
}

/** Waits, for a second at most, while a namespace may be gone and its links not yet: they go some time after it. */
export async function awaitLinks(world: World, journal: Journal): Promise<void> {
  for (let waited = 0; waited < 1000 && isHidden(world, journal); waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The network namespace that this process is in. */
export function ownNamespace(world: World): string {
  return world.readLink("/proc/self/ns/net") ?? "";
}
