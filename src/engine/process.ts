import { readUndamagedFile } from "../plan/files.ts";
import type { Spawn } from "../plan/step.ts";
import type { World } from "../plan/world.ts";

/** A process, identified so that a later one with the same pid is not mistaken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks since boot. */
  readonly startTime: string;
  /** The PID namespace in which it has this pid, e.g. `pid:[4026531836]`. */
  readonly pidns?: string;
}

/** The link of the initial PID namespace, whose members see all processes (PROC_PID_INIT_INO). */
const firstPidNamespace = "pid:[4026531836]";

/**
 * The identity of a running process; undefined if there is none, or if it is a zombie.
 * @throws Error if /proc hides it
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

/**
 * Whether the process still runs. If it cannot be checked, because it is hidden or in another PID namespace, it counts
 * as running.
 */
export function isAlive(world: World, process: ProcessIdentity): boolean {
  return judge(world, process) !== "gone";
}

/** Whether a process exists and is visible by its pid. "unknown": it may exist. */
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
  // The second field is the command's name in parentheses. It may contain parentheses and blanks.
  const rest = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (rest[0] === "Z" || rest[0] === "X") return undefined;
  const pidns = ownPidNamespace(world);
  return { pid, startTime: rest[19] ?? "", ...(pidns === undefined ? {} : { pidns }) };
}

/** With hidepid=1 files of other users' processes are unreadable; with 2 these processes seem not to exist. */
function readStat(world: World, pid: number): string | undefined {
  try {
    const stat = world.read(`/proc/${pid}/stat`);
    if (stat !== undefined || !world.exists(pid)) return stat;
    // It may have started or ended between the two reads.
    return world.read(`/proc/${pid}/stat`) ?? (world.exists(pid) ? "hidden" : undefined);
  } catch {
    return "hidden";
  }
}

function ownPidNamespace(world: World): string | undefined {
  return world.readLink("/proc/self/ns/pid");
}

/** The reason why pids in /proc are not ours; undefined if they are. /proc may belong to the parent PID namespace. */
export function procProblem(world: World): string | undefined {
  const self = world.readLink("/proc/self");
  if (self === undefined || self === String(world.pid)) return undefined;
  return "/proc shows another PID namespace than ours; mount it anew (unshare --mount-proc)";
}

/** Whether no process can be in a PID namespace any more. Root in the initial PID namespace can see that. */
function isPidNamespaceGone(world: World, pidns: string): boolean {
  if (ownPidNamespace(world) !== firstPidNamespace) return false;
  return pids(world).every((pid) => !mayBeIn(world, pid, pidns));
}

/**
 * Whether a process may be in a PID namespace. If its namespaces are unreadable, NSpid, which all users can read, at
 * least tells whether it is in a nested one.
 */
function mayBeIn(world: World, pid: string, pidns: string): boolean {
  try {
    return world.readLink(`/proc/${pid}/ns/pid`) === pidns;
  } catch {
    return /^NSpid:\s+\d+\s+\d/m.test(world.read(`/proc/${pid}/status`) ?? "");
  }
}

/** Whether all processes are visible, so that a namespace without a visible process is gone. */
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

/** Whether both identify the same process. */
export function isSameProcess(one: ProcessIdentity, other: ProcessIdentity | undefined): boolean {
  return one.pid === other?.pid && one.startTime === other.startTime;
}

/** Whether a pid belongs to a running process whose command line contains the mark. */
export function ownerIsAlive(world: World, pid: number, cmdlineMarker: string): boolean {
  const found = look(world, pid);
  // We do not start processes that are hidden from us.
  return found !== undefined && found !== "hidden" &&
    (world.read(`/proc/${pid}/cmdline`) ?? "").includes(cmdlineMarker);
}

/** Reads pids from a file, one a line. Values that kill(2) takes for several processes are left out. */
export function readPids(world: World, path: string): readonly number[] {
  return (readUndamagedFile(world, path) ?? "").split("\n").map(Number).filter((pid) =>
    Number.isSafeInteger(pid) && pid > 1
  );
}

/** Whether a program runs. Its keeper, the first pid in the file, may be restarting it. */
export function programRuns(world: World, { pidFile, cmdlineMarker }: Spawn): boolean {
  const pid = readPids(world, pidFile).at(-1);
  return pid !== undefined && ownerIsAlive(world, pid, cmdlineMarker);
}

/** The kernel's id of this boot. State of another boot describes kernel objects that no longer exist. */
export function bootId(world: World): string {
  return world.read("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

/** The network namespace of this process. */
export function ownNamespace(world: World): string {
  return world.readLink("/proc/self/ns/net") ?? "";
}

/**
 * The network namespaces that have a visible process or a path, e.g. `net:[4026531840]`. Those of other users are left
 * out.
 */
export function livingNamespaces(world: World): ReadonlySet<string> {
  const ofProcesses = pids(world).map((pid) => namespaceOf(world, pid));
  const mounted = (world.read("/proc/self/mountinfo") ?? "").match(/net:\[[0-9]+\]/g) ?? [];
  return new Set([...ofProcesses, ...mounted]);
}

function namespaceOf(world: World, pid: string): string {
  try {
    return world.readLink(`/proc/${pid}/ns/net`) ?? "";
  } catch {
    // It is another user's process, so it is not in a namespace of ours.
    return "";
  }
}

/**
 * Whether we may inspect a process. The kernel refuses it for a user's process that has joined namespaces since its
 * exec.
 */
export function mayEnter(world: World, pid: number): boolean {
  try {
    world.stat(`/proc/${pid}/ns/net`);
    return true;
  } catch {
    return false;
  }
}
