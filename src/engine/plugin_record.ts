import type { Step } from "../plan/step.ts";
import { removeAbandoned, withDirectory, type World } from "../plan/world.ts";
import { ownNamespace } from "./namespace.ts";
import { areSteps, type Container, isContainer } from "./journal.ts";
import { bootId } from "./process.ts";

/** What is written down of one ADD to one of our plugins, before it is done, and removed once it is undone. */
export interface PluginRecord {
  readonly format: 1;
  readonly bootId: string;
  /** The network namespace that we did it from. */
  readonly host: string;
  readonly type: string;
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly container: Container;
  /** The request, by which a delegate is called again to give back what it holds. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly steps: readonly Step[];
}

/** By what a record is found. */
export type RecordKey = Pick<PluginRecord, "type" | "network" | "containerId" | "ifname">;

/** A record about to be filled, of this boot and this namespace. */
export function newRecord(
  world: World,
  key: RecordKey,
  rest: Pick<PluginRecord, "container" | "request" | "steps">,
): PluginRecord {
  return { format: 1, bootId: bootId(world), host: ownNamespace(world), ...key, ...rest };
}

function pathOf(state: string, { type, network, containerId, ifname }: RecordKey): string {
  return `${state}/cni/${network}/${containerId}/${ifname} ${type}.json`;
}

/** Writes a record; a reader sees the old one or the new. */
export function writeRecord(world: World, state: string, record: PluginRecord): void {
  const path = pathOf(state, record);
  withDirectory(world, path, 0o700, () => world.write(path, JSON.stringify(record)));
}

/** The record of an ADD, unless there is none, or none that can be read, which is worth as much. */
export function readRecord(world: World, state: string, key: RecordKey): PluginRecord | undefined {
  const text = world.read(pathOf(state, key));
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as PluginRecord | null;
    return record?.format === 1 && isContainer(record.container) && areSteps(record.steps)
      ? record
      : undefined;
  } catch {
    return undefined;
  }
}

/** Removes a record, and what of one a killed ADD had begun to write, and the directories that they leave empty. */
export function removeRecord(world: World, state: string, key: RecordKey): void {
  const path = pathOf(state, key);
  world.remove(path);
  removeAbandoned(world, path.slice(0, path.lastIndexOf("/")));
  for (let at = path.lastIndexOf("/"); at >= `${state}/cni`.length; at = path.lastIndexOf("/", at - 1)) {
    world.removeEmpty(path.slice(0, at));
  }
}

/** The keys of all records of one type on a network, also of such as cannot be read. */
export function listKeys(
  world: World,
  state: string,
  { type, network }: Pick<RecordKey, "type" | "network">,
): readonly RecordKey[] {
  return keysOf(world, state, network).filter((key) => key.type === type);
}

/** The same of all types, on all networks. */
export function allKeys(world: World, state: string): readonly RecordKey[] {
  return world.list(`${state}/cni`).flatMap((network) => keysOf(world, state, network));
}

function keysOf(world: World, state: string, network: string): readonly RecordKey[] {
  const directory = `${state}/cni/${network}`;
  return world.list(directory).flatMap((containerId) =>
    world.list(`${directory}/${containerId}`).flatMap((name) => {
      const [, ifname, type] = /^([^ ]+) (.*)\.json$/.exec(name) ?? [];
      return ifname === undefined ? [] : [{ type: type!, network, containerId, ifname }];
    })
  );
}

/** What is written down of the same type for other interfaces of the container, or on other networks. */
export function otherRecords(world: World, state: string, key: RecordKey): readonly PluginRecord[] {
  const { type, containerId } = key;
  const keys = world.list(`${state}/cni`).flatMap((network) =>
    world.list(`${state}/cni/${network}/${containerId}`)
      .flatMap((name) => /^([^ ]+) (.*)\.json$/.exec(name)?.[2] === type ? name.split(" ")[0]! : [])
      .map((ifname) => ({ type, network, containerId, ifname }))
  );
  return keys.filter(({ network, ifname }) => network !== key.network || ifname !== key.ifname)
    .flatMap((other) => readRecord(world, state, other) ?? []);
}

/** Whether the container's interface is on another network, too. */
export function isAttachedByOther(
  world: World,
  state: string,
  { network, containerId, ifname }: RecordKey,
): boolean {
  return world.list(`${state}/cni`).filter((other) => other !== network).some((other) =>
    world.list(`${state}/cni/${other}/${containerId}`).some((name) => name.startsWith(`${ifname} `))
  );
}
