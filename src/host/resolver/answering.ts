import { type Asker, decide, subnetsOf } from "../../wire/dns/decide.ts";
import {
  type Query,
  rcodes,
  readQuery,
  type Verdict,
  writeAnswer,
  writeRefusal,
} from "../../wire/dns/packet.ts";
import type { Zone, ZoneMember } from "../../wire/dns/zone.ts";
import { linkExists } from "./datagrams.ts";
import type { Directory } from "./directory.ts";
import { type Pool, random } from "./pool.ts";
import { askWorld, type Mute } from "./upstream.ts";

/** What answers are made of. */
export interface Resolver {
  readonly directory: Directory;
  readonly pool: Pool;
  readonly mute: Mute;
  /** The host's name servers. */
  hostServers(): readonly string[];
  /** The addresses that we listen on: we are not asked by ourselves. */
  own: ReadonlySet<string>;
  isOurs: Asker["isOurs"];
  readonly isThere: Asker["isThere"];
  /** When links were last looked at: at most once a second, unless networks change. A name may have a thousand. */
  readonly seen: Map<string, number>;
  /** How many questions of each client, by address, wait for the world. */
  readonly waiting: Map<string, number>;
}

/** A question, and where it came in. */
export interface Asked {
  readonly bytes: Uint8Array;
  /** The asker's address. */
  readonly from: string;
  /** The network whose address was asked. */
  readonly network: string;
  readonly byConnection: boolean;
}

/** The most questions that wait for the world: of one client, and of all. */
const most = { ofOne: 256, ofAll: 4096 };
/** The longest question, in bytes. */
const longestQuery = 4096;
const longestByConnection = 65_535;

/** Makes what answers questions. */
export function newResolver(
  directory: Directory,
  hostServers: () => readonly string[],
  exists = linkExists,
): Resolver {
  const seen = new Map<string, number>();
  return {
    ...{ directory, hostServers, seen, pool: new Map(), mute: new Map(), waiting: new Map() },
    own: new Set(),
    isOurs: () => false,
    isThere: ({ link }) =>
      link === undefined || Date.now() - (seen.get(link) ?? 0) < 1000 ||
      exists(link) && !!seen.set(link, Date.now()),
  };
}

/** Takes over which networks there are. */
export function setNetworks(resolver: Resolver, zones: readonly Zone[]): void {
  resolver.own = new Set(zones.flatMap(({ listen }) => listen.map((cidr) => cidr.split("/")[0]!)));
  resolver.isOurs = subnetsOf(zones.flatMap(({ subnets }) => subnets));
  resolver.seen.clear();
}

/**
 * Answers a question of a member of the network by whose address it came. No other is answered.
 * @returns undefined where there is no answer
 */
export async function answer(resolver: Resolver, asked: Asked): Promise<Uint8Array | undefined> {
  const found = resolver.directory.find(asked.network, asked.from, resolver.isThere);
  if (!found) return undefined;
  const query = asked.bytes.length > longestQuery
    ? { problem: "formerr", id: asked.bytes[0]! << 8 | asked.bytes[1]! } as const
    : readQuery(asked.bytes);
  if ("problem" in query) return query.problem === "ignored" ? undefined : writeRefusal(query);
  const { zones, member } = found;
  const decision = decide(query, { ...resolver, zones, choose: random });
  const longest = asked.byConnection ? longestByConnection : query.longest;
  const say = (verdict: Verdict) => writeAnswer(query, verdict, longest);
  if (decision !== "forward") return say(decision);
  const servers = serversFor(resolver, member, zones);
  const world = servers.length === 0 ? undefined : await forward(resolver, asked, query, servers);
  if (!world) return say({ rcode: rcodes.servfail, answers: [] });
  return asked.byConnection || world.length <= query.said ? world : cut(world, query);
}

/** Of a container on internal networks alone nothing leaves. One that names servers of its own asks those. */
function serversFor(resolver: Resolver, member: ZoneMember, zones: readonly Zone[]): readonly string[] {
  if (zones.every(({ internal }) => internal)) return [];
  const own = zones.map((zone) =>
    [...zone.members.values()].flat().find(({ id }) => id === member.id)?.servers ?? []
  );
  const given = member.servers.length > 0 ? member.servers : own.find((servers) => servers.length > 0);
  const others = (servers: readonly string[]) => servers.filter((server) => !resolver.own.has(server));
  const named = others(given ?? []);
  return named.length > 0 ? named : others(resolver.hostServers());
}

async function forward(
  { pool, mute, waiting }: Resolver,
  { bytes, from, byConnection }: Asked,
  { question }: Query,
  servers: readonly string[],
): Promise<Uint8Array | undefined> {
  const count = waiting.get(from) ?? 0;
  const all = waiting.get("") ?? 0;
  if (count >= most.ofOne || all >= most.ofAll) return undefined;
  waiting.set(from, count + 1).set("", all + 1);
  try {
    return await askWorld(pool, mute, { bytes, question, servers, byConnection });
  } finally {
    less(waiting, from);
    less(waiting, "");
  }
}

function less(waiting: Map<string, number>, key: string): void {
  const left = (waiting.get(key) ?? 1) - 1;
  if (left > 0) waiting.set(key, left);
  else waiting.delete(key);
}

/** What is longer than the asker takes: they ask again by TCP. */
function cut(world: Uint8Array, { question }: Query): Uint8Array {
  const head = world.slice(0, 12 + question.length);
  head[2] = head[2]! | 2;
  head.set(question, 12);
  head.set([0, 1, 0, 0, 0, 0, 0, 0], 4);
  return head;
}
