import { messageOf } from "../../wire/cni/error.ts";
import type { Etcd } from "./etcd.ts";
import type { Event, KeyValue } from "./etcd_wire.ts";
import type { Store } from "./networks.ts";

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
  /** The keys of `held` that have changed since this was asked last, or "all". */
  takeChanges(): ReadonlySet<string> | "all";
  /** Takes over a change of our own before it is told: a value, or none for a key that has gone. */
  note(key: string, value: KeyValue | undefined): void;
  stop(): void;
}

/** How often reading is tried anew, in milliseconds; at random within half of it, for hosts not to do so together. */
const pause = 1000;

/** Starts one. @param changed is called after each change, and when it has been read @param linger milliseconds */
export function mirror(
  { etcd, random }: Pick<Store, "etcd" | "random">,
  prefix: string,
  changed: () => void,
  linger = 0,
): Mirror {
  const made = new EtcdMirror(etcd, prefix, changed, linger);
  void repeat(made, random);
  return made;
}

class EtcdMirror implements Mirror {
  entries: Map<string, KeyValue> = new Map();
  reads = 0;
  pages = 0;
  problem: string | undefined;
  readonly #etcd: Etcd;
  readonly #prefix: string;
  readonly #changed: () => void;
  readonly #linger: number;
  readonly #stopping = new AbortController();
  readonly #waiting = new Set<() => void>();
  #revision = 0n;
  /** What etcd has lost, until the timer ends. */
  #lost: Map<string, KeyValue> = new Map();
  #lingers: ReturnType<typeof setTimeout> | undefined;
  #merged: ReadonlyMap<string, KeyValue> | undefined;
  #changes: Set<string> | "all" = "all";

  constructor(etcd: Etcd, prefix: string, changed: () => void, linger: number) {
    [this.#etcd, this.#prefix, this.#changed, this.#linger] = [etcd, prefix, changed, linger];
  }

  get held(): ReadonlyMap<string, KeyValue> {
    if (this.#lost.size === 0) return this.entries;
    return this.#merged ??= new Map([...this.#lost, ...this.entries]);
  }

  get synced(): boolean {
    return this.reads > 0;
  }

  get isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  wait(milliseconds: number): Promise<void> {
    if (this.synced) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#waiting.add(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  note(key: string, value: KeyValue | undefined): void {
    if (value) this.entries.set(key, value);
    else this.entries.delete(key);
    this.#lost.delete(key);
    this.#merged = undefined;
    if (this.#changes !== "all") this.#changes.add(key);
  }

  takeChanges(): ReadonlySet<string> | "all" {
    const changes = this.#changes;
    this.#changes = new Set();
    return changes;
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Reads all, and then what changes, until that fails. */
  async follow(): Promise<void> {
    await this.#readAll();
    await this.#etcd.watch(
      this.#prefix,
      String(this.#revision + 1n),
      (events) => this.#take(events),
      this.#stopping.signal,
    );
  }

  async #readAll(): Promise<void> {
    const { revision, keys } = await this.#etcd.list(this.#prefix, () => void this.pages++);
    const before = this.entries;
    this.entries = new Map(keys.map((one) => [one.key.slice(this.#prefix.length), one]));
    if (BigInt(revision) < this.#revision) this.#keepLost(before);
    this.#merged = undefined;
    this.#changes = "all";
    this.#revision = BigInt(revision);
    this.reads++;
    this.problem = undefined;
    this.#waiting.forEach((tell) => tell());
    this.#changed();
  }

  #keepLost(before: ReadonlyMap<string, KeyValue>): void {
    this.#lost = new Map([...this.#lost, ...before].filter(([key]) => !this.entries.has(key)));
    clearTimeout(this.#lingers);
    this.#lingers = setTimeout(() => {
      this.#lingers = undefined;
      this.#lost.clear();
      this.#merged = undefined;
      this.#changes = "all";
      if (!this.isStopped) this.#changed();
    }, this.#linger);
  }

  #take(events: readonly Event[]): void {
    for (const { key, value } of events) {
      const name = key.slice(this.#prefix.length);
      const gone = this.entries.get(name) ?? this.#lost.get(name);
      this.note(name, value);
      // Leases that a backup brings back end before their hosts have come to renew their own.
      if (!value && gone && this.#lingers !== undefined) this.#lost.set(name, gone);
      if (value && BigInt(value.modified) > this.#revision) this.#revision = BigInt(value.modified);
    }
    if (events.length > 0) this.#changed();
  }
}

/** Follows anew whenever following has failed. */
async function repeat(followed: EtcdMirror, random: () => number): Promise<void> {
  while (!followed.isStopped) {
    const began = performance.now();
    await followed.follow().catch((error) => followed.problem = messageOf(error));
    // A watch that ended after a while is made anew at once.
    if (performance.now() - began > pause) continue;
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + random() / 2)));
  }
}
