/** An etcd in memory, as its JSON gateway answers; for tests. */
import type { HttpAnswer, HttpRequest } from "../../plan/http.ts";

interface Key {
  readonly value: string;
  readonly created: bigint;
  readonly modified: bigint;
  readonly lease: string;
}

type Json = Readonly<Record<string, unknown>>;

interface Watcher {
  readonly key: string;
  readonly end: string;
  tell(line: string): void;
  fail(error: Error): void;
}

/** The store, and what tests do to it. */
export interface FakeEtcd {
  http(request: HttpRequest): Promise<HttpAnswer>;
  /** All keys with their values, as plain text. */
  dump(): Readonly<Record<string, string>>;
  /** Ends a lease, as when it was not renewed. */
  expire(lease: string): void;
  /** Puts a key as another program would. */
  put(key: string, value: string): void;
  /** From now on it does not answer, or with that status and text; undefined: as usual. */
  fail(how: "unreachable" | { readonly status: number; readonly message: string } | undefined): void;
  /** Deletes a key as another program would. */
  delete(key: string): void;
  /** Loses all that it has. */
  wipe(): void;
  /** Cuts all watches; what happens until they are made anew is told then. */
  cut(): void;
  /** Forgets how it came to be as it is: a watch from before is told so, and then nothing. */
  compact(): void;
  /** What `restore` brings back, with the revision. */
  backup(): () => void;
  readonly calls: readonly string[];
  /** The numbers of living leases. */
  readonly leases: readonly string[];
}

/** An empty one. */
export function newEtcd(): FakeEtcd {
  const store = new Store();
  let failing: Parameters<FakeEtcd["fail"]>[0];
  const calls: string[] = [];
  const answer = (body: unknown, status = 200) => Promise.resolve({ status, body: JSON.stringify(body) });
  return {
    calls,
    http: (request) => {
      const path = new URL(request.url).pathname;
      calls.push(path);
      if (failing === "unreachable") return Promise.reject(new Error("connection refused"));
      if (failing) return answer({ message: failing.message, code: 2 }, failing.status);
      const body = JSON.parse(request.body) as Json;
      if (path === "/v3/watch") return store.watch(body["create_request"] as Json, request);
      const result = store.answer(path, body);
      return result === undefined ? answer({ error: "requested lease not found" }, 404) : answer(result);
    },
    dump: () => Object.fromEntries([...store.keys].map(([key, { value }]) => [key, value]).sort()),
    expire: (lease) => store.expire(lease),
    put: (key, value) => store.put(key, value, "0"),
    fail: (how) => {
      failing = how;
      if (how) store.cutWatches();
    },
    delete: (key) => store.delete(key),
    wipe: () => store.reset([], [], 1n),
    cut: () => store.cutWatches(),
    compact: () => {
      store.compacted = store.revision;
      store.history.length = 0;
    },
    backup: () => {
      const { revision } = store;
      const [keys, leases] = [[...store.keys], [...store.leases]];
      return () => store.reset(keys, leases, revision);
    },
    get leases() {
      return [...store.leases];
    },
  };
}

class Store {
  revision = 1n;
  readonly keys = new Map<string, Key>();
  readonly leases = new Set<string>();
  readonly watchers = new Set<Watcher>();
  /** What has happened since it was compacted. */
  readonly history: { readonly key: string; readonly revision: bigint; readonly event: unknown }[] = [];
  compacted = 0n;
  private lastLease = 7668682544421675000n;

  answer(path: string, body: Json): unknown {
    const header = () => ({ header: { revision: String(this.revision) } });
    switch (path) {
      case "/v3/kv/range":
        return { ...header(), ...this.range(body) };
      case "/v3/kv/txn": {
        // As etcd does with more than its --max-txn-ops.
        if (Math.max(...["compare", "success"].map((key) => (body[key] as unknown[] ?? []).length)) > 128) {
          throw new Error("etcdserver: too many operations in txn request");
        }
        const succeeded = (body["compare"] as readonly Json[] ?? []).every((one) => this.holds(one));
        if (succeeded) this.write(body["success"] as readonly Json[]);
        return { ...header(), ...(succeeded ? { succeeded } : {}) };
      }
      case "/v3/lease/grant": {
        const lease = String(++this.lastLease);
        this.leases.add(lease);
        return { ...header(), ID: lease, TTL: body["TTL"] };
      }
      case "/v3/lease/keepalive":
        return {
          result: {
            ...header(),
            ID: body["ID"],
            ...(this.leases.has(String(body["ID"])) ? { TTL: "5" } : {}),
          },
        };
      case "/v3/lease/revoke":
        if (!this.leases.has(String(body["ID"]))) return undefined;
        this.expire(String(body["ID"]));
        return header();
      case "/v3/maintenance/status":
        return { ...header(), version: "3.4.23", leader: "1" };
    }
  }

