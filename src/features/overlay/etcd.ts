/** A client of etcd (3.4 or later). */
import type { World } from "../../plan/world.ts";
import type { ClusterConfig } from "./cluster_config.ts";
import { EtcdError, refusal, saidIn } from "./etcd_error.ts";
import { parseAnswer, post } from "./etcd_http.ts";
import { list } from "./etcd_list.ts";
import { secretOf, tlsOf } from "./etcd_secrets.ts";
import {
  compareOf,
  type Condition,
  encode,
  endOf,
  type Event,
  eventsIn,
  type Json,
  keysOf,
  type KeyValue,
  type Listing,
  requestOf,
  type Write,
} from "./etcd_wire.ts";

/** What can be asked. Every call ends within five seconds. @throws EtcdError */
export interface Etcd {
  get(key: string): Promise<KeyValue | undefined>;
  /** @param heard is called with each page */
  list(prefix: string, heard?: () => void): Promise<Listing>;
  /** Makes all changes if all conditions hold. @returns whether they did */
  change(conditions: readonly Condition[], writes: readonly Write[]): Promise<boolean>;
  /** @returns the lease's number */
  grant(seconds: number): Promise<string>;
  /** @returns false when there is no such lease (any more) */
  keepAlive(lease: string): Promise<boolean>;
  revoke(lease: string): Promise<void>;
  /**
   * Tells all changes under a prefix from a revision on, as they come. It ends with an error, at the latest when nothing
   * has come for a minute: then all has to be read again.
   */
  watch(
    prefix: string,
    from: string,
    tell: (events: readonly Event[]) => void,
    signal: AbortSignal,
  ): Promise<never>;
  /** Of each member that answers: its version, and what is wrong. */
  status(): Promise<readonly MemberStatus[]>;
}

/** A member of etcd's cluster. */
export interface MemberStatus {
  readonly endpoint: string;
  readonly version?: string;
  readonly problem?: string;
  /** How many seconds its clock is ahead of this host's. */
  readonly ahead?: number;
}

/** Milliseconds in which a call has to have ended, whatever the number of endpoints. */
const limit = 5000;
/** Milliseconds of silence after which a watch is made anew. */
const silence = 60_000;
/** Milliseconds in which no endpoint is asked again, after none answered, and after the user was refused. */
const [unreachablePause, refusalPause] = [1000, 10_000];

/** The state of a client. */
interface Client {
  readonly world: World;
  readonly config: ClusterConfig;
  /** The endpoint that answered last. */
  current: number;
  token?: string;
  /**
   * Why no endpoint answered, or the user was refused, and until when that is taken for the answer; after that for all but one,
   * which tries.
   */
  failed?: { readonly error: EtcdError; readonly until: number; isTried?: true };
  /** How many seconds the endpoints' clocks were ahead of this host's, by their number. */
  readonly ahead: Map<number, number>;
  /** The highest revision seen. */
  revision: bigint;
  /** Ends all watches: what they would tell can no longer be relied on. */
  watches: AbortController;
}

/** A client. It asks nothing yet. */
export function connect(world: World, config: ClusterConfig): Etcd {
  const client: Client = {
    ...{ world, config, current: 0, ahead: new Map(), revision: 0n, watches: new AbortController() },
  };
  const ask = (path: string, body: unknown) => call(client, path, body);
  return {
    get: async (key) => keysOf(await ask("/v3/kv/range", { key: encode(key) }))[0],
    list: (prefix, heard) => list(ask, prefix, heard),
    change: async (conditions, writes) => {
      const compare = conditions.map(compareOf);
      const answer = await ask("/v3/kv/txn", { compare, success: writes.map(requestOf) });
      return answer["succeeded"] === true;
    },
    grant: async (seconds) => String((await ask("/v3/lease/grant", { TTL: String(seconds) }))["ID"]),
    keepAlive: async (lease) => {
      const { result } = await ask("/v3/lease/keepalive", { ID: lease });
      return Number((result as Json | undefined)?.["TTL"] ?? 0) > 0;
    },
    revoke: async (lease) =>
      void await ask("/v3/lease/revoke", { ID: lease }).catch((error) => {
        if (!error.leaseEnded) throw error;
      }),
    watch: (prefix, from, tell, signal) => watch(client, { prefix, from, tell, signal }),
    status: () => Promise.all(config.endpoints.map((_, i) => memberStatus(client, i))),
  };
}

/** Asks, unless it is known that no endpoint answers. While that is not known to be over, one call alone tries: no two wait. */
async function call(client: Client, path: string, body: unknown): Promise<Json> {
  const { failed } = client;
  if (failed && (performance.now() < failed.until || failed.isTried)) throw failed.error;
  if (failed) failed.isTried = true;
  try {
    return await callAny(client, path, body);
  } finally {
    if (client.failed === failed) delete client.failed;
  }
}

/**
 * Asks the endpoint that answered last, then the others; if there is one, that once more. What was asked may have been done
 * before its answer was lost: each caller of `change` finds out by reading why its conditions do not hold.
 */
