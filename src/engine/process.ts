import type { World } from "../plan/world.ts";

/** A process that is not mistaken for a later one with its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks since boot. */
  readonly startTime: string;
  /** The PID namespace in which it has the pid, e.g. `pid:[4026531836]`: in another one the number is another's. */
  readonly pidns?: string;
}

/** The link of the PID namespace that the machine started with, whose members see all processes (PROC_PID_INIT_INO). */
const firstPidNamespace = "pid:[4026531836]";

/**
 * The identity of a running process, or undefined when there is none or it is a zombie.
 * @throws Error when /proc does not show it to us
 */
export function identify(world: World, pid: number): ProcessIdentity | undefined {
  const problem = procProblem(world);
  if (problem) throw new Error(`Cannot use process ${pid}: ${problem}`);
  const found = look(world, pid);
  if (found !== "hidden") return found;
  throw new Error(
    `Cannot use process ${pid}: /proc hides it (mounted with hidepid); have root mount /proc without, or with its gid=`,
  );
}

/** Whether that very process still runs. One that may not be looked at, or has its pid elsewhere, does until it is known better. */
export function isAlive(world: World, process: ProcessIdentity): boolean {
  return judge(world, process) !== "gone";
}

/** Whether a process is there, and can be looked at by its pid; "unknown" when it may be there. */
export function judge(
  world: World,
  { pid, startTime, pidns }: ProcessIdentity,
): "there" | "gone" | "unknown" {
  const own = ownPidNamespace(world);
  if (pidns !== undefined && pidns !== own) return isPidNamespaceGone(world, pidns) ? "gone" : "unknown";
  if (procProblem(world)) return "unknown";
  const found = look(world, pid);
  if (found === "hidden") return "unknown";
  return found?.startTime === startTime ? "there" : "gone";
}

function look(world: World, pid: number): ProcessIdentity | "hidden" | undefined {
  const stat = readStat(world, pid);
  if (stat === "hidden" || stat === undefined) return stat;
  // The second field is the command's name in parentheses, and may hold anything, parentheses and spaces too.
  const rest = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (rest[0] === "Z" || rest[0] === "X") return undefined;
  const pidns = ownPidNamespace(world);
  return { pid, startTime: rest[19] ?? "", ...(pidns === undefined ? {} : { pidns }) };
}

/** With hidepid=1 the files of others cannot be read, with 2 they seem not to be there. */
function readStat(world: World, pid: number): string | undefined {
  try {
    const stat = world.read(`/proc/${pid}/stat`);
    if (stat !== undefined || !world.exists(pid)) return stat;
    // It may have come, or have ended, between the two.
    return world.read(`/proc/${pid}/stat`) ?? (world.exists(pid) ? "hidden" : undefined);
  } catch {
    return "hidden";
  }
}

function ownPidNamespace(world: World): string | undefined {
  return world.readLink("/proc/self/ns/pid");
}

/** Why /proc tells us nothing of pids, or undefined: it may be that of the PID namespace that ours was made in. */
export function procProblem(world: World): string | undefined {
  const self = world.readLink("/proc/self");
  if (self === undefined || self === String(world.pid)) return undefined;
  return "/proc shows another PID namespace than ours; mount it anew (unshare --mount-proc)";
}

/** Whether nothing can be in a PID namespace any more: in the first one, root sees all that are. */
function isPidNamespaceGone(world: World, pidns: string): boolean {
  if (ownPidNamespace(world) !== firstPidNamespace) return false;
  return pids(world).every((pid) => !mayBeIn(world, pid, pidns));
}

/** Of one whose namespaces may not be read, as of a container's pid 1, all may know whether it has another pid deeper down. */
function mayBeIn(world: World, pid: string, pidns: string): boolean {
  try {
    return world.readLink(`/proc/${pid}/ns/pid`) === pidns;
  } catch {
    return /^NSpid:\s+\d+\s+\d/m.test(world.read(`/proc/${pid}/status`) ?? "");
  }
}

/** Whether we see every process there is, so that what is nobody's is gone. */
export function seesAllProcesses(world: World): boolean {
  return ownPidNamespace(world) === firstPidNamespace && !hidesProcesses(world);
}

/** Whether /proc is mounted with hidepid. */
export function hidesProcesses(world: World): boolean {
  return /^.* \/proc .*\bhidepid=(?!0|off)/m.test(world.read("/proc/self/mountinfo") ?? "");
}

function pids(world: World): readonly string[] {
  return world.list("/proc").filter((name) => /^[0-9]+$/.test(name));
}

/** Whether two are one process. */
export function isSameProcess(one: ProcessIdentity, other: ProcessIdentity | undefined): boolean {
  return one.pid === other?.pid && one.startTime === other.startTime;
}

/** Whether a pid is a running process whose command line has the mark. */
export function ownerIsAlive(world: World, pid: number, cmdlineMarker: string): boolean {
  const found = look(world, pid);
  // What is hidden from us we have not started.
  return found !== undefined && found !== "hidden" &&
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
  const ofProcesses = pids(world).map((pid) => namespaceOf(world, pid));
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
