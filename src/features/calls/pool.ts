/** Processes that wait, each in a slot of its own, for one call each. */
import type { Started, World } from "../../plan/world.ts";
import { whyFailed } from "../../plan/world.ts";
import { readPids } from "../../engine/process.ts";
import { type InTurn, turns } from "../../engine/turns.ts";
import { type Slot, slotIn } from "./slot.ts";

/** Milliseconds between two looks at the slots, and from a failed start to the next one. */
const [lookEvery, afterFailure] = [1000, 2000];

/** Milliseconds that calls have to end in when the agent ends, and that a launcher has to write its pid. */
const [lastCalls, untilNamed] = [10_000, 5000];

/** While calls take long there are at most so many times more processes than are to wait. */
const mostTimes = 4;

/** The exit status of a process that did not serve its caller. */
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
    ...{ inTurn: turns(), isEnding: false, pauseUntil: 0 },
  };
  await pool.inTurn(() => fill(pool));
  const timer = setInterval(() => void pool.inTurn(() => look(pool)), lookEvery);
  return {
    stop: async () => {
      pool.isEnding = true;
      clearInterval(timer);
      const ended = Promise.all([...pool.members].map((member) => end(pool, member)));
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, lastCalls))]);
      tell(`served ${pool.served} calls`);
      for (const { slot } of pool.members) world.remove(slot.ready);
      removeLeft(world, directory);
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
  readonly inTurn: InTurn;
  made: number;
  served: number;
  isEnding: boolean;
  /** Before this no process is started, in milliseconds. */
  pauseUntil: number;
}

interface Member {
  readonly slot: Slot;
  readonly started: Started;
}

/** Starts processes until enough of them wait. */
async function fill(pool: State): Promise<void> {
  const room = pool.count * mostTimes - pool.members.size;
  const missing = Math.min(pool.count - countWaiting(pool), room);
  for (let i = 0; i < missing; i++) await startOne(pool);
}

function countWaiting({ world, members }: State): number {
  return [...members].filter(({ slot }) => world.stat(slot.caller) === undefined).length;
}

async function startOne(pool: State): Promise<void> {
  const { world, directory } = pool;
  if (pool.isEnding || performance.now() < pool.pauseUntil) return;
  const slot = slotIn(`${directory}/${world.pid}-${pool.made++}`);
  world.makeDirectory(slot.directory, 0o700);
  const made = await world.run(["mkfifo", "-m", "600", slot.request, slot.answer]);
  if (made.code !== 0) return failed(pool, `Cannot make FIFOs in ${slot.directory}: ${whyFailed(made)}`);
  if (pool.isEnding) return world.remove(slot.directory);
  const words = [...world.self, "worker", slot.directory, String(world.pid)];
  const member = { slot, started: world.start(words, world.environment()) };
  pool.members.add(member);
  member.started.ended.then((code) => after(pool, member, code));
}

/** Does what follows the end of a process. */
function after(pool: State, member: Member, code: number): void {
  const { world } = pool;
  const { slot } = member;
  pool.members.delete(member);
  const wasReady = world.stat(slot.ready) !== undefined;
  world.remove(slot.ready);
  if (code === 0) pool.served++;
  if (code === 0 || code === notServed) world.remove(slot.directory);
  else if (!wasReady && !pool.isEnding) {
    failed(pool, `a process that was to wait for calls ended with status ${code}`);
  }
  // While others wait, the next look is soon enough: a start takes a processor from the call that may follow at once.
  if (!pool.isEnding && countWaiting(pool) === 0) void pool.inTurn(() => fill(pool));
}

function failed(pool: State, problem: string): void {
  pool.tell(problem);
  pool.pauseUntil = performance.now() + afterFailure;
}

/** Frees the slots of callers that were killed, and makes up for those whose calls take long. */
async function look(pool: State): Promise<void> {
  const { world, directory } = pool;
  for (const { slot, started } of pool.members) {
    if (isForsaken(world, slot)) world.signal(started.pid, "SIGKILL");
  }
  removeLeft(world, directory, new Set([...pool.members].map(({ slot }) => slot.directory)));
  await fill(pool);
}

/** Whether it was claimed by a caller that is gone. */
function isForsaken(world: World, { caller }: Slot): boolean {
  const claimed = world.stat(caller);
  if (claimed === undefined) return false;
  const [pid] = readPids(world, caller);
  return pid === undefined
    ? Date.now() - claimed.modified > untilNamed
    : world.stat(`/proc/${pid}`) === undefined;
}

/** Removes slots of processes that have ended, once their callers need them no more. */
function removeLeft(world: World, directory: string, kept: ReadonlySet<string> = new Set()): void {
  for (const name of world.list(directory).filter((name) => /^[0-9]/.test(name))) {
    const slot = slotIn(`${directory}/${name}`);
    if (kept.has(slot.directory)) continue;
    const [pid] = readPids(world, slot.ready);
    const isUsed = pid !== undefined && world.stat(`/proc/${pid}`) !== undefined;
    const isWanted = world.stat(slot.caller) !== undefined && !isForsaken(world, slot);
    if (!isUsed && !isWanted) world.remove(slot.directory);
  }
}

/** Ends a process that waits, or waits for one that serves. */
async function end({ world }: State, { slot, started }: Member): Promise<void> {
  if (world.stat(slot.caller) === undefined) world.signal(started.pid, "SIGTERM");
  await started.ended;
}
