/** Configurations that networks are made of (`--config-only`, `--config-from`), in Docker's words. */
import type { World } from "../../plan/world.ts";
import { allNetworks, type Network } from "./catalog.ts";
import { type NetworkOptions, ownIpam } from "./network_options.ts";

/** @throws Error for what only a network has, not a configuration */
export function refuseInConfiguration({ internal, attachable, configFrom }: NetworkOptions): void {
  if (configFrom !== undefined) {
    throw new Error("a configuration network cannot depend on another configuration network");
  }
  if (internal || attachable) {
    throw new Error(
      "configuration network can only contain network specific fields. " +
        "Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
    );
  }
}

/** The configuration of a name. @throws Error if there is none */
export function findConfiguration(networks: readonly Network[], name: string): Network {
  const found = networks.find((network) => network.configOnly && network.name === name);
  if (found) return found;
  throw new Error(`configuration network "${name}" does not exist`);
}

/**
 * The options of a network, with those of the configuration that it is made of.
 * @throws Error if it has some itself
 */
export async function withConfiguration(world: World, options: NetworkOptions): Promise<NetworkOptions> {
  const { configFrom } = options;
  if (configFrom === undefined) return options;
  refuseOwn(options);
  const { ipam, ipv6, labels, options: own, ...rest } = findConfiguration(
    await allNetworks(world, [], configFrom),
    configFrom,
  );
  return {
    ...{ ...options, ipv6, labels, options: own },
    ...{ ipamDriver: rest.ipamDriver ?? "default", ipamOptions: rest.ipamOptions ?? {} },
    subnets: ipam.map(({ Subnet }) => Subnet),
    ranges: ipam.flatMap(({ IPRange }) => IPRange ?? []),
    gateways: ipam.flatMap(({ Gateway }) => Gateway ?? []),
    auxiliary: ipam.flatMap(({ AuxiliaryAddresses = {} }) =>
      Object.entries(AuxiliaryAddresses).map(([key, address]) => `${key}=${address}`)
    ),
  };
}

function refuseOwn(given: NetworkOptions): void {
  const { ipv6, ipamDriver, ipamOptions, labels, subnets, ranges, gateways, auxiliary, options } = given;
  const own = [subnets, ranges, gateways, auxiliary, Object.keys(labels), Object.keys(ipamOptions)];
  if (ipv6 || !ownIpam.includes(ipamDriver) || own.some((list) => list.length > 0)) {
    throw new Error(
      "user specified configurations are not supported if the network depends on a configuration network",
    );
  }
  if (Object.keys(options).length > 0) {
    throw new Error(
      "network driver options are not supported if the network depends on a configuration network",
    );
  }
}
