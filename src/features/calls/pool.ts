/** Processes that wait for calls, each in a slot of its own. */
import type { Started, World } from "../../plan/world.ts";
import { readPids } from "../../engine/process.ts";
import { moved, setModified } from "../../host/adoption.ts";
import { aliveFile, freeSlots, type Slot, slotIn, slotsOf } from "./slot.ts";

/** Milliseconds between two looks at the slots, and from a failed start to the next one. */
const [lookEvery, afterFailure] = [1000, 2000];

/** Milliseconds between two looks whether the first process waits. */
const untilReady = 20;

/** Milliseconds after which launchers take an agent for stopped that does not look at its slots. */
const untilStopped = 4000;

/** Milliseconds that calls have to end in when the agent ends, and that a launcher has to write its pid. */
const [lastCalls, untilNamed] = [10_000, 5000];

/** While calls take long there are at most so many times more processes than are to wait. */
const mostTimes = 4;

/** The exit status of a process that ends as it should, but not with a call that it has served. */
export const notServed = 3;

/** The processes that an agent keeps waiting. */
export interface Pool {
  /** Ends those that wait. Those that serve a call are waited for, but not for ever. */
  stop(): Promise<void>;
}

/**
 * Keeps so many processes waiting for calls of this user.
 * @param directory that of the slots
 * @throws Error if another agent keeps some there
 */
export async function keepWaiting(
  world: World,
  directory: string,
  count: number,
  tell: (line: string) => void,
): Promise<Pool> {
  world.makeDirectory(directory, 0o700);
  const unlock = await world.tryLock(`${directory}/.lock`);
  if (!unlock) throw new Error(`Cannot serve calls in ${directory}: another agent does`);
  removeLeft(world, directory);
  const pool: State = {
    ...{ world, directory, count, tell, members: new Set(), made: 0, served: 0 },
    ...{ isEnding: false, pauseUntil: 0 },
  };
  world.write(aliveFile(directory), "");
  stayAlive(pool);
  fill(pool);
  void tellOnceReady(pool);
  const timer = setInterval(() => look(pool), lookEvery);
  return {
    stop: async () => {
      pool.isEnding = true;
      clearInterval(timer);
      const ended = Promise.all([...pool.members].map((member) => end(pool, member)));
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, lastCalls))]);
      tell(`served ${pool.served} calls`);
      for (const member of pool.members) {
        slotsOfMember(pool, member).forEach(({ ready }) => world.remove(ready));
      }
      removeLeft(world, directory);
      world.remove(aliveFile(directory));
      unlock();
      [directory, directory.slice(0, directory.lastIndexOf("/"))].forEach(world.removeEmpty);
    },
  };
}

interface State {
  readonly world: World;
  readonly directory: string;
  readonly count: number;
  readonly tell: (line: string) => void;
  readonly members: Set<Member>;
  made: number;
  served: number;
  isEnding: boolean;
  /** Before this no process is started, in milliseconds. */
  pauseUntil: number;
}

interface Member {
  /** What its slots are called. */
  readonly name: string;
  readonly started: Started;
  /** The slot in which it was stopped at the last look, with a caller that waits. */
  stoppedIn?: string | undefined;
}

function slotsOfMember({ world, directory }: State, { name }: Member): readonly Slot[] {
  return slotsOf(world, directory, name);
}

/** Says that calls are served when the first process waits. */
async function tellOnceReady(pool: State): Promise<void> {
  while (freeSlots(pool.world, pool.directory).length === 0) {
    await new Promise((resolve) => setTimeout(resolve, untilReady));
    if (pool.isEnding) return;
  }
  pool.tell(`serves calls, ${pool.count} at once`);
}

/** Starts processes until enough of them wait. */
function fill(pool: State): void {
  const room = pool.count * mostTimes - pool.members.size;
  const missing = Math.min(pool.count - countWaiting(pool), room);
  for (let i = 0; i < missing; i++) startOne(pool);
}

/** Those that serve no call: they wait, or soon will. */
function countWaiting(pool: State): number {
  return [...pool.members].filter((member) => !isServing(pool, member)).length;
}

function isServing(pool: State, member: Member): boolean {
  return slotsOfMember(pool, member).some(({ caller }) => pool.world.stat(caller) !== undefined);
}

