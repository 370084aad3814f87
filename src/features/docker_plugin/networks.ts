import { overlaps } from "../networks/ipam_options.ts";
import { gatewayModeKeys, mainPlugin } from "../networks/driver_options.ts";
import { driverOf } from "../networks/plugin_options.ts";
import { removeBridge } from "../networks/remove.ts";
import type { DockerNetwork } from "../../wire/cnm/network_driver.ts";
import type { DockerPlugin } from "./plugin.ts";

function fileOf({ data }: DockerPlugin, id: string): string {
  return `${data}/networks/${id}.json`;
}

/** The configuration of a network's main plugin. @throws Error for options that it does not support */
export function mainOf({ id, internal, options, subnets }: DockerNetwork): Readonly<Record<string, unknown>> {
  const driver = driverOf(options, gatewayModeKeys);
  if (driver === "ptp") {
    throw new Error("Cannot use option type ptp: Docker's networks are of type bridge, macvlan or ipvlan");
  }
  const main = mainPlugin({ id, driver, internal, options, subnets: subnets.map(({ subnet }) => subnet) });
  const led = subnets.some(({ gateway }) => gateway !== undefined);
  return driver === "bridge"
    ? { ...main, isGateway: led && main["isGateway"] === true, ipMasq: main["ipMasq"] === true && led }
    : main;
}

/** Stores a network. An equal one that is stored already is not an error. @throws Error if it cannot be used */
export function createNetwork(plugin: DockerPlugin, network: DockerNetwork): void {
  const { world, data } = plugin;
  const main = mainOf(network);
  const rival = networks(plugin).find((one) => one.id !== network.id && clashes(one, network, main));
  if (rival) {
    throw new Error(
      `Cannot create network ${network.id.slice(0, 12)}: network ${
        rival.id.slice(0, 12)
      } has its bridge or subnet; ` +
        `if Docker has no such network any more, remove ${fileOf(plugin, rival.id)}`,
    );
  }
  world.makeDirectory(`${data}/networks`, 0o700);
  world.write(fileOf(plugin, network.id), JSON.stringify(network));
}

function clashes(one: DockerNetwork, other: DockerNetwork, main: Readonly<Record<string, unknown>>): boolean {
  if (main["type"] !== "bridge") return false;
  const own = mainOf(one);
  return own["type"] === "bridge" && (own["bridge"] === main["bridge"] ||
    one.subnets.some((a) => other.subnets.some((b) => overlaps(a.subnet, b.subnet))));
}

/** The stored network with an id, if there is one. */
export function findNetwork(plugin: DockerPlugin, id: string): DockerNetwork | undefined {
  const text = plugin.world.read(fileOf(plugin, id));
  return text === undefined ? undefined : JSON.parse(text) as DockerNetwork;
}

/** The stored network with an id. @throws Error if there is none */
export function needNetwork(plugin: DockerPlugin, id: string): DockerNetwork {
  const network = findNetwork(plugin, id);
  if (network) return network;
  throw new Error(
    `Cannot find network ${id.slice(0, 12)}: it was not created here; remove it and create it again`,
  );
}

function networks(plugin: DockerPlugin): readonly DockerNetwork[] {
  return plugin.world.list(`${plugin.data}/networks`).filter((name) => /^[^.].*\.json$/.test(name))
    .flatMap((name) => findNetwork(plugin, name.slice(0, -".json".length)) ?? []);
}

/** Removes a stored network and its bridge. A missing network is not an error. */
export async function deleteNetwork(plugin: DockerPlugin, id: string): Promise<void> {
  const { world } = plugin;
  const network = findNetwork(plugin, id);
  if (!network) return;
  const bridge = mainOf(network)["bridge"];
  if (typeof bridge === "string") await removeBridge(world, bridge);
  world.remove(fileOf(plugin, id));
}
