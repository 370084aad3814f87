import { jsonProblem } from "../net/json_problem.ts";
import type { Limits } from "../net/limits.ts";
import { identifierProblem } from "../net/names.ts";
import type { PortMapping } from "../net/port_mapping.ts";
import { DamagedFile, removeAbandoned, undamaged, withDirectory } from "../plan/files.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import type { NetworkList } from "../wire/cni/network_list.ts";
import type { Result } from "../wire/cni/result.ts";
import { oldPluginKeys, readOldContainer, readOldPlugin, removeOldPlugin } from "./old_records.ts";
import { bootId, ownNamespace, type ProcessIdentity } from "./process.ts";
import { isBaseRecord, isContainerRecord, isPluginRecord } from "./record_shape.ts";
import { containerPaths } from "./state.ts";

/** The format that this program writes. Records of format 1 are read as `old_records.ts` says. */
export const recordFormat = 2;

/** By what a record is found. */
export interface RecordKey {
  /** The container's id. */
  readonly id: string;
  /** "" where a record belongs to no network. */
  readonly network: string;
  readonly ifname: string;
  /** What the record is of: the type of a plugin, or "container" for what belongs to all of a container. */
  readonly part: string;
}

/** What is written down before anything is done, and removed once all of it is undone. */
export interface BaseRecord extends RecordKey {
  readonly format: typeof recordFormat;
  readonly bootId: string;
  /** The network namespace that it was done from, e.g. `net:[4026531840]`. */
  readonly host: string;
  readonly container: Namespace;
  readonly steps: readonly Step[];
  /** Steps that wait until another record of the container's, which has what they would make, is gone. */
  readonly waiting?: readonly Step[];
  /** While steps are added to a record: how many of its steps were there before. */
  readonly before?: number;
}

/** A network namespace of a container, and what proves that it is still that one. */
export interface Namespace {
  readonly netns: string;
  /** `device:inode` of the namespace. */
  readonly identity: string;
  /** The container's first process, where the namespace was given by one. */
  readonly init?: ProcessIdentity;
  /** The user namespace to enter first, where we have no power over the network one from outside. */
  readonly userns?: string;
  /** The user whom the privileged helper connected it for: root no longer enters it. */
  readonly owner?: number;
}

/** What belongs to all of a container: its networks, its ports, its files, its limits. */
export interface ContainerRecord extends BaseRecord {
  readonly part: "container";
  readonly created: string;
  /** Its runtime's id for it, where ours is made of its hash. */
  readonly runtimeId?: string;
  /** Its host name, if that is one of its names. */
  readonly hostname?: string;
  /** Whom its resolver asks for names of the world, if that was said. */
  readonly nameServers?: readonly string[];
  /** It is the user's session (session.ts); and what cannot be seen of the host from within. */
  readonly session?: { readonly lowestPort: number };
  /** `planning`: addresses may be taken that no step names yet; `planned`: some steps may be done. */
  readonly phase: "planning" | "planned" | "done";
  readonly attachments: readonly Attached[];
  readonly ports: readonly PortMapping[];
  readonly limits?: Limits;
  /** It was made up of what is found by the container's name, in place of a record that cannot be read. */
  readonly recovered?: true;
  /** While programs are started again: their pid files. What they were asked for has to be asked for again. */
  readonly restarting?: readonly string[];
  /**
   * The interface that is being connected or disconnected: unless a process is at it, it has to be taken off. Empty while
   * published ports are moved, which then have to be led by the networks that there are.
   */
  readonly changing?: string;
}

/** What an ADD of one of our CNI plugins did. */
export interface PluginRecord extends BaseRecord {
  /** The request, by which a delegate is called again to give back what it holds. */
  readonly request: Readonly<{ [key: string]: unknown }>;
  /** What is true of the container's attachment once the plugin has done its part. */
  readonly result?: Result;
}

