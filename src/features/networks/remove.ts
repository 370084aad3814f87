import { readRows } from "../../plan/ip_json.ts";
import { ownAlias } from "../../plan/ip.ts";
import { removeAbandoned } from "../../plan/files.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import type { Collected } from "../../engine/collected.ts";
import { linkExists } from "../../engine/links.ts";
import { forgetBridge } from "../../engine/shared_elements.ts";
import { isRoot } from "../../engine/user.ts";
import { allNetworks, findNetwork, type Network } from "./catalog.ts";
import { lockNetworks, networksLock, own } from "./locks.ts";
import { giveUpBegun, removeFromPlugins } from "./plugin_networks.ts";
import { endpointsIn, type NetworkEndpoint } from "./endpoints.ts";

/**
 * Does something while no container is being attached, and no network made or removed.
 * @throws Error when containers are being attached all the time
 */
export async function whileNoneAttaches<T>(world: World, state: string, act: () => Promise<T>): Promise<T> {
  const unlock = await lockNetworks(world, state);
  try {
    const release = await own(world, state);
    return await act().finally(release);
  } finally {
    unlock();
  }
}

/**
 * Removes a network that no container is on: its bridge, what is kept of its addresses, and its file.
 * @param isForced also if a plugin that has made it does not answer
 * @returns its name
 * @throws Error in Docker's words when it cannot be removed
 */
export async function removeNetwork(
  world: World,
  state: string,
  term: string,
  isForced = false,
): Promise<string> {
  const { name, tell } = await whileNoneAttaches(world, state, async () => {
    const network = await findUnused(world, state, term);
    return { name: network.name, tell: await removeLocked(world, state, network) };
  });
  await tell?.(isForced);
  return name;
}

/** A network that can be removed. @throws Error in Docker's words for another one */
export async function findUnused(world: World, state: string, term: string): Promise<Network> {
  const networks = await allNetworks(world, [], term);
  const network = findNetwork(networks, term);
  refusePredefined(network);
  refuseReferenced(network, networks);
  refuseUsed(network, await endpointsIn(world, state));
  return network;
}

/** @throws Error for one that is always there */
function refusePredefined({ name, predefined }: Network): void {
  if (predefined) throw new Error(`${name} is a pre-defined network and cannot be removed`);
}

function refuseReferenced({ name, configOnly }: Network, networks: readonly Network[]): void {
  if (configOnly && networks.some(({ configFrom }) => configFrom === name)) {
    throw new Error(`configuration network "${name}" is in use`);
  }
}

function refuseUsed({ name }: Network, endpoints: readonly NetworkEndpoint[]): void {
  const own = endpoints.filter(({ network }) => network === name);
  if (own.length === 0) return;
  const shown = own.map(({ container, endpointId }) => `name:"${container}" id:"${endpointId.slice(0, 12)}"`);
  const [first] = own;
  throw new Error(
    `network ${name} has active endpoints (${shown.join(", ")}); ` +
      `ocinet network disconnect -f ${name} ${first!.container} takes one off`,
  );
}

/**
 * Removes the networks that no container is on.
 * @param isWanted says which of them may go
 * @returns their names
 */
export async function pruneNetworks(
  world: World,
  state: string,
  isWanted: (network: Network) => boolean,
): Promise<readonly string[]> {
  const gone = await whileNoneAttaches(world, state, async () => {
    const endpoints = await endpointsIn(world, state);
    const isUsed = ({ name }: Network) => endpoints.some(({ network }) => network === name);
    const going = (await allNetworks(world)).filter((one) =>
      !one.predefined && !one.configOnly && !isUsed(one) && isWanted(one)
    );
    const removed: { readonly name: string; readonly tell: Tell }[] = [];
    for (const network of going) {
      removed.push({ name: network.name, tell: await removeLocked(world, state, network) });
    }
    return removed;
  });
  for (const { tell } of gone) await tell?.(false);
  return gone.map(({ name }) => name);
}

/** Tells plugins of Docker's, where the network is theirs. */
type Tell = ReturnType<typeof removeFromPlugins>;

/** The file goes last: until then it can be tried again. */
async function removeLocked(world: World, state: string, network: Network): Promise<Tell> {
  const tell = removeFromPlugins(world, state, network);
  const main = network.list?.plugins[0];
  const bridge = main?.type === "bridge" ? main["bridge"] ?? "cni0" : undefined;
  if (isRoot(world) && typeof bridge === "string") await removeBridge(world, bridge);
  const master = main?.["master"];
  if (isRoot(world) && main?.["makeMaster"] !== undefined && typeof master === "string") {
    await removeMaster(world, master, await allNetworks(world));
  }
  world.remove(`${state}/networks/${network.name}`);
  world.remove(network.path!);
  removeAbandoned(world, network.path!.slice(0, network.path!.lastIndexOf("/")));
  return tell;
}

/** A parent of macvlan or ipvlan that we have made, and that only this network has. */
async function removeMaster(world: World, master: string, networks: readonly Network[]): Promise<void> {
  if (networks.filter(({ list }) => list?.plugins[0]?.["master"] === master).length > 1) return;
  if (world.read(`/sys/class/net/${master}/ifalias`)?.trim() === ownAlias) await removeLink(world, master);
}

/**
 * Removes one that is ours, and has no ports. What containers shared of it goes from our table also where it is an
 * administrator's, for whom no network would hold it back any more, or has been removed by hand.
 */
export async function removeBridge(world: World, bridge: string): Promise<void> {
  const isOurs = world.read(`/sys/class/net/${bridge}/ifalias`)?.trim() === ownAlias;
  if (linkExists(world, bridge)) {
    const ports = await world.run(["ip", "-json", "link", "show", "master", bridge], { looks: true });
    const isInUse = (port: unknown) => isOurs || /^veth[0-9a-f]{11}$/.test(String(port));
    if (ports.code !== 0 || readRows(ports.stdout).some(({ ifname }) => isInUse(ifname))) return;
  }
  // Also a bridge that is gone already: no later command would take it out of the sets.
  await forgetBridge(world, bridge);
  if (isOurs) await removeLink(world, bridge);
}

async function removeLink(world: World, link: string): Promise<void> {
  const output = await world.run(["ip", "link", "del", "dev", link]);
  if (output.code !== 0 && !/Cannot find device/.test(output.stderr)) {
    throw new Error(`Cannot remove link ${link}: ${whyFailed(output)}`);
  }
}

/** Gives up networks whose making was cut short before plugins of Docker's had done their part. */
export async function collectBegunNetworks(world: World, state: string): Promise<Collected> {
  if (world.list(`${state}/plugin-networks`).length === 0) return { collected: [], problems: [] };
  const unlock = await world.tryLock(networksLock(state));
  if (!unlock) return { collected: [], problems: [] };
  try {
    return await giveUpBegun(world, state, await allNetworks(world));
  } finally {
    unlock();
  }
}
