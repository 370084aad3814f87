import type * as Timers from "node:timers";
import type { Sockets } from "../deno/libc_sockets.ts";
import { builtin } from "../node/builtin.ts";

/** Tells what descriptors are ready for. */
export interface Loop {
  /** @param tell is called with the events, and again soon if it returns true @returns a negative number if it cannot be watched */
  watch(fd: number, events: number, tell: (events: number) => boolean): number;
  /** Before it is closed. */
  forget(fd: number): void;
}

/** Milliseconds after which the runtime gets its turn, for what else it does. */
const longest = 1;

/** Starts to look at descriptors. While many are busy it asks the kernel by itself: the runtime's way takes twice as long. */
export function startLoop(sockets: Sockets): Loop {
  // By a key of each watch: the kernel may have reported a descriptor whose number another socket has by now.
  const watched = new Map<number, (events: number) => boolean>();
  const keys = new Map<number, number>();
  let lastKey = 0;
  const { setImmediate } = builtin<typeof Timers>("node:timers");
  let unfinished = new Set<number>();
  const handle = (key: number, events: number) => {
    if (watched.get(key)?.(events)) unfinished.add(key);
  };
  const turn = (count: number) => {
    const earlier = unfinished;
    unfinished = new Set();
    for (let i = 0; i < count; i++) handle(...sockets.readyOne(i));
    // Whatever was reported of them by now: an event concerns only a part of what is unfinished.
    for (const key of earlier) handle(key, 0);
  };
  const run = async () => {
    for (let since = performance.now();;) {
      let count = sockets.ready();
      if (count < 1 && unfinished.size === 0) count = sockets.readySoon();
      if (count < 1 && unfinished.size === 0) count = await sockets.readyLater();
      turn(count);
      if (performance.now() - since < longest) continue;
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  };
  void run();
  return {
    watch: (fd, events, tell) => {
      lastKey = lastKey + 1 >>> 0;
      keys.set(fd, lastKey);
      watched.set(lastKey, tell);
      return sockets.watch(fd, events, lastKey);
    },
    forget: (fd) => {
      const key = keys.get(fd) ?? 0;
      keys.delete(fd);
      watched.delete(key);
      unfinished.delete(key);
      sockets.unwatch(fd);
    },
  };
}