/** One network of a container. */
export interface Attached {
  readonly network: NetworkList;
  readonly ifname: string;
  readonly args: string;
  readonly digest: string;
  readonly networkDigest: string;
  /** How the container is connected: its plugin's type, or an uplink's name. */
  readonly by: string;
  /** Where its plugins are, if they are run one by one: not all are ours. */
  readonly path?: readonly string[];
  /** The ports that its own plugins publish. */
  readonly published?: readonly PortMapping[];
  /** The container's names on the network beside its own. */
  readonly aliases?: readonly string[];
  /** Of several networks with a default route, that with the greatest has it; 0, unless told. */
  readonly gwPriority?: number;
  readonly result?: Result;
}

/** A record of this boot and this network namespace. */
export function newRecord<R extends BaseRecord>(
  world: World,
  rest: Omit<R, "format" | "bootId" | "host">,
): R {
  return { format: recordFormat, bootId: bootId(world), host: ownNamespace(world), ...rest } as R;
}

/** The key of a container's own record. */
export function containerKey(id: string): RecordKey & { readonly part: "container" } {
  return { id, network: "", ifname: "", part: "container" };
}

/** The part of a record of what the agent made for an overlay network on this host: it is of no container. */
export const overlayPart = "overlay network";

/** The part of a record of an endpoint of Docker's: it is of no container that we know. */
export const dockerPart = "docker endpoint";

/** The part of a record of a network that plugins of Docker's are making for us. */
export const networkPart = "docker network";

/** Where a record is. */
export function recordFile(state: string, { id, network, ifname, part }: RecordKey): string {
  if (part === dockerPart) return `${state}/docker/${id}.json`;
  if (part === networkPart) return `${state}/plugin-networks/${id}.json`;
  if (part === overlayPart) return `${state}/overlay/${network}.json`;
  const name = network === "" ? part : `${network} ${ifname} ${part}`;
  return `${containerPaths(state, id).directory}/${name}.json`;
}

/** Where a container's own record is. */
export function containerFile(state: string, id: string): string {
  return recordFile(state, containerKey(id));
}

/** Writes a record; a reader sees the old one or the new. @throws Error for one that could not be read again */
export function writeRecord<R extends BaseRecord>(world: World, state: string, record: R): R {
  const path = recordFile(state, record);
  const text = JSON.stringify(record);
  if (text.length > 1 << 24) {
    throw new Error(`Cannot write ${path}: it would be larger than 16 MiB; publish fewer ports`);
  }
  withDirectory(world, path, 0o700, () => world.write(path, text));
  return record;
}

/**
 * The record of a container, or undefined when there is none.
 * @throws DamagedFile naming the file when nothing can be made of it, Error when it is of a later version
 */
export function readContainer(world: World, state: string, id: string): ContainerRecord | undefined {
  const path = containerFile(state, id);
  const text = world.read(path);
  if (text !== undefined) return parseRecord(text, path, id, isContainerRecord);
  const hasOld = world.read(`${containerPaths(state, id).directory}/journal.json`) !== undefined;
  const old = hasOld ? readOldContainer(world, state, id) : undefined;
  return old && parseRecord(old.text, old.path, id, isContainerRecord);
}

/** The same; undefined also when nothing can be made of it. @throws Error when it is of a later version */
export function readUndamaged(world: World, state: string, id: string): ContainerRecord | undefined {
  return undamaged(() => readContainer(world, state, id));
}

/**
 * The record of a plugin's ADD; undefined unless there is one that can be read.
 * @throws Error when it is of a later version
 */
export function readPlugin(world: World, state: string, key: RecordKey): PluginRecord | undefined {
  return undamaged(() => {
    const path = recordFile(state, key);
    const text = world.read(path) ??
      (hasOldPlugins(world, state) ? readOldPlugin(world, state, key) : undefined);
    return text === undefined ? undefined : parseRecord(text, path, key.id, isPluginRecord);
  });
}

