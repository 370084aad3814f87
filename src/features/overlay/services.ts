/** Who is a member of a service: what this host's containers are is told in etcd, and all hosts read it. */
import { identifierProblem, linkNameProblem } from "../../net/names.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { parseObject } from "../../wire/overlay/requests.ts";
import { drainedDirectory } from "../networks/names.ts";
import { servicesDirectory } from "../networks/services.ts";
import { type Agent, keysOf, report } from "./agent_state.ts";
import { ofLiving } from "./ended.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { publish } from "./publish.ts";
import { parseService, type ServiceRecord, writeRecord } from "./keys.ts";

/** A container's interface that is a member of a service. */
export interface Member extends ServiceRecord {
  readonly network: string;
  readonly host: string;
  readonly id: string;
  readonly ifname: string;
}

/** The members of this host, by key: `NETWORK/HOST/ID/IFNAME`. */
export function localMembers(world: World, state: string, host: string): ReadonlyMap<string, string> {
  return new Map(
    world.list(`${state}/services`).flatMap((network) => {
      const directory = servicesDirectory(state, network);
      const drained = world.list(drainedDirectory(state, network));
      return world.list(directory).flatMap((file) => {
        const [, id, ifname] = /^([^. ][^ ]*) ([^ ]+)$/.exec(file) ?? [];
        const text = readUndamagedFile(world, `${directory}/${file}`);
        if (id === undefined || text === undefined) return [];
        const record = parseObject(text);
        const led = drained.includes(file)
          ? { ...record, addresses: [], drained: record["addresses"] }
          : record;
        return [[`${network}/${host}/${id}/${ifname}`, writeRecord(led)] as const];
      });
    }),
  );
}

/** Tells this host's members with its lease. @throws EtcdError */
export async function publishMembers(agent: Agent): Promise<void> {
  const { world, state, config: { name }, services, published } = agent;
  await publish(
    agent,
    {
      ...{ mirror: services, prefix: keysOf(agent).services, published },
      isOwn: (key) => key.split("/")[1] === name,
    },
    await ofLiving(agent, localMembers(world, state, name)),
  );
}

/** Members that have been read, by what etcd told. */
const read = new WeakMap<KeyValue, Member>();

/** All members of all hosts; what cannot be read is told. */
export function members(agent: Agent): readonly Member[] {
  const problems: string[] = [];
  const all = [...agent.services.held].flatMap(([key, entry]) => {
    try {
      const known = read.get(entry) ?? readMember(key, entry);
      read.set(entry, known);
      return [known];
    } catch (error) {
      problems.push(
        `Cannot use the service at ${JSON.stringify(key.slice(0, 80))}: ${(error as Error).message}`,
      );
      return [];
    }
  });
  report(agent, "services", problems.toSorted()[0]);
  return all;
}

/** @throws Error giving the reason */
export function readMember(key: string, entry: KeyValue): Member {
  const [network, host, id, ifname, ...rest] = key.split("/");
  if (ifname === undefined || rest.length > 0) throw new Error("its key is not NETWORK/HOST/ID/IFNAME");
  const problem =
    [network, host, id].map((one) => identifierProblem(one!)).find((one) => one !== undefined) ??
      linkNameProblem(ifname);
  if (problem !== undefined) throw new Error(problem);
  return { network: network!, host: host!, id: id!, ifname, ...parseService(entry.value) };
}

/** Whether ports of every host lead to members on the network, so that every host takes part in it. */
export function isMeshed(agent: Agent, network: string): boolean {
  return members(agent).some((one) => one.network === network && one.ports.length > 0);
}
