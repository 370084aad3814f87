import { adopt, holdForWriting, takeStreams, waitForLine } from "../../host/adoption.ts";
import type { World } from "../../plan/world.ts";
import { isAlive } from "../../engine/process.ts";
import { type Caller, NotServed, readCaller } from "./caller.ts";
import { notServed } from "./pool.ts";
import { type Slot, slotIn } from "./slot.ts";

/** Milliseconds between two looks at whether the caller is there, and at whether the agent is. */
const [callerEvery, agentEvery] = [50, 2000];

/**
 * Waits in a slot for one call, and serves it in place of the runtime that the caller's launcher would have started: with
 * its arguments, environment, directory and streams, in a process that does nothing else.
 * @param agent the pid of the process that has started us
 * @param act does what this process's arguments say, and returns the exit status
 */
export async function serveCall(
  world: World,
  directory: string,
  agent: number,
  act: () => Promise<number>,
): Promise<number> {
  const slot = slotIn(directory);
  const answer = holdForWriting(slot.answer);
  const asked = waitForLine(slot.request);
  world.write(slot.ready, `${world.pid}\n`);
  const pid = await whileThere(asked, () => world.stat(`/proc/${agent}`) !== undefined, agentEvery);
  if (pid === undefined) return endAtOnce(world);
  const caller = take(world, slot, Number(pid));
  if (!caller) {
    answer("cold\n");
    return notServed;
  }
  const code = await whileThere(act(), () => isAlive(world, caller.process), callerEvery);
  // What a caller that was killed had begun is cut short as if it had been this process.
  if (code === undefined) return endAtOnce(world);
  answer(`${code}\n`);
  return 0;
}

/** Where a launcher has its standard streams while it waits (src/launcher.sh). */
const streamsOfLauncher = [7, 8, 9];

/** Takes the caller's place; undefined if its launcher has to do it. */
function take(world: World, slot: Slot, pid: number): Caller | undefined {
  try {
    const caller = readCaller(world, slot, pid);
    if (!takeStreams(pid, streamsOfLauncher)) throw new NotServed("its streams cannot be taken over");
    adopt(caller.adopted, slot.input);
    return caller;
  } catch (error) {
    if (world.env("OCINET_DEBUG")) world.warn(`call of ${pid} is not served: ${error}`);
    return undefined;
  }
}

/** Without anything that would be done at an orderly end. */
function endAtOnce(world: World): number {
  world.signal(world.pid, "SIGKILL");
  return 1;
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
