import { type Signal, signals, type World } from "../plan/world.ts";
import { isInForeground } from "./process.ts";

/** Somebody's command, which gets the signals that are sent to us. */
export interface Foreground {
  /** Those that came before it was started. */
  readonly early: readonly Signal[];
  /** Starts it. @returns its exit status; 128 and the number of a signal that ended it */
  start(argv: readonly string[], more?: Readonly<Record<string, string | undefined>>): Promise<number>;
}

/** From now on signals are kept for a command that will be started. */
export function awaitForeground(world: World): Foreground {
  const early: Signal[] = [];
  let pass = (name: Signal): unknown => early.push(name);
  const ignored = ignoredSignals(world);
  world.onSignals(Object.keys(signals) as Signal[], (name) => ignored.includes(name) || pass(name));
  return {
    early,
    start: async (argv, more = {}) => {
      const { pid, ended } = world.start([...ignoring(ignored), ...argv], environment(world, more));
      pass = (name) => passOn(world, pid, name);
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
  const all = { ...world.environment(), ...launched, ...own, ...more };
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => value === undefined ? [] : [[key, value]]),
  );
}
