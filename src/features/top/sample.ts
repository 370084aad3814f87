import { vethFrom } from "../../net/names.ts";
import { vethsOf } from "../../plan/ip.ts";
import { readRows } from "../../plan/ip_json.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { livePrefixes } from "../../engine/namespace.ts";
import { containerIds, pluginKeys, readPlugin, readUndamaged } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import { endpointsOf } from "../networks/endpoints.ts";

/**
 * What went through an interface since it was made, as its container sees it: bytes received and sent, packets received
 * and sent, packets dropped that it received and sent.
 */
export type Counters = readonly number[];

/** An interface of a container's at a time. */
export interface Counted {
  readonly id: string;
  readonly network: string;
  readonly ifname: string;
  readonly counters: Counters;
}

/** All interfaces at a time, in milliseconds since 1970. */
export interface Sample {
  readonly at: number;
  readonly interfaces: readonly Counted[];
}

/** An interface as the records have it. */
interface Recorded {
  readonly network: string;
  readonly ifname: string;
  /** The veth's end on the host; absent: there is none. */
  readonly end: string | undefined;
}

/** What the records of a container say, and when their directory was last written. */
interface Known {
  readonly modified: number;
  readonly id: string;
  readonly container: Parameters<typeof livePrefixes>[1];
  readonly interfaces: readonly Recorded[];
}

/** Containers by their keys in the state directory, from earlier samples. */
export type KnownContainers = Map<string, Known>;

/**
 * Reads the counters of all containers' interfaces: those of veths from their ends on the host, all at once, and others
 * in the container. What cannot be read, or is gone, is left out.
 * @param known to be given again with the next sample, which then reads only records that were written since
 */
export async function takeSample(
  world: World,
  state: string,
  known: KnownContainers = new Map(),
): Promise<Sample> {
  const host = await ask(world, []);
  const at = world.now();
  const all = await Promise.all(
    containerIds(world, state).map((key) => readOne(world, state, key, { host, known })),
  );
  return { at, interfaces: all.flat() };
}

async function readOne(
  world: World,
  state: string,
  key: string,
  { host, known }: { readonly host: ReadonlyMap<string, Counters>; readonly known: KnownContainers },
): Promise<readonly Counted[]> {
  const modified = world.stat(containerPaths(state, key).directory)?.modified ?? 0;
  const before = known.get(key);
  // Within its clock's step, a directory may be written again unseen.
  const isSettled = modified < world.now() - 1000;
  const found = before?.modified === modified ? before : await readRecords(world, state, key, modified);
  if (found && isSettled) known.set(key, found);
  else known.delete(key);
  if (!found) return [];
  const { id, container, interfaces } = found;
  const isAsked = interfaces.some(({ end }) => !host.has(end ?? ""));
  const enter = isAsked ? livePrefixes(world, container).container : undefined;
  const inside = enter && await ask(world, enter).catch(() => undefined);
  return interfaces.flatMap(({ network, ifname, end }) => {
    const far = host.get(end ?? "");
    // What one end of a veth receives, the other one has sent.
    const counters = far ? [1, 0, 3, 2, 5, 4].map((at) => far[at]!) : inside?.get(ifname);
    return counters ? [{ id, network, ifname, counters }] : [];
  });
}

async function readRecords(
  world: World,
  state: string,
  key: string,
  modified: number,
): Promise<Known | undefined> {
  const endpoints = await endpointsOf(world, state, key);
  const record = readUndamaged(world, state, key);
  const plugins = pluginKeys(world, state, key).flatMap((one) => readPlugin(world, state, one) ?? []);
  const owner = record ?? plugins[0];
  if (!owner) return undefined;
  const interfaces = endpoints.map(({ network, ifname }) => {
    const digest = record?.attachments.find((one) => one.ifname === ifname)?.digest;
    const own = plugins.filter((one) => one.ifname === ifname);
    return {
      network,
      ifname,
      end: digest ? vethFrom(digest) : vethsOf(own.flatMap(({ steps }) => steps))[0],
    };
  });
  return { modified, id: record?.runtimeId ?? owner.id, container: owner.container, interfaces };
}

/** The counters of all links of a namespace. */
async function ask(world: World, enter: readonly string[]): Promise<ReadonlyMap<string, Counters>> {
  const output = await world.run([...enter, "ip", "-s", "-json", "link", "show"], { looks: true });
  if (output.code !== 0) throw new Error(`Cannot look at links by ip: ${whyFailed(output)}`);
  return new Map(
    readRows(output.stdout).map((row) => {
      const { rx, tx } = row["stats64"] as Readonly<Record<"rx" | "tx", Readonly<Record<string, number>>>>;
      const counters = ["bytes", "packets", "dropped"].flatMap((key) => [rx[key]!, tx[key]!]);
      return [String(row["ifname"]), counters];
    }),
  );
}