function parseRecord<R extends BaseRecord>(
  text: string,
  path: string,
  id: string,
  isOne: (record: Partial<R>) => boolean,
): R {
  const damaged = (problem: string) =>
    new DamagedFile(
      `Cannot read ${path}: ${problem}; ocinet down ${id} takes away what is found by its name`,
    );
  let record: Partial<R> | null;
  try {
    record = JSON.parse(text) as Partial<R> | null;
  } catch {
    throw damaged(`it is not JSON: ${jsonProblem(text)}`);
  }
  const format: number | undefined = record?.format;
  if (typeof format === "number" && format > recordFormat) {
    throw new Error(
      `Cannot read ${path}: its format is ${format}, and this program knows ${recordFormat}; ` +
        "use the version of ocinet that wrote it",
    );
  }
  if (record && format === recordFormat && isBaseRecord(record) && isOne(record)) return record as R;
  throw damaged("it is not a record");
}

/** Removes a record, and the directory of its container with the last one. */
export function removeRecord(world: World, state: string, key: RecordKey): void {
  if ([overlayPart, dockerPart, networkPart].includes(key.part)) {
    const path = recordFile(state, key);
    world.remove(path);
    return world.removeEmpty(path.slice(0, path.lastIndexOf("/")));
  }
  const { directory } = containerPaths(state, key.id);
  if (key.part === "container" && pluginKeys(world, state, key.id).length === 0) {
    return world.remove(directory);
  }
  world.remove(recordFile(state, key));
  if (hasOldPlugins(world, state)) removeOldPlugin(world, state, key);
  removeAbandoned(world, directory);
  world.removeEmpty(directory);
  world.removeEmpty(directory.slice(0, directory.lastIndexOf("/")));
}

/** The ids of all containers that have state. */
export function containerIds(world: World, state: string): readonly string[] {
  return world.list(`${state}/containers`).filter((name) => identifierProblem(name) === undefined).sort();
}

/** The keys of what plugins did for a container, also of such records as cannot be read. */
export function pluginKeys(world: World, state: string, id: string): readonly RecordKey[] {
  return world.list(containerPaths(state, id).directory).flatMap((name) => {
    const [, network, ifname, part] = /^([^ .][^ ]*) ([^ ]+) (.*)\.json$/.exec(name) ?? [];
    return part === undefined ? [] : [{ id, network: network!, ifname: ifname!, part }];
  });
}

/** Whether there is anything of format 1, which hardly a host has: what reads it is loaded on demand. */
function hasOldPlugins(world: World, state: string): boolean {
  return world.stat(`${state}/cni`) !== undefined;
}

/** The same of all containers. */
export function allPluginKeys(world: World, state: string): readonly RecordKey[] {
  const keys = containerIds(world, state).flatMap((id) => pluginKeys(world, state, id));
  return hasOldPlugins(world, state) ? [...keys, ...oldPluginKeys(world, state)] : keys;
}

/** What is recorded of the same type for other interfaces of the container, or on other networks. */
export function otherRecords(world: World, state: string, key: RecordKey): readonly PluginRecord[] {
  const isOther = ({ network, ifname, part }: RecordKey) =>
    part === key.part && (network !== key.network || ifname !== key.ifname);
  return pluginKeys(world, state, key.id).filter(isOther).flatMap((other) =>
    readPlugin(world, state, other) ?? []
  );
}

/** What is recorded of other types for the same interface on the same network. */
export function recordsOfInterface(world: World, state: string, key: RecordKey): readonly PluginRecord[] {
  const isOf = ({ network, ifname, part }: RecordKey) =>
    part !== key.part && network === key.network && ifname === key.ifname;
  return pluginKeys(world, state, key.id).filter(isOf).flatMap((other) =>
    readPlugin(world, state, other) ?? []
  );
}

/** Whether there is a record, be it one that cannot be read. */
export function hasRecord(world: World, state: string, key: RecordKey): boolean {
  return world.stat(recordFile(state, key)) !== undefined;
}

/** The file of a plugin's record of the container that cannot be read. */
export function damagedPlugin(world: World, state: string, id: string): string | undefined {
  const key = pluginKeys(world, state, id).find((one) =>
    hasRecord(world, state, one) && readPlugin(world, state, one) === undefined
  );
  return key && recordFile(state, key);
}

/** Whether the container's interface is on another network, too. */
export function isAttachedByOther(world: World, state: string, { id, network, ifname }: RecordKey): boolean {
  return pluginKeys(world, state, id).some((other) => other.network !== network && other.ifname === ifname);
}
