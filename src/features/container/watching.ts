/** What a process of ours that goes on puts back by itself. */
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { restoreAllPasses, restoreRules } from "./restore_rules.ts";

/**
 * Restores containers' rules when another program removes our tables, and tells firewalld of their subnets when it is
 * reloaded, or started: then it makes its table again.
 */
export function watchTables(world: World, state: string, tell: (line: string) => void): { stop(): void } {
  const pattern = /^(delete table (inet|bridge) ocinet|add table inet firewalld)\b/;
  // nft 1.0.6 keeps 18 KB of each container that came and went: so it begins anew each hour.
  const monitor = ["timeout", "1h", "nft", "monitor", "tables"];
  return keepWatching(world, monitor, pattern, () => restoreTables(world, state, tell));
}

/** Without its rules a container could speak for others. */
export async function restoreTables(
  world: World,
  state: string,
  tell: (line: string) => void,
): Promise<void> {
  try {
    if (await restoreRules(world, state)) tell("put rules back: another program had removed them");
    (await restoreAllPasses(world, state)).forEach((what) => tell(`${what} was gone, and is there again`));
  } catch (error) {
    tell(`could not put rules back: ${messageOf(error)}`);
  }
}

/** Acts whenever a program says such a line, and after it had to be started again: what it missed was not told. */
export function keepWatching(
  world: World,
  argv: readonly string[],
  pattern: RegExp,
  act: () => Promise<void>,
): { stop(): void } {
  let [stopped, acting, waiting] = [false, Promise.resolve(), false];
  // Of many lines while it acts, one more time takes care.
  const actNow = () => {
    if (waiting) return;
    waiting = true;
    acting = acting.then(() => {
      waiting = false;
      return act();
    });
  };
  const start = () => world.watch(argv, (line) => pattern.test(line) && actNow());
  let watched = start();
  const again = async () => {
    while (!stopped) {
      await watched.ended;
      if (stopped) return;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      watched = start();
      actNow();
    }
  };
  void again();
  return {
    stop: () => {
      stopped = true;
      watched.stop();
    },
  };
}
