import type { World } from "../plan/world.ts";

/** A process that is not mistaken for a later one with its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks since boot. */
  readonly startTime: string;
}

/** The identity of a running process, or undefined when there is none or it is a zombie. */
export function identify(world: World, pid: number): ProcessIdentity | undefined {
  const stat = world.read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the command's name in parentheses, and may hold anything, parentheses and spaces too.
  const rest = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return rest[0] === "Z" || rest[0] === "X" ? undefined : { pid, startTime: rest[19] ?? "" };
}

/** Whether that very process still runs. */
export function isAlive(world: World, { pid, startTime }: ProcessIdentity): boolean {
  return identify(world, pid)?.startTime === startTime;
}

/** Whether two are one process. */
export function isSameProcess(one: ProcessIdentity, other: ProcessIdentity | undefined): boolean {
  return one.pid === other?.pid && one.startTime === other.startTime;
}

/** Whether a pid is a running process whose command line has the mark. */
export function ownerIsAlive(world: World, pid: number, cmdlineMarker: string): boolean {
  return identify(world, pid) !== undefined &&
    (world.read(`/proc/${pid}/cmdline`) ?? "").includes(cmdlineMarker);
}

/** The pids in a file, a line each; never one that would name more than a process. */
export function readPids(world: World, path: string): readonly number[] {
  return (world.read(path) ?? "").split("\n").map(Number).filter((pid) =>
    Number.isSafeInteger(pid) && pid > 1
  );
}

/** The kernel's id of this boot: state of another one describes things that no longer exist. */
export function bootId(world: World): string {
  return world.read("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

/** The network namespace that this process is in. */
export function ownNamespace(world: World): string {
  return world.readLink("/proc/self/ns/net") ?? "";
}

/** The network namespaces that a process is in, or a path leads to, e.g. `net:[4026531840]`; those of others left out. */
export function livingNamespaces(world: World): ReadonlySet<string> {
  const ofProcesses = world.list("/proc").filter((name) => /^[0-9]+$/.test(name))
    .map((pid) => namespaceOf(world, pid));
  const mounted = (world.read("/proc/self/mountinfo") ?? "").match(/net:\[[0-9]+\]/g) ?? [];
  return new Set([...ofProcesses, ...mounted]);
}

function namespaceOf(world: World, pid: string): string {
  try {
    return world.readLink(`/proc/${pid}/ns/net`) ?? "";
  } catch {
    // Another user's, so not in a namespace of ours.
    return "";
  }
}
