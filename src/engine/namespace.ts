import type { Prefixes } from "../plan/batch.ts";
import { vethFrom } from "../net/names.ts";
import { vethsOf } from "../plan/ip.ts";
import type { World } from "../plan/world.ts";
import type { BaseRecord, ContainerRecord, Namespace } from "./record.ts";
import { bootId, identify, judge, livingNamespaces, ownNamespace } from "./process.ts";
import { linkExists } from "./links.ts";
import { whyOthersMove } from "./trusted_path.ts";
import { isRoot } from "./user.ts";

/**
 * The container of a process, which is its first.
 * @throws Error if there is none, or if its namespaces may not be entered
 */
export function containerOfProcess(world: World, pid: number): Namespace {
  const init = identify(world, pid);
  if (!init) throw new Error(`Cannot use process ${pid}: it does not run`);
  const netns = `/proc/${pid}/ns/net`;
  const identity = identityOf(world, netns, `the network namespace of process ${pid}`);
  const userns = usernsToEnter(world, pid);
  return { netns, identity, init, ...(userns === undefined ? {} : { userns }) };
}

/**
 * A container identified by its first process, whose namespaces may not be accessible yet.
 * @throws Error if the process is gone
 */
export function knownBy(world: World, { identity, userns }: Namespace, pid: number): Namespace {
  const init = identify(world, pid);
  if (!init) throw new Error(`Cannot use process ${pid}: it does not run`);
  const entered = userns === undefined ? {} : { userns: `/proc/${pid}/ns/user` };
  return { netns: `/proc/${pid}/ns/net`, identity, init, ...entered };
}

/** The container whose network namespace has this path. @throws Error if there is none */
export function containerOfPath(world: World, path: string): Namespace {
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
  const why = netnsProblem(world, path);
  if (why) throw new Error(`Cannot use namespace "${path}": ${why}`);
  return { netns: path, identity };
}

/**
 * Why a namespace must not be entered by its path: it is looked at first and entered later, and meanwhile another user
 * could have the path lead to the host's own.
 */
export function netnsProblem(world: World, path: string): string | undefined {
  if (/^\/proc\/.*\/ns\/(?!net)/.test(path)) return "it is no network namespace";
  const why = whyOthersMove(world, path);
  return why &&
    `others could put another in its place, for ${why}; give the pid of a process in it, or a path in /run/netns`;
}

/** All namespace files are on one device. */
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

/**
 * The user namespace to enter; undefined if none is needed. Root has privileges over every namespace. Other users must
 * enter the user namespace that owns the network namespace.
 */
function usernsToEnter(world: World, pid: number): string | undefined {
  if (world.uid === 0) return undefined;
  const path = `/proc/${pid}/ns/user`;
  try {
    return world.readLink(path) === world.readLink("/proc/self/ns/user") ? undefined : path;
  } catch {
    // Only a process in another user namespace is inaccessible.
    return path;
  }
}

/**
 * Adapts a container's record to the current process. The hook that wrote it may have run inside the user namespace
 * that must be entered now.
 */
export function fromHere(world: World, container: Namespace): Namespace {
  const pid = pidInside(container);
  if (pid === undefined) return container;
  const { userns: _, ...rest } = container;
  const userns = usernsToEnter(world, pid);
  return userns === undefined ? rest : { ...rest, userns };
}

/**
 * A process in the container's namespaces. It need not be the first one, which may leave them (a command of `ocinet
 * run`) or may not be in them yet. Undefined if the container is known only by a path.
 */
export function pidInside({ netns, init }: Namespace): number | undefined {
  const named = /^\/proc\/([0-9]+)\/ns\/net$/.exec(netns)?.[1];
  return init && named !== undefined ? Number(named) : init?.pid;
}

/** The words to run a program on the host and in the container. */
export function prefixesOf(container: Namespace): Prefixes {
  return { host: [], container: ["nsenter", ...enterUser(container), `--net=${container.netns}`] };
}

/**
 * The words to run a program now; the container's are absent if it may be gone, or if a user owns it. A user could end
 * its process at any time, and its pid and path could then be those of another container.
 * @param ownToo whether the caller's own namespace is allowed, as with CNI_NETNS_OVERRIDE
 */
export function livePrefixes(
  world: World,
  container: Namespace,
  ownToo = false,
): Pick<Prefixes, "host"> & Partial<Prefixes> {
  const enters = container.owner === undefined && isThere(world, container) &&
    isNamespace(world, container) && (ownToo || isAnother(world, container)) &&
    netnsProblem(world, container.netns) === undefined;
  return enters ? prefixesOf(fromHere(world, container)) : { host: [] };
}

