/** Who asks for a call to be served, as /proc tells it: nothing that the caller sends is believed but its pid. */
import { bytesOfText } from "../../host/output.ts";
import type { Adopted } from "../../host/adoption.ts";
import type { World } from "../../plan/world.ts";
import { identify, type ProcessIdentity } from "../../engine/process.ts";
import type { Slot } from "./slot.ts";

/** A launcher that waits, and what its call needs. */
export interface Caller {
  readonly process: ProcessIdentity;
  readonly adopted: Adopted;
}

/** The caller's place is not ours, or something about it is unusual: its launcher starts a runtime itself. */
export class NotServed extends Error {}

/**
 * Reads who waits in a slot.
 * @throws NotServed with the reason, if a call of this process could differ from one that is started there
 */
export function readCaller(world: World, slot: Slot, pid: number): Caller {
  const process = identify(world, pid);
  if (!process) throw new NotServed("it has ended");
  const at = `/proc/${pid}`;
  checkWaits(world, slot, at);
  checkPlace(world, at);
  const umask = checkPowers(statusOf(world, at), statusOf(world, "/proc/self"), world.uid);
  checkLimits(world, at);
  const [shell, script, ...args] = texts(world, `${at}/cmdline`);
  if (!/(^|\/)(ba|da)?sh$|(^|\/)busybox$/.test(shell ?? "") || script === undefined) {
    throw new NotServed("it is no shell that runs this program");
  }
  checkScript(world, script.startsWith("/") ? script : `${at}/cwd/${script}`);
  const given = environmentOf(texts(world, `${at}/environ`));
  checkRuntime(world, given["OCINET_RUNTIME"] ?? "");
  const directory = directoryOf(world, at);
  const environment = passedOn(world, given, script, directory);
  return { process, adopted: { args, environment, directory, umask } };
}

/** Its third descriptor is our FIFO, so the pid is really that of the process which has written there. */
function checkWaits(world: World, { request }: Slot, at: string): void {
  const theirs = world.stat(`${at}/fd/3`)?.identity;
  if (theirs === undefined || theirs !== world.stat(request)?.identity) {
    throw new NotServed("it does not wait here");
  }
}

/** Its namespaces, root directory and security label are ours. */
function checkPlace(world: World, at: string): void {
  for (const kind of world.list("/proc/self/ns")) {
    if (world.readLink(`${at}/ns/${kind}`) !== world.readLink(`/proc/self/ns/${kind}`)) {
      throw new NotServed(`it is in another ${kind} namespace`);
    }
  }
  if (world.readLink(`${at}/root`) !== world.readLink("/proc/self/root")) {
    throw new NotServed("it has another root directory");
  }
  const [theirs, ours] = [labelOf(world, at), labelOf(world, "/proc/self")];
  if (theirs !== ours && !/^unconfined$|\(unconfined\)$/.test(theirs)) {
    throw new NotServed(`it is confined as ${theirs}`);
  }
}

/** What AppArmor or SELinux call it. Without either, reading fails. */
function labelOf(world: World, at: string): string {
  try {
    return (world.read(`${at}/attr/current`) ?? "").replace(/[\0\n]+$/, "");
  } catch {
    return "";
  }
}

/** The lines of /proc/PID/status by their names. */
export type Status = Readonly<Record<string, string>>;

function statusOf(world: World, at: string): Status {
  const lines = (world.read(`${at}/status`) ?? "").split("\n");
  return Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2).map((word) => word.trim())));
}

/**
 * It may be no other user, and nothing that we may do may be forbidden to it.
 * @returns its mask for new files' modes
 */
export function checkPowers(theirs: Status, ours: Status, uid: number): number {
  const [ids, groups] = [theirs["Uid"]?.split(/\s+/) ?? [], uid === 0 ? [] : ["Groups"]];
  if (ids.length !== 4 || ids.some((id) => Number(id) !== uid)) throw new NotServed("it is another user's");
  for (const name of ["Gid", ...groups]) {
    if (theirs[name] !== ours[name]) throw new NotServed(`it has another ${name}`);
  }
  for (const name of ["CapEff", "CapPrm", "CapBnd"]) {
    const [they, we] = [theirs, ours].map((status) => BigInt(`0x${status[name] ?? "0"}`)) as [bigint, bigint];
    if ((we & ~they) !== 0n) throw new NotServed(`it lacks some of our capabilities (${name})`);
  }
  if (theirs["Seccomp"] !== "0" && theirs["Seccomp"] !== undefined) {
    throw new NotServed("a filter of system calls confines it");
  }
  if (Number(theirs["NoNewPrivs"]) > Number(ours["NoNewPrivs"])) {
    throw new NotServed("it may get no new privileges");
  }
  const umask = theirs["Umask"] ?? "";
  if (!/^[0-7]{3,4}$/.test(umask)) throw new NotServed("its umask is unknown");
  return parseInt(umask, 8);
}

