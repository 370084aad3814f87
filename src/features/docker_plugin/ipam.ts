import { addressOf, contains, fromNumber, lengthOf, toNumber } from "../../net/address.ts";
import type { World } from "../../plan/world.ts";
import { freeSubnet, takenSubnets } from "../networks/free_subnet.ts";
import { localRanges, noSubnet, overlaps } from "../networks/ipam_options.ts";
import type { DockerPlugin } from "./plugin.ts";

/** The address space of all pools. */
export const space = "ocinetLocal";

/** A subnet whose addresses, or a part of them, are given away. */
export interface Pool {
  readonly subnet: string;
  readonly range?: string;
}

/** A request for a pool. */
export interface PoolWish {
  readonly subnet?: string;
  readonly range?: string;
  readonly ipv6: boolean;
}

export function poolId({ subnet, range }: Pool): string {
  return [space, subnet, ...(range === undefined ? [] : [range])].join("/");
}

/** The pool's directory. Ids contain slashes, which file names cannot. */
function directoryOf({ data }: DockerPlugin, id: string): string {
  return `${data}/pools/${id.replaceAll("/", "_")}`;
}

function pools({ world, data }: DockerPlugin): readonly Pool[] {
  return world.list(`${data}/pools`).flatMap((name) => {
    const text = world.read(`${data}/pools/${name}/pool`);
    return text === undefined ? [] : [JSON.parse(text) as Pool];
  });
}

/** Takes the requested pool, or an unused one. @throws Error in Docker's words */
export async function requestPool(plugin: DockerPlugin, wish: PoolWish): Promise<Pool> {
  const { world } = plugin;
  const others = pools(plugin);
  const taken = others.map(({ subnet }) => subnet);
  if (wish.subnet === undefined && wish.range !== undefined) {
    throw new Error(noSubnet);
  }
  const subnet = wish.subnet ?? await choose(world, wish.ipv6, taken);
  const other = others.find((one) => overlaps(one.subnet, subnet));
  if (other) {
    throw new Error(
      `Pool overlaps with other one on this address space: ${subnet} and ${other.subnet}; ` +
        `if Docker has no network with it any more, remove ${directoryOf(plugin, poolId(other))}`,
    );
  }
  if (
    wish.range !== undefined &&
    (!contains(subnet, addressOf(wish.range)) || lengthOf(wish.range) < lengthOf(subnet))
  ) {
    throw new Error(`invalid ip-range ${wish.range}: it is not in ${subnet}`);
  }
  const pool = { subnet, ...(wish.range === undefined ? {} : { range: wish.range }) };
  localRanges(rangeOf(pool));
  const directory = directoryOf(plugin, poolId(pool));
  world.makeDirectory(directory, 0o700);
  world.write(`${directory}/pool`, JSON.stringify(pool));
  return pool;
}

async function choose(world: World, ipv6: boolean, taken: readonly string[]): Promise<string> {
  const others = await takenSubnets(world);
  const seed = Array.from(
    crypto.getRandomValues(new Uint8Array(8)),
    (byte) => byte.toString(16).padStart(2, "0"),
  );
  return await freeSubnet(world, ipv6 ? 6 : 4, seed.join(""), [...others, ...taken]);
}

function rangeOf({ subnet, range }: Pool) {
  return { Subnet: subnet, ...(range === undefined ? {} : { IPRange: range }) };
}

/** Releases a pool with all its addresses. A missing pool is not an error. */
export function releasePool(plugin: DockerPlugin, id: string): void {
  const pool = findPool(plugin, id);
  if (pool) plugin.world.remove(directoryOf(plugin, id));
}

/** Finds a pool. The id is untrusted: only exact ids of our pools are found. */
function findPool(plugin: DockerPlugin, id: string): Pool | undefined {
  return pools(plugin).find((pool) => poolId(pool) === id);
}

/**
 * Takes the requested address, or the next free one.
 * @returns the address with the prefix length of its subnet
 * @throws Error in Docker's words
 */
export function requestAddress(plugin: DockerPlugin, id: string, wanted: string | undefined): string {
  const pool = findPool(plugin, id);
  if (!pool) throw new Error(`cannot find address pool for poolID:${id}`);
  const directory = directoryOf(plugin, id);
  const whole = (address: string) => `${address}/${lengthOf(pool.subnet)}`;
  if (wanted === undefined) return whole(nextFree(plugin.world, directory, pool));
  if (!contains(pool.subnet, wanted)) throw new Error(`requested address is out of range: ${wanted}`);
  if (!plugin.world.create(`${directory}/${wanted}`, "")) {
    throw new Error(`Address already in use: ${wanted}`);
  }
  return whole(wanted);
}

/**
 * The next free address. The search continues after the last one, so a released address is reused last, and the first
 * try usually succeeds.
 */
function nextFree(world: World, directory: string, pool: Pool): string {
  const [range] = localRanges(rangeOf(pool));
  const [start, end] = [toNumber(range!.rangeStart), toNumber(range!.rangeEnd)];
  const family = pool.subnet.includes(":") ? 6 : 4;
  const last = world.read(`${directory}/last`);
  const before = last === undefined ? start - 1n : toNumber(last);
  const taken = BigInt(world.list(directory).length);
  for (let tries = 0n, at = before + 1n; tries <= taken; tries++, at++) {
    if (at > end || at < start) at = start;
    const address = fromNumber(at, family);
    if (!world.create(`${directory}/${address}`, "")) continue;
    world.write(`${directory}/last`, address);
    return address;
  }
  throw new Error("no available addresses on this pool");
}

/** Releases an address. A free address is not an error. */
export function releaseAddress(plugin: DockerPlugin, id: string, address: string): void {
  if (findPool(plugin, id)) plugin.world.remove(`${directoryOf(plugin, id)}/${address}`);
}