/** Whether the path still leads to a namespace. After an unmount it leads to the plain file below. */
function isNamespace(world: World, { identity }: Namespace): boolean {
  return deviceOf(identity) === deviceOf(ownIdentity(world));
}

/** Whether the namespace is not our own. A step for a container must never change the host. */
function isAnother(world: World, { identity }: Namespace): boolean {
  return identity !== ownIdentity(world);
}

function ownIdentity(world: World): string {
  return world.stat("/proc/self/ns/net")?.identity ?? "";
}

/** Words for nsenter that give privileges over the container's other namespaces. */
export function enterUser({ userns }: Namespace): readonly string[] {
  return userns === undefined ? [] : [`--user=${userns}`, "--preserve-credentials"];
}

/** Whether the container's namespace still exists and is the same. */
export function isThere(world: World, { netns, identity, init }: Namespace): boolean {
  if (init) {
    const found = judge(world, init);
    // If the process is gone, the path means nothing.
    if (found !== "there") return found === "unknown";
  }
  try {
    return netns !== "" && world.stat(netns)?.identity === identity;
  } catch {
    // An unreadable path is not gone: it belongs to a living process of another user.
    return true;
  }
}

/** Whether the machine has been restarted since a record was written. */
export function hasBootEnded(world: World, { bootId: boot }: Pick<BaseRecord, "bootId">): boolean {
  return boot !== bootId(world);
}

/**
 * The reason why a record is no longer valid; undefined if it is, or if only a process in another network namespace can
 * tell.
 * @param living the network namespaces known to exist (process.ts), in case the namespace has another path now
 */
export function staleness(
  world: World,
  record: Pick<BaseRecord, "bootId"> & Linked,
  living?: ReadonlySet<string>,
): string | undefined {
  if (hasBootEnded(world, record)) return "the machine has been restarted since";
  const { container } = record;
  if (isThere(world, container) || isHidden(world, record) || isAnywhere(container, living)) return undefined;
  return container.init
    ? `its process ${container.init.pid} has ended`
    : `its namespace ${container.netns} is gone`;
}

function isAnywhere({ init, identity }: Namespace, living: ReadonlySet<string> | undefined): boolean {
  return init === undefined && living?.has(`net:[${identity.split(":")[1]}]`) === true;
}

/**
 * The reason why `gc` should remove a record: its container is gone, or its attaching was interrupted. A record from
 * another network namespace that still exists is left to a gc in that namespace.
 */
export function reasonToGo(
  world: World,
  record: BaseRecord & Partial<Pick<ContainerRecord, "phase">>,
  living?: ReadonlySet<string>,
): string | undefined {
  if (!hasBootEnded(world, record) && record.host !== ownNamespace(world)) {
    return isHostGone(world, record)
      ? `the network namespace ${record.host} it was made in is gone`
      : undefined;
  }
  return staleness(world, record, living) ??
    ((record.phase ?? "done") === "done" ? undefined : "its attaching was cut short");
}

/**
 * Whether the network namespace in which a record was made is gone, and with it all kernel state made there. No process
 * is in it, no path leads to it, and the container's namespace, to which its links lead, is gone too.
 */
export function isHostGone(world: World, { host, container }: BaseRecord): boolean {
  return host !== ownNamespace(world) && !isThere(world, container) && !livingNamespaces(world).has(host);
}

/**
 * Whether a namespace that was given by a path exists where we do not see it, e.g. in another mount namespace. Its veth
 * shows that: the kernel removes a veth when the namespace of its peer is gone.
 */
function isHidden(world: World, { container, steps, attachments = [] }: Linked): boolean {
  if (container.init || isThere(world, container)) return false;
  const veths = [...vethsOf(steps), ...attachments.map(({ digest }) => vethFrom(digest))];
  return veths.some((name) => linkExists(world, name));
}

/**
 * The parts of a record that give the names of a container's links: the steps of a plugin's record, or a container's
 * networks.
 */
type Linked =
  & Pick<BaseRecord, "container" | "steps">
  & { readonly attachments?: readonly { readonly digest: string }[] };

/** Waits up to a second for links to disappear: the kernel removes them some time after their namespace. */
export async function awaitLinks(world: World, record: Linked): Promise<void> {
  for (let waited = 0; waited < 1000 && isHidden(world, record); waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
