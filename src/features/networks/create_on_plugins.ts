import type { Family } from "../../net/address.ts";
import type { World } from "../../plan/world.ts";
import { RollbackError } from "../../engine/step_error.ts";
import { messageOf } from "../../wire/cni/error.ts";
import type { Network } from "./catalog.ts";
import {
  checkFamilies,
  completeIpam,
  type IpamWanted,
  missingOf,
  refuseOverlaps,
  subnetsOf,
} from "./complete_ipam.ts";
import { drivers } from "./driver_options.ts";
import { type IpamConfig, localRanges } from "./ipam_options.ts";
import { type NetworkOptions, ownIpam, routesOf } from "./network_options.ts";
import {
  activateDriver,
  createOnPlugin,
  giveUp,
  giveUpBegun,
  isPlugin,
  keep,
  type Making,
  noPlugin,
} from "./plugin_networks.ts";
import { requestPools } from "./plugin_pools.ts";

/** Which of a network's drivers are plugins of Docker's. */
export interface Remote {
  readonly driver: boolean;
  readonly ipam: boolean;
  /** The families for which the driver wants no gateway. */
  readonly skips: readonly Family[];
}

/** Finds out which drivers are plugins. @throws Error for one that no plugin has, or that does not answer */
export async function remoteOf(world: World, options: NetworkOptions): Promise<Remote> {
  const { driver, ipamDriver } = options;
  const isKnown = [...drivers, "host", "none", "null"].includes(driver);
  const [remote, ipam] = [
    !isKnown && isPlugin(world, driver),
    !ownIpam.includes(ipamDriver) && isPlugin(world, ipamDriver),
  ];
  if (!ipam) checkIpamDriver(ipamDriver, remote);
  return {
    driver: remote,
    ipam,
    skips: remote ? await activateDriver(world, { plugin: driver, ...options }) : [],
  };
}

/** The main plugin of a network whose driver is a plugin of Docker's. */
export function mainOnPlugin(
  id: string,
  { driver, internal }: NetworkOptions,
): Readonly<Record<string, unknown>> {
  const capabilities = { portMappings: true };
  return { type: "docker-network", plugin: driver, id, ...(internal ? { internal } : {}), capabilities };
}

/** A network that plugins take part in. */
export interface OnPlugins {
  readonly networks: readonly Network[];
  readonly wanted: IpamWanted;
  readonly options: NetworkOptions;
  readonly remote: Remote;
}

/** Has plugins make what is theirs of a network, and writes its file; or nothing of it stays. */
export async function makeOnPlugins(
  making: Making,
  { networks, wanted, options, remote }: OnPlugins,
  write: (ipam: readonly IpamConfig[], conf: unknown) => void,
): Promise<void> {
  // What a killed process had begun may have the subnet that is wanted.
  await giveUpBegun(making.world, making.state, networks);
  try {
    const { ipam, conf, space } = await poolsFor(making, { networks, wanted, options, remote });
    const ipv6 = ipam.some(({ Subnet }) => Subnet.includes(":"));
    const of = { plugin: options.driver, options: options.options, internal: options.internal, ipv6 };
    if (remote.driver) await createOnPlugin(making, of, ipam, space);
    // The null IPAM driver's pools are no subnets.
    write(options.ipamDriver === "null" ? [] : ipam, conf);
    keep(making);
  } catch (error) {
    await giveUp(making).catch((problem) => {
      throw new RollbackError(error, [messageOf(problem)]);
    });
    throw error;
  }
}

async function poolsFor(
  making: Making,
  { networks, wanted, options, remote }: OnPlugins,
): Promise<{ readonly ipam: readonly IpamConfig[]; readonly conf: unknown; readonly space: string }> {
  const { ipamDriver, ipamOptions, ipv6 } = options;
  if (ipamDriver === "null") {
    if (wanted.given.length > 0) {
      throw new Error("Cannot use --subnet with --ipam-driver null: it has no subnets");
    }
    const pools = ["0.0.0.0/0", ...(ipv6 ? ["::/0"] : [])];
    return { ipam: pools.map((Subnet) => ({ Subnet })), conf: undefined, space: "null" };
  }
  if (!remote.ipam) {
    const skipped = ({ Subnet }: IpamConfig) =>
      remote.skips.includes(Subnet.includes(":") ? 6 : 4) &&
      !wanted.given.some((given) => given.Subnet === Subnet && given.Gateway !== undefined);
    const ipam = (await completeIpam(making.world, networks, wanted)).map((config) => {
      const { Gateway: _, ...rest } = config;
      return skipped(config) ? rest : config;
    });
    return { ipam, conf: { type: "host-local", ranges: ipam.map(localRanges) }, space: "LocalDefault" };
  }
  const others = subnetsOf(networks);
  refuseOverlaps(wanted, others);
  if (!remote.driver) checkFamilies(wanted.driver, wanted.given);
  const taken = others.map(({ Subnet }) => Subnet);
  const pools = await requestPools(making, {
    ...{ plugin: ipamDriver, options: ipamOptions, given: wanted.given, missing: missingOf(wanted), taken },
    skips: remote.skips,
  });
  if (remote.driver) return pools;
  return { ...pools, conf: { ...pools.conf, routes: routesOf(pools.ipam, wanted.driver, options) } };
}

/** Without IPAM a plugin has to give addresses itself. */
function checkIpamDriver(driver: string, isOnPlugin: boolean): void {
  if (ownIpam.includes(driver) || driver === "null" && isOnPlugin) return;
  throw new Error(
    `could not find an IPAM driver ${JSON.stringify(driver)}; there are: ${ownIpam.join(", ")}, ` +
      `and null for a driver that is a plugin; ${noPlugin}`,
  );
}