async function callAny(client: Client, path: string, body: unknown): Promise<Json> {
  const { endpoints } = client.config;
  const began = performance.now();
  const problems = new Set<string>();
  const first = client.current;
  for (let tries = 0; tries < Math.max(2, endpoints.length); tries++) {
    const left = limit - (performance.now() - began);
    if (left < 50) break;
    const timeoutMs = Math.round(left / Math.max(1, endpoints.length - tries));
    // Its own count: other calls move on meanwhile, too.
    const at = (first + tries) % endpoints.length;
    try {
      const answer = await callOne(client, at, path, body, timeoutMs);
      client.current = at;
      return answer;
    } catch (error) {
      if (error instanceof EtcdError && !error.unreachable) throw error;
      problems.add(`${endpoints[at]}: ${(error as Error).message}`);
      // Restored from a backup, etcd does not refuse a token of later, but waits until it comes to be.
      delete client.token;
      if (client.current !== at) continue;
      // What was watched there is as silent.
      endWatches(client);
      client.current = (at + 1) % endpoints.length;
    }
  }
  throw failing(
    client,
    unreachablePause,
    new EtcdError(
      `Cannot reach etcd: ${[...problems].join("; ")}; ${client.config.path} names its endpoints`,
      true,
    ),
  );
}

/** Callers that wait in a row for the same failure are told it at once; and a wrong password is not tried all the time. */
function failing(client: Client, milliseconds: number, error: EtcdError): EtcdError {
  client.failed = { error, until: performance.now() + milliseconds };
  return error;
}

async function callOne(
  client: Client,
  at: number,
  path: string,
  body: unknown,
  timeoutMs: number,
  again = false,
): Promise<Json> {
  const { world, config } = client;
  const before = client.revision;
  const headers = await authorization(client, at, timeoutMs);
  const answer = await post(world, config, at, { path, body, headers, timeoutMs });
  const json = parseAnswer(answer);
  const date = Date.parse(answer.date ?? "");
  if (!Number.isNaN(date)) client.ahead.set(at, Math.round((date - world.now()) / 1000));
  if (answer.status === 200) return seen(client, json, before);
  const isTokenOver = /invalid auth token|auth.* revision|permission_denied/i.test(saidIn(json));
  if (!again && config.user !== undefined && isTokenOver) {
    // Another call may have a new one by now.
    if (client.token === headers["authorization"]) delete client.token;
    return await callOne(client, at, path, body, timeoutMs, true);
  }
  throw refusal(config, answer.status, json);
}

/**
 * A revision below the one that was known when it was asked: etcd was restored from a backup, and watches that wait for
 * later ones are silent. Answers may overtake each other.
 */
function seen(client: Client, json: Json, before: bigint): Json {
  const header = (json["header"] ?? (json["result"] as Json | undefined)?.["header"]) as Json | undefined;
  const revision = BigInt(String(header?.["revision"] ?? client.revision));
  if (revision < before) endWatches(client);
  if (revision < before || revision > client.revision) client.revision = revision;
  return json;
}

function endWatches(client: Client): void {
  client.watches.abort();
  client.watches = new AbortController();
}

async function authorization(client: Client, at: number, timeoutMs: number): Promise<Record<string, string>> {
  const { world, config } = client;
  if (config.user === undefined) return {};
  if (client.token === undefined) {
    const password = secretOf(world, config.passwordFile!).trim();
    const body = { name: config.user, password };
    const answer = await post(world, config, at, { path: "/v3/auth/authenticate", body, timeoutMs });
    const json = parseAnswer(answer);
    if (typeof json["token"] !== "string") {
      const error = refusal(config, answer.status, json);
      throw error.unreachable ? error : failing(client, refusalPause, error);
    }
    client.token = json["token"];
  }
  return { authorization: client.token };
}

interface Watching {
  readonly prefix: string;
  readonly from: string;
  readonly tell: (events: readonly Event[]) => void;
  readonly signal: AbortSignal;
}

async function watch(client: Client, { prefix, from, tell, signal }: Watching): Promise<never> {
  const { world, config, current } = client;
  const broken = new AbortController();
  let reason = "the stream ended";
  const range = { key: encode(prefix), range_end: encode(endOf(prefix)), start_revision: from };
  await world.http({
    ...{ url: `${config.endpoints[current]}/v3/watch`, body: JSON.stringify({ create_request: range }) },
    ...{ timeoutMs: silence, tls: tlsOf(world, config) },
    // Without a leader the stream then ends, rather than to be silent for ever.
    headers: { ...await authorization(client, current, limit), "grpc-metadata-hasleader": "true" },
    signal: AbortSignal.any([signal, client.watches.signal, broken.signal]),
    tell: (line) => {
      try {
        tell(eventsIn(line));
      } catch (error) {
        reason = (error as Error).message;
        broken.abort();
      }
    },
  }).catch((error) => {
    if (!broken.signal.aborted) reason = (error as Error).message;
  });
  throw new EtcdError(`the watch of ${prefix} ended: ${reason}`, true);
}

async function memberStatus(client: Client, at: number): Promise<MemberStatus> {
  const endpoint = client.config.endpoints[at]!;
  try {
    const answer = await callOne(client, at, "/v3/maintenance/status", {}, limit);
    const errors = Array.isArray(answer["errors"]) ? answer["errors"].map(String) : [];
    const problem = errors[0] ?? ((answer["leader"] ?? "0") === "0" ? "it knows no leader" : undefined);
    const ahead = client.ahead.get(at);
    return {
      ...{ endpoint, version: String(answer["version"]) },
      ...(problem === undefined ? {} : { problem }),
      ...(ahead === undefined ? {} : { ahead }),
    };
  } catch (error) {
    return { endpoint, problem: (error as Error).message };
  }
}
