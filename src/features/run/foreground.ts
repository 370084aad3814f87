import { type Signal, signals, type World } from "../../plan/world.ts";
import { Interrupted, interruptible } from "../../engine/interruption.ts";
import { isInForeground } from "../../engine/process.ts";

/** Somebody's command, which gets the signals that are sent to us. */
export interface Foreground {
  /** Those that came before it was started. */
  readonly early: readonly Signal[];
  /**
   * Does what has to be done before it can be started. A signal that comes meanwhile is waited with for two seconds, and
   * no longer than until a second one; what is done then has to undo itself, for want of what it was waiting for.
   * @returns undefined when it was not done for that reason
   */
  prepare<T>(act: (world: World) => Promise<T>): Promise<T | undefined>;
  /**
   * Starts it.
   * @param began is told its pid
   * @returns its exit status; 128 and the number of a signal that ended it
   */
  start(
    argv: readonly string[],
    more?: Readonly<Record<string, string | undefined>>,
    began?: (pid: number) => void,
  ): Promise<number>;
}

/** From now on signals are kept for a command that will be started. */
export function awaitForeground(world: World): Foreground {
  const early: Signal[] = [];
  const preparing = interruptible(world);
  let [impatience, interrupted]: [ReturnType<typeof setTimeout> | undefined, boolean] = [undefined, false];
  // Once: what it does then is to take back, which had better be waited for.
  const interrupt = () => {
    clearTimeout(impatience);
    if (!interrupted) preparing.interrupt();
    interrupted = true;
  };
  let pass = (name: Signal): unknown => {
    if (early.push(name) > 1) return interrupt();
    return impatience = setTimeout(interrupt, 2000);
  };
  const ignored = ignoredSignals(world);
  world.onSignals(Object.keys(signals) as Signal[], (name) => ignored.includes(name) || pass(name));
  return {
    early,
    prepare: async (act) => {
      try {
        return await act(preparing.world);
      } catch (error) {
        if (error instanceof Interrupted) return undefined;
        throw error;
      } finally {
        clearTimeout(impatience);
      }
    },
    start: async (argv, more = {}, began) => {
      const { pid, ended } = world.start([...ignoring(ignored), ...argv], environment(world, more));
      pass = (name) => passOn(world, pid, name);
      began?.(pid);
      return await ended;
    },
  };
}

/**
 * Those that whoever called us ignores, as nohup(1) does SIGHUP, and a shell SIGINT of what it starts with "&". Node has
 * forgotten them before we could ask.
 */
function ignoredSignals(world: World): readonly Signal[] {
  const ignored = BigInt(
    `0x${/^SigIgn:\s*([0-9a-f]+)/m.exec(world.read("/proc/self/status") ?? "")?.[1] ?? 0}`,
  );
  return (Object.keys(signals) as Signal[]).filter((name) =>
    (ignored >> BigInt(signals[name] - 1) & 1n) === 1n
  );
}

/** Deno, from its first listener on, and Node hand ignored signals on as not ignored. */
function ignoring(ignored: readonly Signal[]): readonly string[] {
  return ignored.length === 0 ? [] : ["env", `--ignore-signal=${ignored.join(",")}`];
}

/** The command is in our process group, so what is typed at a terminal reaches it without us. */
function passOn(world: World, pid: number, name: Signal): void {
  const typed = name === "SIGINT" || name === "SIGQUIT";
  if (!typed || !isInForeground(world)) world.signal(pid, name);
}

/** Ours, without what our launcher added, and with changes, of which undefined takes one away. */
function environment(
  world: World,
  more: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const launched = { OCINET_CALLED_AS: undefined, OCINET_DENO_DIR: undefined };
  const own = { DENO_DIR: world.env("OCINET_DENO_DIR") || undefined };
  const all = { ...withKept(world.environment()), ...launched, ...own, ...more };
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => value === undefined ? [] : [[key, value]]),
  );
}

const kept = "OCINET_KEPT_";

/** With what our launcher has kept from the runtime, under its own names. */
function withKept(environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).map(([key, value]) => [
      key.startsWith(kept) ? key.slice(kept.length) : key,
      value,
    ]),
  );
}
