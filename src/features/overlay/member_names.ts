/**
 * Names over hosts: what the containers of this host are known by is told in etcd, and what those of other hosts are known
 * by is written beside the names of this host's, for the hosts files of all that are on the network.
 */
import { identifierProblem, linkNameProblem } from "../../net/names.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { namesDirectory, refreshNames, withoutDrained } from "../networks/names.ts";
import { type Agent, etcdOf, type Joined, keysOf, report } from "./agent_state.ts";
import { publish } from "./publish.ts";
import { isClaimOf } from "./claims.ts";
import { ofLiving, ownFile } from "./ended.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { type NamesRecord, parseNames, writeRecord } from "./keys.ts";

/** The file of names of all other hosts' containers. "~" comes last: own containers are found first. */
const [remoteFile, oldFile] = ["~ hosts", /^~[0-9a-f]{32} [^ ]+$/];
/** The most lines of other hosts' names: each container's hosts file has all of them, and of that a megabyte is read. */
const mostLines = 5000;
/** How many times as long as writing names took it is left alone: endpoints of a large network come first. */
const rest = 10;

/** Tells this host's names, and writes down those of the others. @throws EtcdError, Error */
export async function followNames(agent: Agent, joined: Joined): Promise<void> {
  await publishNames(agent, joined);
  const { names, claims, network, namesDue = 0 } = joined;
  const began = performance.now();
  if (!names.synced || !claims.synced || began < namesDue) return;
  const { lines, problems } = remoteNames(names.held, claims.held, agent.config.name);
  const [first] = problems.toSorted();
  report(agent, `names on network ${network.name}`, first && `network "${network.name}": ${first}`);
  await writeRemote(agent.world, agent.state, network.name, lines.join("\n"));
  const took = performance.now() - began;
  joined.namesDue = began + took * (1 + rest);
  // What comes meanwhile is written then.
  if (took * rest > 10) setTimeout(agent.wake, took * rest);
}

/** What the files of this host's containers say, by key below the network's. */
export function localNames(
  world: World,
  state: string,
  network: string,
  host: string,
): ReadonlyMap<string, NamesRecord> {
  const [directory, told] = [namesDirectory(state, network), withoutDrained(world, state, network)];
  return new Map(
    world.list(directory).flatMap((file) => {
      const [, id, ifname] = ownFile.exec(file) ?? [];
      const text = told(file, readUndamagedFile(world, `${directory}/${file}`) ?? "");
      const rows = text.split("\n").filter((line) => line !== "").map((line) => line.split(" "));
      if (id === undefined || rows.length === 0) return [];
      return [[`${host}/${id}/${ifname}`, {
        addresses: rows.map(([address]) => address!),
        names: rows[0]!.slice(1),
      }]];
    }),
  );
}

async function publishNames(agent: Agent, { network, names, published }: Joined): Promise<void> {
  const { world, state, config: { name } } = agent;
  const wanted = localNames(world, state, network.name, name);
  await publish(
    agent,
    {
      ...{ mirror: names, prefix: keysOf(agent).names(network.name), published },
      isOwn: (key) => key.startsWith(`${name}/`),
    },
    await ofLiving(
      agent,
      new Map([...wanted].map(([key, record]) => [key, writeRecord(record)])),
      `${network.name}/`,
    ),
  );
}

/** Names that have been read, by what etcd told: those of a container's interface, or what is wrong with them. */
const read = new WeakMap<KeyValue, Remote | Error>();

interface Remote extends NamesRecord {
  readonly host: string;
  readonly id: string;
  readonly ifname: string;
}

function readRemote(key: string, entry: KeyValue): Remote | Error {
  const [host, id, ifname, ...more] = key.split("/");
  if (ifname === undefined || more.length > 0) return new Error("its key is not HOST/ID/IFNAME");
  const problem = identifierProblem(host!) ?? identifierProblem(id!) ?? linkNameProblem(ifname);
  if (problem !== undefined) return new Error(problem);
  try {
    return { host: host!, id: id!, ifname, ...parseNames(entry.value) };
  } catch (error) {
    return error as Error;
  }
}

/**
 * What is to be written down of other hosts' containers. An address is taken only if the same host has claimed it for the
 * same interface.
 */
export function remoteNames(
  entries: ReadonlyMap<string, KeyValue>,
  claims: ReadonlyMap<string, KeyValue>,
  ownHost: string,
): { readonly lines: readonly string[]; readonly problems: readonly string[] } {
  const lines: string[] = [];
  const problems: string[] = [];
  for (const [key, entry] of [...entries].toSorted(([a], [b]) => a < b ? -1 : 1)) {
    if (key.startsWith(`${ownHost}/`)) continue;
    const known = read.get(entry) ?? readRemote(key, entry);
    read.set(entry, known);
    if (known instanceof Error) {
      problems.push(`Cannot use the names at ${JSON.stringify(key.slice(0, 80))}: ${known.message}`);
      continue;
    }
    const { addresses, names } = known;
    if (names.length === 0) continue;
    for (const address of addresses) {
      if (isClaimOf(claims.get(address), known)) lines.push([address, ...names].join(" "));
    }
  }
  if (lines.length > mostLines) {
    problems.push(
      `Cannot tell ${
        lines.length - mostLines
      } lines of names: hosts files have the first ${mostLines} of other hosts`,
    );
  }
  return { lines: lines.slice(0, mostLines), problems };
}

async function writeRemote(world: World, state: string, network: string, text: string): Promise<void> {
  const directory = namesDirectory(state, network);
  const path = `${directory}/${remoteFile}`;
  const old = world.list(directory).filter((name) => oldFile.test(name));
  if (old.length === 0 && (world.read(path) ?? "") === text) return;
  old.forEach((name) => world.remove(`${directory}/${name}`));
  if (text === "") world.remove(path);
  else {
    world.makeDirectory(directory);
    world.write(path, text);
  }
  await refreshNames(world, state, [network]);
}

/** Takes all of it back: this host has no part in the network any more. @throws EtcdError */
export async function dropNames(agent: Agent, { network }: Joined): Promise<void> {
  await writeRemote(agent.world, agent.state, network.name, "");
  const prefix = `${keysOf(agent).names(network.name)}${agent.config.name}/`;
  await etcdOf(agent).change([], [{ delete: prefix, prefix: true }]);
}
