import { vethFrom } from "../../net/names.ts";
import { vethsOf } from "../../plan/ip.ts";
import { readRows } from "../../plan/ip_json.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { livePrefixes } from "../../engine/namespace.ts";
import { containerIds, pluginKeys, readPlugin, readUndamaged } from "../../engine/record.ts";
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

/**
 * Reads the counters of all containers' interfaces: those of veths from their ends on the host, all at once, and others
 * in the container. What cannot be read, or is gone, is left out.
 */
export async function takeSample(world: World, state: string): Promise<Sample> {
  const host = await ask(world, []);
  const at = world.now();
  const all = await Promise.all(
    containerIds(world, state).map((key) => readOne(world, state, key, host)),
  );
  return { at, interfaces: all.flat() };
}

async function readOne(
  world: World,
  state: string,
  key: string,
  host: ReadonlyMap<string, Counters>,
): Promise<readonly Counted[]> {
  const endpoints = await endpointsOf(world, state, key);
  const record = readUndamaged(world, state, key);
  const plugins = pluginKeys(world, state, key).flatMap((one) => readPlugin(world, state, one) ?? []);
  const owner = record ?? plugins[0];
  if (!owner) return [];
  const ends = endpoints.map(({ ifname }) => {
    const digest = record?.attachments.find((one) => one.ifname === ifname)?.digest;
    const own = plugins.filter((one) => one.ifname === ifname);
    return host.get(digest ? vethFrom(digest) : vethsOf(own.flatMap(({ steps }) => steps))[0] ?? "");
  });
  const enter = ends.includes(undefined) ? livePrefixes(world, owner.container).container : undefined;
  const inside = enter && await ask(world, enter).catch(() => undefined);
  return endpoints.flatMap(({ network, ifname }, i) => {
    // What one end of a veth receives, the other one has sent.
    const counters = ends[i] ? [1, 0, 3, 2, 5, 4].map((at) => ends[i]![at]!) : inside?.get(ifname);
    return counters ? [{ id: record?.runtimeId ?? owner.id, network, ifname, counters }] : [];
  });
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
