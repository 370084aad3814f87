import {
  adopt,
  holdForWriting,
  installSignalHandlers,
  leave,
  moved,
  ownPlace,
  takeStreams,
  waitForLine,
} from "../../host/adoption.ts";
import { becoming } from "../../host/prepared.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { oneLine } from "../../wire/cni/output.ts";
import { lookingIp } from "../../engine/links.ts";
import { isAlive } from "../../engine/process.ts";
import { type Caller, NotServed, readCaller } from "./caller.ts";
import { notServed } from "./pool.ts";
import { freeSlots, type Slot, slotDirectory, slotIn } from "./slot.ts";

/** Milliseconds between two looks at whether the caller is there, and at whether the agent is. */
const [callerEvery, agentEvery] = [50, 2000];

/** What a process may have served and take of memory, in kB: a runtime may keep something of each call. */
const [mostCalls, mostMemory] = [1000, 100_000];

/** What a process that serves calls is given. */
export interface Service {
  /** Of all slots. */
  readonly directory: string;
  /** What its slots are called. */
  readonly name: string;
  /** So many processes are to wait. */
  readonly count: number;
  /** The pid of the process that has started it. */
  readonly agent: number;
  /** Does what this process's arguments say. @returns the exit status */
  act(): Promise<number>;
}

/**
 * Waits for calls, and serves each in place of the runtime that the caller's launcher would have started: with its
 * arguments, environment, directory and streams. It serves the next one only if nothing is left of the one before: no
 * descriptor, child, signal handler, mask or privilege. Otherwise it ends, and the agent starts another process.
 */
export async function serveCalls(world: World, service: Service): Promise<number> {
  installSignalHandlers();
  const own = ownPlace(world.environment());
  leave(own);
  let [slot, served] = [await makeSlot(world, service, 0), 0];
  prepareUsual(world);
  for (let number = 1;; number++) {
    const call = await serveCall(world, slot, service);
    if (call.isServed) served++;
    if (number === mostCalls) return call.isServed ? 0 : notServed;
    const last = slot.directory;
    const isDone = leave(own);
    slot = await makeSlot(world, service, number);
    world.write(slot.served, `${served}\n`);
    world.remove(last);
    prepareUsual(world);
    const isAsBefore = isDone && seesChildren(world) && traits(world, service.directory) === call.before;
    if (!isAsBefore || memoryOf(world) > mostMemory) return notServed;
    // After many calls at once there are more than are to wait.
    if (freeSlots(world, service.directory).length >= service.count) return notServed;
  }
}

/** Programs that nearly every call needs wait with the process, so that the call does not wait for their start. */
function prepareUsual(world: World): void {
  for (const argv of [["ip", "-batch", "-"], ["nft", "-f", "-"], lookingIp, becoming]) world.prepare(argv);
}

/** Some kernels do not tell what a process's children are (CONFIG_PROC_CHILDREN). */
function seesChildren(world: World): boolean {
  return world.stat(`/proc/self/task/${world.pid}/children`) !== undefined;
}

function memoryOf(world: World): number {
  return Number(/^VmRSS:\s*([0-9]+) kB$/m.exec(world.read("/proc/self/status") ?? "")?.[1] ?? Infinity);
}

async function makeSlot(world: World, { directory, name }: Service, number: number): Promise<Slot> {
  const slot = slotIn(slotDirectory(directory, name, number));
  world.makeDirectory(slot.directory, 0o700);
  const made = await world.run(["mkfifo", "-m", "600", slot.request, slot.answer]);
  if (made.code !== 0) throw new Error(`Cannot make FIFOs in ${slot.directory}: ${whyFailed(made)}`);
  return slot;
}

/**
 * What a call could leave in a process, in a text that is the same if it has left nothing.
 * @param slots the directory of all slots, whose files do not count
 */
