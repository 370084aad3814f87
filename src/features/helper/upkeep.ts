/** What the helper's service does by itself: it puts rules back, and takes away what is left. */
import type { Listening, World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { collect } from "../container/gc.ts";
import { restoreRules } from "../container/restore_rules.ts";
import { helperIds, sweep } from "./attach.ts";
import type { Granted } from "./users.ts";

/** What the service knows, and goes on learning. */
export interface Service {
  readonly world: World;
  readonly state: string;
  readonly policy: string;
  /** Tells one line. */
  readonly tell: (line: string) => void;
  granted: Granted;
  readonly sockets: Map<number, Listening>;
  /** What each user's next request waits for. */
  readonly turns: Map<number, Promise<unknown>>;
}

/** What an earlier service was killed over, and what ended while there was none. */
export async function cleanUp({ world, state, tell }: Service): Promise<void> {
  const { collected, problems } = await collect(world, state, helperIds(world, state));
  collected.forEach(({ id, reason }) => tell(`took away ${id}: ${reason}`));
  problems.forEach(tell);
  (await sweep(world, state)).forEach((line) => tell(`took away ${line}`));
}

/** With a namespace its veth ends, and the kernel tells of that; as it does when another program takes our tables away. */
export function watchKernel(service: Service): { stop(): void } {
  const { world } = service;
  const links = keepWatching(
    world,
    ["ip", "-o", "monitor", "link"],
    /^Deleted .*\bveth[0-9a-f]{11}@/,
    () => sweepAll(service),
  );
  const tables = keepWatching(
    world,
    ["nft", "monitor", "destroy", "tables"],
    /^delete table (inet|bridge) ocinet\b/,
    () => restoreFor(service),
  );
  return { stop: () => [links, tables].forEach(({ stop }) => stop()) };
}

/** Acts whenever a program says such a line, and after it had to be started again: what it missed was not told. */
function keepWatching(
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

/** Without its rules a container could speak for others. */
export async function restoreFor({ world, state, tell }: Service): Promise<void> {
  try {
    if (await restoreRules(world, state)) tell("put rules back: another program had removed a table of them");
  } catch (error) {
    tell(`could not put rules back: ${messageOf(error)}`);
  }
}

async function sweepAll({ world, state, tell }: Service): Promise<void> {
  try {
    (await sweep(world, state)).forEach((line) => tell(`took away ${line}`));
  } catch (error) {
    tell(messageOf(error));
  }
}