/** How much a program that crashes leaves. systemd sets it differently for services and logins. */
const notPower = "Max core file size";

/** What it may use of a resource is not less than what we may: a call that is served is not bound by its limits. */
function checkLimits(world: World, at: string): void {
  const ours = limitsOf(world.read("/proc/self/limits") ?? "");
  for (const [name, theirs] of limitsOf(world.read(`${at}/limits`) ?? "")) {
    if (name === notPower) continue;
    if (theirs < (ours.get(name) ?? Infinity)) throw new NotServed(`it has a lower limit: ${name}`);
  }
}

/** The soft limits of /proc/PID/limits. */
export function limitsOf(text: string): ReadonlyMap<string, number> {
  return new Map(
    [...text.matchAll(/^(\S.*?)\s{2,}(unlimited|[0-9]+)\s/gm)].map(([, name, value]) => [
      name!,
      value === "unlimited" ? Infinity : Number(value),
    ]),
  );
}

/** Texts that end with NUL. @throws NotServed where they are no UTF-8 */
function texts(world: World, path: string): readonly string[] {
  try {
    const bytes = bytesOfText(world.readBytes(path) ?? "");
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).split("\0").slice(0, -1);
  } catch {
    throw new NotServed(`${path} is no text`);
  }
}

/** The script is the file that we are, or a copy of it. */
function checkScript(world: World, path: string): void {
  const own = world.self.at(-1)!;
  if (world.stat(path)?.identity === world.stat(own)?.identity) return;
  let text;
  try {
    text = world.readBytes(path);
  } catch { /* Then it cannot be read, and is not what runs there. */ }
  if (text === undefined || text !== world.readBytes(own)) throw new NotServed("it runs another program");
}

/** What a shell takes over of an environment: what can be a variable, and the last of one name. */
function environmentOf(entries: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    entries.map((entry) => /^([A-Za-z_][A-Za-z0-9_]*)=([^]*)$/.exec(entry)).filter((match) => match !== null)
      .map(([, name, value]) => [name!, value!]),
  );
}

/** The runtime that it asks for is the one that we are. */
function checkRuntime(world: World, asked: string): void {
  const isOurs = asked.includes("/")
    ? world.stat(asked)?.identity === world.stat(world.runtimePath)?.identity
    : asked === "" || asked === world.runtime;
  if (!isOurs) throw new NotServed(`it asks for the runtime ${asked}`);
}

function directoryOf(world: World, at: string): string {
  const path = world.readLink(`${at}/cwd`);
  return path !== undefined && world.stat(path) !== undefined ? path : "/";
}

/** Variables that would make a runtime load code, write files or listen. */
const dangerous = [
  ...[
    "NODE_OPTIONS",
    "NODE_COMPILE_CACHE",
    "NODE_EXTRA_CA_CERTS",
    "NODE_REDIRECT_WARNINGS",
    "NODE_V8_COVERAGE",
  ],
  ...["DENO_V8_FLAGS", "DENO_COVERAGE_DIR"],
];

/** The environment that the launcher would have given to a runtime (`become_runtime`). */
function passedOn(
  world: World,
  given: Readonly<Record<string, string>>,
  script: string,
  directory: string,
): Readonly<Record<string, string>> {
  const kept = Object.entries(given).filter(([name]) => !dangerous.includes(name));
  return {
    ...Object.fromEntries(kept),
    ...given["PWD"] === undefined ? {} : { PWD: directory },
    OCINET_CALLED_AS: script,
    OCINET_DENO_DIR: given["DENO_DIR"] ?? "",
    OCINET_INHERITED: "",
    ...world.runtime === "deno" ? { DENO_DIR: world.env("DENO_DIR") ?? "", DENO_NO_UPDATE_CHECK: "1" } : {},
  };
}