  private range(body: Json): object {
    const [from, end] = [
      plain(body["key"]),
      body["range_end"] === undefined ? undefined : plain(body["range_end"]),
    ];
    const all = [...this.keys].filter(([key]) => end === undefined ? key === from : key >= from && key < end)
      .sort();
    const some = all.slice(0, Number(body["limit"] ?? 0) || all.length);
    return {
      kvs: some.map(([key, one]) => shown(key, one)),
      ...(some.length < all.length ? { more: true } : {}),
      count: String(all.length),
    };
  }

  private holds(compare: Json): boolean {
    const key = plain(compare["key"]);
    if (compare["target"] === "VALUE") return this.keys.get(key)?.value === plain(compare["value"]);
    if (compare["target"] === "MOD") {
      return String(this.keys.get(key)?.modified ?? 0) === compare["mod_revision"];
    }
    const end = compare["range_end"] === undefined ? `${key}\0` : plain(compare["range_end"]);
    const all = [...this.keys].filter(([one]) => one >= key && one < end).map(([, one]) =>
      String(one.created)
    );
    const wanted = String(compare["create_revision"] ?? "0");
    return all.length === 0 ? wanted === "0" : all.every((created) => created === wanted);
  }

  private write(requests: readonly Json[]): void {
    for (const request of requests) {
      const put = request["request_put"] as Json | undefined;
      if (put) this.put(plain(put["key"]), plain(put["value"]), String(put["lease"] ?? "0"));
      else this.deleteRange(request["request_delete_range"] as Json);
    }
  }

  put(key: string, value: string, lease: string): void {
    this.revision++;
    const created = this.keys.get(key)?.created ?? this.revision;
    this.keys.set(key, { value, created, modified: this.revision, lease });
    this.tell(key, { kv: shown(key, this.keys.get(key)!) });
  }

  private deleteRange(range: Json): void {
    const from = plain(range["key"]);
    if (range["range_end"] === undefined) return this.delete(from);
    const end = plain(range["range_end"]);
    for (const key of [...this.keys.keys()]) if (key >= from && key < end) this.delete(key);
  }

  reset(keys: readonly (readonly [string, Key])[], leases: readonly string[], revision: bigint): void {
    this.keys.clear();
    this.leases.clear();
    keys.forEach(([key, one]) => this.keys.set(key, one));
    leases.forEach((one) => this.leases.add(one));
    this.revision = revision;
    this.history.length = 0;
    this.compacted = 0n;
    this.cutWatches();
  }

  delete(key: string): void {
    if (!this.keys.delete(key)) return;
    this.revision++;
    this.tell(key, { type: "DELETE", kv: { key: btoa(key), mod_revision: String(this.revision) } });
  }

  expire(lease: string): void {
    this.leases.delete(lease);
    for (const [key, one] of [...this.keys]) if (one.lease === lease) this.delete(key);
  }

  private tell(key: string, event: unknown): void {
    this.history.push({ key, revision: this.revision, event });
    const line = this.lineOf(event);
    for (const one of this.watchers) if (key >= one.key && key < one.end) one.tell(line);
  }

  private lineOf(event: unknown): string {
    return JSON.stringify({ result: { header: { revision: String(this.revision) }, events: [event] } });
  }

  watch(request: Json, { tell, signal }: HttpRequest): Promise<HttpAnswer> {
    return new Promise((_, fail) => {
      const watcher = { key: plain(request["key"]), end: plain(request["range_end"]), tell: tell!, fail };
      const from = BigInt(String(request["start_revision"] ?? "0"));
      if (from > this.compacted) this.watchers.add(watcher);
      signal?.addEventListener("abort", () => {
        this.watchers.delete(watcher);
        fail(new Error("aborted"));
      });
      const header = { revision: String(this.revision) };
      tell!(JSON.stringify({ result: { header, created: true } }));
      if (from <= this.compacted) {
        const compact_revision = String(this.compacted);
        return tell!(JSON.stringify({ result: { header, canceled: true, compact_revision } }));
      }
      for (const { key, revision, event } of [...this.history]) {
        if (revision >= from && key >= watcher.key && key < watcher.end) tell!(this.lineOf(event));
      }
    });
  }

  cutWatches(): void {
    const all = [...this.watchers];
    this.watchers.clear();
    all.forEach(({ fail }) => fail(new Error("the connection was cut")));
  }
}

function shown(key: string, { value, created, modified }: Key): unknown {
  return {
    ...{ key: btoa(key), value: btoa(value) },
    ...{ create_revision: String(created), mod_revision: String(modified) },
  };
}

function plain(text: unknown): string {
  return atob(String(text));
}
