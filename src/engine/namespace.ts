import type { Prefixes } from "../plan/batch.ts";
import { vethFrom } from "../net/names.ts";
import { vethsOf } from "../plan/ip.ts";
import type { World } from "../plan/world.ts";
import type { BaseRecord, ContainerRecord, Namespace } from "./record.ts";
import { bootId, identify, judge, livingNamespaces, ownNamespace } from "./process.ts";
import { linkExists } from "./links.ts";
import { isRoot } from "./user.ts";

/**
 * The container whose first process has a pid.
 * @throws Error when there is none, or its namespaces may not be entered
 */
export function containerOfProcess(world: World, pid: number): Namespace {
  const init = identify(world, pid);
  if (!init) throw new Error(`Cannot use process ${pid}: it does not run`);
  const netns = `/proc/${pid}/ns/net`;
  const identity = identityOf(world, netns, `the network namespace of process ${pid}`);
  const userns = usernsToEnter(world, pid);
  return { netns, identity, init, ...(userns === undefined ? {} : { userns }) };
}

/** A container as it will be known by its first process, which may not be looked into yet. @throws Error when it is gone */
export function knownBy(world: World, { identity, userns }: Namespace, pid: number): Namespace {
  const init = identify(world, pid);
  if (!init) throw new Error(`Cannot use process ${pid}: it does not run`);
  const entered = userns === undefined ? {} : { userns: `/proc/${pid}/ns/user` };
  return { netns: `/proc/${pid}/ns/net`, identity, init, ...entered };
}

/** The container whose network namespace is at a path. @throws Error when there is none */
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
export function fromHere(world: World, container: Namespace): Namespace {
  const pid = pidInside(container);
  if (pid === undefined) return container;
  const { userns: _, ...rest } = container;
  const userns = usernsToEnter(world, pid);
  return userns === undefined ? rest : { ...rest, userns };
}

/**
 * A process in the container's namespaces: not its first one where that may go elsewhere, as a command of `ocinet run` may,
 * or is not there yet. Absent for one that is known by a path alone.
 */
export function pidInside({ netns, init }: Namespace): number | undefined {
  const named = /^\/proc\/([0-9]+)\/ns\/net$/.exec(netns)?.[1];
  return init && named !== undefined ? Number(named) : init?.pid;
}

/** How to run a program on either side. */
export function prefixesOf(container: Namespace): Prefixes {
  return { host: [], container: ["nsenter", ...enterUser(container), `--net=${container.netns}`] };
}

/**
 * The same for whoever asks now, when the container may be gone: then there is no running in it. Nor is there in one of
 * a user's, who could end its process just then, so that its pid, and the path, were those of another.
 * @param ownToo whether the caller insists on its own namespace, as with CNI_NETNS_OVERRIDE
 */
export function livePrefixes(
  world: World,
  container: Namespace,
  ownToo = false,
): Pick<Prefixes, "host"> & Partial<Prefixes> {
  const enters = container.owner === undefined && isThere(world, container) &&
    isNamespace(world, container) && (ownToo || isAnother(world, container));
  return enters ? prefixesOf(fromHere(world, container)) : { host: [] };
}

/** Whether it is a namespace: a path may lead to the plain file that one was mounted over. */
function isNamespace(world: World, { identity }: Namespace): boolean {
  return deviceOf(identity) === deviceOf(ownIdentity(world));
}

/** Whether it is not the one that this process is in: what is done "in the container" must never be done to the host. */
function isAnother(world: World, { identity }: Namespace): boolean {
  return identity !== ownIdentity(world);
}

function ownIdentity(world: World): string {
  return world.stat("/proc/self/ns/net")?.identity ?? "";
}

/** Words for nsenter that give power over the container's other namespaces. */
export function enterUser({ userns }: Namespace): readonly string[] {
  return userns === undefined ? [] : [`--user=${userns}`, "--preserve-credentials"];
}

/** Whether the container's namespace is still there, and still the same one. */
export function isThere(world: World, { netns, identity, init }: Namespace): boolean {
  if (init) {
    const found = judge(world, init);
    // Its path says nothing where its pid does not.
    if (found !== "there") return found === "unknown";
  }
  try {
    return netns !== "" && world.stat(netns)?.identity === identity;
  } catch {
    // Unreadable is not gone: it is a living process of somebody else's.
    return true;
  }
}

/** Whether the machine has been restarted since a record was written. */
export function hasBootEnded(world: World, { bootId: boot }: Pick<BaseRecord, "bootId">): boolean {
  return boot !== bootId(world);
}

/**
 * Why what is recorded no longer matters, or undefined when it does, or is another network namespace's to judge.
 * @param living the network namespaces that are known to live (process.ts), where a namespace may go by another path by now
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
 * Why a record is for `gc` to take: what it tells of is over, or was cut short. One that was written in another network
 * namespace, which is still there, is for a gc in that one.
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
 * Whether the network namespace that a record was made in is gone, with the kernel's side of all that was done there: no
 * process is in it, no path leads to it, and the container's, to which its links lead, is gone as well.
 */
export function isHostGone(world: World, { host, container }: BaseRecord): boolean {
  return host !== ownNamespace(world) && !isThere(world, container) && !livingNamespaces(world).has(host);
}

/**
 * Whether a namespace that was given by a path lives where we do not see it, as in a mount namespace of its own: the
 * kernel takes away a veth when the namespace of its other end is gone.
 */
function isHidden(world: World, { container, steps, attachments = [] }: Linked): boolean {
  if (container.init || isThere(world, container)) return false;
  const veths = [...vethsOf(steps), ...attachments.map(({ digest }) => vethFrom(digest))];
  return veths.some((name) => linkExists(world, name));
}

/** What tells the names of the links that lead to a container: the steps of a plugin's record, or a container's networks. */
type Linked =
  & Pick<BaseRecord, "container" | "steps">
  & { readonly attachments?: readonly { readonly digest: string }[] };

/** Waits, for a second at most, while a namespace may be gone and its links not yet: they go some time after it. */
export async function awaitLinks(world: World, record: Linked): Promise<void> {
  for (let waited = 0; waited < 1000 && isHidden(world, record); waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