export function traits(world: Pick<World, "list" | "read" | "readLink">, slots: string): string {
  const links = (directory: string) =>
    world.list(directory).map((name) => world.readLink(`${directory}/${name}`)).sort();
  // /proc/PID/fd is what lists it. The programs that wait for the next call have other pipes than those for the last one.
  const files = links("/proc/self/fd").filter((target) =>
    target && !target.startsWith(`${slots}/`) && !/^\/proc\/[0-9]+\/fd$/.test(target)
  ).map((target) => target!.replace(/\[[0-9]+\]$/, ""));
  const kept =
    /^(Uid|Gid|Groups|SigBlk|SigIgn|SigCgt|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):.*$/gm;
  const status = (world.read("/proc/self/status") ?? "").match(kept) ?? ["unknown"];
  const children = world.list("/proc/self/task").map((thread) =>
    world.read(`/proc/self/task/${thread}/children`) ?? ""
  ).join("").match(/[0-9]+/g)?.length;
  return [...files, ...links("/proc/self/ns"), ...status, children].join("\n");
}

/** A call that has ended. */
interface Call {
  /** Otherwise the launcher was told to do it. */
  readonly isServed: boolean;
  /** What this process was like while it waited for the call. */
  readonly before: string;
}

async function serveCall(world: World, slot: Slot, service: Service): Promise<Call> {
  const { agent, act, directory } = service;
  const answer = holdForWriting(slot.answer);
  const asked = waitForLine(slot.request);
  world.write(slot.ready, `${world.pid}\n`);
  let before = traits(world, directory);
  const isWanted = () => {
    before = traits(world, directory);
    return world.stat(`/proc/${agent}`) !== undefined && !isOneTooMany(world, slot, service);
  };
  const pid = await whileThere(asked, isWanted, agentEvery);
  // It may be no more ours to begin: then the launcher does it.
  if (pid === undefined || !moved(slot.ready, slot.begun)) return endAtOnce(world);
  const caller = take(world, slot, Number(pid));
  const answered = caller instanceof NotServed
    ? `cold ${oneLine(caller.message)}`
    : await whileThere(act(), () => isAlive(world, caller.process), callerEvery);
  // What a caller that was killed had begun is cut short as if it had been this process.
  if (answered === undefined) return endAtOnce(world);
  // The agent may see the slot after the caller has ended.
  world.remove(slot.caller);
  answer.write(`${answered}\n`);
  answer.letGo();
  return { isServed: typeof answered === "number", before };
}

/** Of those that wait beyond what is wanted, the last one ends. A launcher that asks it just then does its call itself. */
function isOneTooMany(world: World, slot: Slot, { directory, count }: Service): boolean {
  const free = freeSlots(world, directory);
  return free.length > count && free.at(-1) === slot.directory;
}

/** Where a launcher has its standard streams while it waits (src/launcher.sh). */
const streamsOfLauncher = [7, 8, 9];

/** Takes the caller's place; says why not if its launcher has to do the call. */
function take(world: World, slot: Slot, pid: number): Caller | NotServed {
  try {
    const caller = readCaller(world, slot, pid);
    if (!takeStreams(pid, streamsOfLauncher)) return new NotServed("its streams cannot be taken over");
    adopt(caller.adopted, slot.input);
    return caller;
  } catch (error) {
    return error instanceof NotServed ? error : new NotServed(messageOf(error));
  }
}

/** Without anything that would be done at an orderly end. */
function endAtOnce(world: World): never {
  world.signal(world.pid, "SIGKILL");
  throw new Error("killed itself");
}

/** The result; undefined when what is asked now and then is not there any more. */
async function whileThere<T>(
  result: Promise<T>,
  isThere: () => boolean,
  every: number,
): Promise<T | undefined> {
  let timer: ReturnType<typeof setInterval> | undefined;
  const gone = new Promise<undefined>((resolve) => {
    timer = setInterval(() => isThere() || resolve(undefined), every);
  });
  try {
    return await Promise.race([result, gone]);
  } finally {
    clearInterval(timer);
  }
}
