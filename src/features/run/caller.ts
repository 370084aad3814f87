import type { Caller, World } from "../../plan/world.ts";
import { needProgram } from "../../plan/programs.ts";
import { Interrupted, interruptible } from "../../engine/interruption.ts";
import { identify, isAlive, type ProcessIdentity } from "../../engine/process.ts";
import { becomeScript, changeEnvironment, type Changes, type Way } from "./script.ts";

/** The process that becomes a command. */
export interface Command {
  readonly process: ProcessIdentity;
  /** Once it has ended, as whatever it was by then. */
  readonly ended: Promise<void>;
  /**
   * Does what has to be done before it becomes the command. Should it end meanwhile, that is waited for two seconds more;
   * what is done then has to undo itself, for want of what it was waiting for.
   * @returns undefined when it has ended
   */
  prepare<T>(act: (world: World) => Promise<T>): Promise<T | undefined>;
  /** Has it become the command. */
  become(way: Omit<Way, "env">, changes: Changes): void;
}

/** Milliseconds for which what is being done is waited for when it is not wanted any more. */
const grace = 2000;

/** The process that waits for us. @throws Error when none does */
export function commandOf(world: World): Command {
  const { caller } = world;
  if (!caller) {
    throw new Error(
      "Cannot run a command: a runtime was started with this file; start the file itself instead",
    );
  }
  const process = identify(world, caller.pid);
  if (!process) {
    throw new Error(`Cannot run a command: process ${caller.pid}, which was to become it, has ended`);
  }
  const ended = awaitEnd(world, process);
  // They are for the command, which gets them by itself; we have to clean up after it, in a service that is stopped too.
  world.onSignals(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR2"], () => {});
  return {
    process,
    ended,
    prepare: (act) => prepare(world, process, ended, act),
    become: (way, changes) => become(world, caller, way, changes),
  };
}

async function prepare<T>(
  world: World,
  process: ProcessIdentity,
  ended: Promise<void>,
  act: (world: World) => Promise<T>,
): Promise<T | undefined> {
  const preparing = interruptible(world);
  let [timer, isOver]: [ReturnType<typeof setTimeout> | undefined, boolean] = [undefined, false];
  void ended.then(() => {
    if (!isOver) timer = setTimeout(preparing.interrupt, grace);
  });
  try {
    const done = await act(preparing.world);
    return isAlive(world, process) ? done : undefined;
  } catch (error) {
    if (error instanceof Interrupted || !isAlive(world, process)) return undefined;
    throw error;
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

function become(world: World, caller: Caller, way: Omit<Way, "env">, changes: Changes): void {
  const environ = world.readBytes(`/proc/${caller.pid}/environ`) ?? "";
  const [enter = "", ...words] = way.enter;
  const whole = { ...way, enter: [needProgram(world, enter), ...words], env: needProgram(world, "env") };
  caller.tell(becomeScript(whole, changeEnvironment(environ, changes)));
}

/** No child of ours, so it is looked at, the longer it runs the less often. */
async function awaitEnd(world: World, process: ProcessIdentity): Promise<void> {
  for (let pause = 5; isAlive(world, process); pause = Math.min(pause * 1.02, 200)) {
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
