import type { Etcd } from "./etcd.ts";
import type { KeyValue } from "./etcd_wire.ts";

/** All that is under a prefix of etcd's, kept up to date. While etcd cannot be reached it stays as it was. */
export interface Mirror {
  /** By key, without the prefix. */
  readonly entries: ReadonlyMap<string, KeyValue>;
  /**
   * The same, and for a while what etcd has lost, by its revision: it was made anew, or restored from a backup. Those whom
   * it concerns put it back meanwhile, and what goes by it goes on.
   */
  readonly held: ReadonlyMap<string, KeyValue>;
  /** It has been read once. */
  readonly synced: boolean;
  /** How often all of it has been read, and how many pages of it. */
  readonly reads: number;
  readonly pages: number;
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

/** Starts one. @param changed is called after each change, and when it has been read @param linger milliseconds */
export function mirror(etcd: Etcd, prefix: string, changed: () => void, linger = 0): Mirror {
  const stopping = new AbortController();
  const waiting = new Set<() => void>();
  const state = {
    entries: new Map<string, KeyValue>(),
    reads: 0,
    pages: 0,
    problem: undefined as string | undefined,
    revision: 0n,
    lingers: undefined as ReturnType<typeof setTimeout> | undefined,
    lost: new Map<string, KeyValue>(),
    merged: undefined as ReadonlyMap<string, KeyValue> | undefined,
  };
  const set = (key: string, value: KeyValue | undefined) => {
    if (value) state.entries.set(key, value);
    else state.entries.delete(key);
    state.lost.delete(key);
    state.merged = undefined;
  };
  const follow = async () => {
    const { revision, keys } = await etcd.list(prefix, () => void state.pages++);
    const before = state.entries;
    state.entries = new Map(keys.map((one) => [one.key.slice(prefix.length), one]));
    if (BigInt(revision) < state.revision) {
      state.lost = new Map([...state.lost, ...before].filter(([key]) => !state.entries.has(key)));
      clearTimeout(state.lingers);
      state.lingers = setTimeout(() => {
        state.lingers = undefined;
        state.lost.clear();
        state.merged = undefined;
        if (!stopping.signal.aborted) changed();
      }, linger);
    }
    state.merged = undefined;
    state.revision = BigInt(revision);
    state.reads++;
    state.problem = undefined;
    waiting.forEach((tell) => tell());
    changed();
    await etcd.watch(prefix, String(BigInt(revision) + 1n), (events) => {
      for (const { key, value } of events) {
        const name = key.slice(prefix.length);
        const gone = state.entries.get(name) ?? state.lost.get(name);
        set(name, value);
        // Leases that a backup brings back end before their hosts have come to renew their own.
        if (!value && gone && state.lingers !== undefined) state.lost.set(name, gone);
        if (value && BigInt(value.modified) > state.revision) state.revision = BigInt(value.modified);
      }
      if (events.length > 0) changed();
    }, stopping.signal);
  };
  void repeat(follow, stopping.signal, (problem) => state.problem = problem);
  return {
    get entries() {
      return state.entries;
    },
    get held() {
      if (state.lost.size === 0) return state.entries;
      return state.merged ??= new Map([...state.lost, ...state.entries]);
    },
    get synced() {
      return state.reads > 0;
    },
    get reads() {
      return state.reads;
    },
    get pages() {
      return state.pages;
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
    note: set,
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
