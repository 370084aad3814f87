import type { Etcd } from "./etcd.ts";
import type { KeyValue } from "./etcd_wire.ts";

/** All that is under a prefix of etcd's, kept up to date. While etcd cannot be reached it stays as it was. */
export interface Mirror {
  /** By key, without the prefix. */
  readonly entries: ReadonlyMap<string, KeyValue>;
  /** It has been read once. */
  readonly synced: boolean;
  /** How often all of it has been read. */
  readonly reads: number;
  /** Why it may be out of date, or undefined. */
  readonly problem: string | undefined;
  /** Waits until it has been read once, or the time is over. */
  wait(milliseconds: number): Promise<void>;
  /** Takes over a change of our own before it is told: a value, or none for a key that has gone. */
  note(key: string, value: KeyValue | undefined): void;
  stop(): void;
}

/** How often reading is tried anew, in milliseconds; at random within half of it, for hosts not to do so together. */
const pause = 1000;

/** Starts one. @param changed is called after each change, and when it has been read */
export function mirror(etcd: Etcd, prefix: string, changed: () => void): Mirror {
  const stopping = new AbortController();
  const waiting = new Set<() => void>();
  const state = {
    entries: new Map<string, KeyValue>(),
    reads: 0,
    problem: undefined as string | undefined,
  };
  const follow = async () => {
    const { revision, keys } = await etcd.list(prefix);
    state.entries = new Map(keys.map((one) => [one.key.slice(prefix.length), one]));
    state.reads++;
    state.problem = undefined;
    waiting.forEach((tell) => tell());
    changed();
    await etcd.watch(prefix, String(BigInt(revision) + 1n), (events) => {
      for (const { key, value } of events) {
        if (value) state.entries.set(key.slice(prefix.length), value);
        else state.entries.delete(key.slice(prefix.length));
      }
      if (events.length > 0) changed();
    }, stopping.signal);
  };
  void repeat(follow, stopping.signal, (problem) => state.problem = problem);
  return {
    get entries() {
      return state.entries;
    },
    get synced() {
      return state.reads > 0;
    },
    get reads() {
      return state.reads;
    },
    get problem() {
      return state.problem;
    },
    wait: (milliseconds) =>
      state.reads > 0 ? Promise.resolve() : new Promise((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
    note: (key, value) => void (value ? state.entries.set(key, value) : state.entries.delete(key)),
    stop: () => stopping.abort(),
  };
}

async function repeat(
  action: () => Promise<void>,
  signal: AbortSignal,
  fail: (problem: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    const began = performance.now();
    await action().catch((error) => fail((error as Error).message));
    // A watch that ended after a while is made anew at once.
    if (performance.now() - began > pause) continue;
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
  }
}
