/**
 * Names over hosts: what the containers of this host are known by is told in etcd, and what those of other hosts are known
 * by is written beside the names of this host's, for the hosts files of all that are on the network.
 */
import { digest, identifierProblem, linkNameProblem } from "../../net/names.ts";
import type { World } from "../../plan/world.ts";
import { namesDirectory, refreshNames } from "../networks/names.ts";
import { type Agent, etcdOf, type Joined, keysOf, report } from "./agent_state.ts";
import { readClaim } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { type NamesRecord, parseNames, writeRecord } from "./keys.ts";

/** A file of names of a container of this host, and of one of another. "~" comes last: own containers are found first. */
const [ownFile, remoteFile] = [/^([^~. ][^ ]*) ([^ ]+)$/, /^~[0-9a-f]{32} [^ ]+$/];

/** Tells this host's names, and writes down those of the others. @throws EtcdError, Error */
export async function followNames(agent: Agent, joined: Joined): Promise<void> {
  await publishNames(agent, joined);
  const { names, claims, network } = joined;
  if (!names.synced || !claims.synced) return;
  const { files, problems } = await remoteNames(names.held, claims.held, agent.config.name);
  const [first] = problems.toSorted();
  report(agent, `names on network ${network.name}`, first && `network "${network.name}": ${first}`);
  await writeRemote(agent.world, agent.state, network.name, files);
}

/** What the files of this host's containers say, by key below the network's. */
export function localNames(
  world: World,
  directory: string,
  host: string,
): ReadonlyMap<string, NamesRecord> {
  return new Map(
    world.list(directory).flatMap((file) => {
      const [, id, ifname] = ownFile.exec(file) ?? [];
      const rows = (world.read(`${directory}/${file}`) ?? "").split("\n").filter((line) => line !== "")
        .map((line) => line.split(" "));
      if (id === undefined || rows.length === 0) return [];
      return [[`${host}/${id}/${ifname}`, {
        addresses: rows.map(([address]) => address!),
        names: rows[0]!.slice(1),
      }]];
    }),
  );
}

async function publishNames(agent: Agent, { network, names, published }: Joined): Promise<void> {
  const { world, state, config, lease } = agent;
  if (lease === undefined || !names.synced) return;
  const wanted = localNames(world, namesDirectory(state, network.name), config.name);
  const prefix = keysOf(agent).names(network.name);
  for (const [key, record] of wanted) {
    const value = writeRecord(record);
    const isThere = names.entries.get(key)?.value === value && published.get(key) === `${lease} ${value}`;
    if (isThere) continue;
    await etcdOf(agent).change([], [{ put: prefix + key, value, lease }]);
    published.set(key, `${lease} ${value}`);
    names.note(key, { key: prefix + key, value, created: "0", modified: "0" });
  }
  for (const key of names.entries.keys()) {
    if (!key.startsWith(`${config.name}/`) || wanted.has(key)) continue;
    await etcdOf(agent).change([], [{ delete: prefix + key }]);
    published.delete(key);
    names.note(key, undefined);
  }
}

/**
 * What is to be written down of other hosts' containers, by file. An address is taken only if the same host has claimed it
 * for the same interface.
 */
export async function remoteNames(
  entries: ReadonlyMap<string, KeyValue>,
  claims: ReadonlyMap<string, KeyValue>,
  ownHost: string,
): Promise<{ readonly files: ReadonlyMap<string, string>; readonly problems: readonly string[] }> {
  const files = new Map<string, string>();
  const problems: string[] = [];
  for (const [key, entry] of entries) {
    const [host, id, ifname, ...rest] = key.split("/");
    if (host === ownHost) continue;
    const where = JSON.stringify(key.slice(0, 80));
    try {
      if (ifname === undefined || rest.length > 0) throw new Error("its key is not HOST/ID/IFNAME");
      const problem = identifierProblem(host!) ?? identifierProblem(id!) ?? linkNameProblem(ifname);
      if (problem !== undefined) throw new Error(problem);
      const { addresses, names } = parseNames(entry.value);
      const lines = addresses.filter((address) => {
        const claim = claims.has(address) ? readClaim(claims.get(address)!) : undefined;
        return claim?.host === host && claim?.id === id && claim?.ifname === ifname;
      }).map((address) => [address, ...names].join(" "));
      if (lines.length === 0 || names.length === 0) continue;
      files.set(`~${(await digest(host!, id!)).slice(0, 32)} ${ifname}`, lines.join("\n"));
    } catch (error) {
      problems.push(`Cannot use the names at ${where}: ${(error as Error).message}`);
    }
  }
  return { files, problems };
}

async function writeRemote(
  world: World,
  state: string,
  network: string,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  const directory = namesDirectory(state, network);
  const gone = world.list(directory).filter((name) => remoteFile.test(name) && !files.has(name));
  const fresh = [...files].filter(([name, text]) => world.read(`${directory}/${name}`) !== text);
  if (gone.length + fresh.length === 0) return;
  gone.forEach((name) => world.remove(`${directory}/${name}`));
  if (fresh.length > 0) world.makeDirectory(directory);
  fresh.forEach(([name, text]) => world.write(`${directory}/${name}`, text));
  await refreshNames(world, state, [network]);
}

/** Takes all of it back: this host has no part in the network any more. @throws EtcdError */
export async function dropNames(agent: Agent, { network }: Joined): Promise<void> {
  await writeRemote(agent.world, agent.state, network.name, new Map());
  const prefix = `${keysOf(agent).names(network.name)}${agent.config.name}/`;
  await etcdOf(agent).change([], [{ delete: prefix, prefix: true }]);
}