function startOne(pool: State): void {
  const { world, directory } = pool;
  if (pool.isEnding || performance.now() < pool.pauseUntil) return;
  const name = `${world.pid}-${pool.made++}`;
  const words = [...world.lean, "worker", directory, name, String(pool.count), String(world.pid)];
  const member: Member = { name, started: world.start(words, world.environment()) };
  pool.members.add(member);
  member.started.ended.then((code) => after(pool, member, code));
}

/** Does what follows the end of a process. */
function after(pool: State, member: Member, code: number): void {
  const { world } = pool;
  const slots = slotsOfMember(pool, member);
  pool.members.delete(member);
  const wasReady = slots.some(({ ready, begun, served }) =>
    [ready, begun, served].some((path) => world.stat(path) !== undefined)
  );
  pool.served += Math.max(0, ...slots.map(({ served }) => Number(world.read(served) ?? 0))) +
    (code === 0 ? 1 : 0);
  for (const slot of slots) {
    [slot.ready, slot.begun].forEach(world.remove);
    // The caller of one that has died needs the rest.
    if (code === 0 || code === notServed) world.remove(slot.directory);
  }
  if (code !== 0 && !wasReady && !pool.isEnding) {
    failed(pool, `a process that was to wait for calls ended with status ${code}`);
  }
  // While others wait, the next look is soon enough: a start takes a processor from the call that may follow at once.
  if (!pool.isEnding && countWaiting(pool) === 0) fill(pool);
}

function failed(pool: State, problem: string): void {
  pool.tell(problem);
  pool.pauseUntil = performance.now() + afterFailure;
}

/** Frees the slots of callers that were killed, and makes up for those whose calls take long. */
function look(pool: State): void {
  const { world, directory } = pool;
  stayAlive(pool);
  for (const member of pool.members) {
    const isKept = slotsOfMember(pool, member).some((slot) => isForsaken(world, slot));
    if (isKept || isHeldUp(pool, member)) world.signal(member.started.pid, "SIGKILL");
  }
  removeLeft(world, directory, new Set([...pool.members].map(({ name }) => name)));
  fill(pool);
}

function stayAlive({ world, directory }: State): void {
  setModified(aliveFile(directory), world.now() + untilStopped);
}

/**
 * Whether a caller waits for a process that is stopped and has not begun its call, nor can begin it any more. At the second
 * look: a debugger stops a process again and again.
 */
function isHeldUp({ world, directory }: State, member: Member): boolean {
  const isStopped = () => /^\d+ \(.*\) [Tt] /s.test(world.read(`/proc/${member.started.pid}/stat`) ?? "");
  const slot = slotsOf(world, directory, member.name).find(({ ready, caller }) =>
    [ready, caller].every((path) => world.stat(path) !== undefined)
  );
  const before = member.stoppedIn;
  member.stoppedIn = slot && isStopped() ? slot.directory : undefined;
  return slot !== undefined && before === slot.directory && before === member.stoppedIn &&
    moved(slot.ready, slot.begun);
}

/** Whether it was claimed by a caller that is gone. */
function isForsaken(world: World, { caller }: Slot): boolean {
  const claimed = world.stat(caller);
  if (claimed === undefined) return false;
  const [pid] = readPids(world, caller);
  return pid === undefined
    ? world.now() - claimed.modified > untilNamed
    : world.stat(`/proc/${pid}`) === undefined;
}

/**
 * Removes slots of processes that have ended, once their callers need them no more.
 * @param members what the slots of those that have not are called
 */
function removeLeft(world: World, directory: string, members: ReadonlySet<string> = new Set()): void {
  for (const name of world.list(directory).filter((name) => /^[0-9]/.test(name))) {
    const slot = slotIn(`${directory}/${name}`);
    if (members.has(name.split(".")[0]!)) continue;
    const [pid] = readPids(world, slot.ready);
    const isUsed = pid !== undefined && world.stat(`/proc/${pid}`) !== undefined;
    const isWanted = world.stat(slot.caller) !== undefined && !isForsaken(world, slot);
    if (!isUsed && !isWanted) world.remove(slot.directory);
  }
}

/** Ends a process that waits, or waits for one that serves. */
async function end(pool: State, member: Member): Promise<void> {
  if (!isServing(pool, member)) pool.world.signal(member.started.pid, "SIGTERM");
  await member.started.ended;
}
