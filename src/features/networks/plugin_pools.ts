/** Pools of addresses of a network of Docker's plugins. */
import { reconcile } from "../../engine/reconcile.ts";
import { addressOf, type Family } from "../../net/address.ts";
import { activatePlugin, askPlugin } from "../../plan/docker_plugins.ts";
import { fields } from "../../wire/cni/fields.ts";
import { parseLeased, parsePool } from "../../wire/cnm/client.ts";
import { reachedBy } from "./free_subnet.ts";
import { type IpamConfig, overlaps } from "./ipam_options.ts";
import { type Json, type Making, recordOf, remember } from "./plugin_networks.ts";

/** What an IPAM plugin is asked for. */
export interface PoolsWanted {
  readonly plugin: string;
  readonly options: Readonly<Record<string, string>>;
  readonly given: readonly IpamConfig[];
  /** The families for which the plugin chooses a subnet. */
  readonly missing: readonly Family[];
  /** Subnets of other networks. */
  readonly taken: readonly string[];
  /** The families for which the network's driver wants no gateway. */
  readonly skips: readonly Family[];
}

/** The subnets of a network, and its `ipam` object. */
export interface Pools {
  readonly ipam: readonly IpamConfig[];
  readonly conf: Json;
  readonly space: string;
}

/** Asks an IPAM plugin for subnets, gateways and auxiliary addresses. */
export async function requestPools(making: Making, wanted: PoolsWanted): Promise<Pools> {
  const { world } = making;
  const { plugin, given, missing } = wanted;
  await activatePlugin(world, plugin, "IpamDriver");
  // A driver without this method has none of the capabilities, as in Docker.
  const able = await askPlugin(world, plugin, "IpamDriver.GetCapabilities").catch(() => fields({}));
  const spaces = await askPlugin(world, plugin, "IpamDriver.GetDefaultAddressSpaces");
  const space = spaces.string("LocalDefaultAddressSpace") ?? "";
  const all = [
    ...given.map((config) => ({ config, of: (config.Subnet.includes(":") ? 6 : 4) as Family })),
    ...missing.map((of) => ({ config: undefined, of })),
  ].sort((a, b) => a.of - b.of);
  const pools: (Json & { readonly config: IpamConfig })[] = [];
  for (const { config, of } of all) pools.push(await requestPool(making, wanted, { config, of, space }));
  return {
    space,
    ipam: pools.map(({ config }) => config),
    conf: {
      ...{ type: "docker-ipam", plugin },
      ...(able.boolean("RequiresMACAddress") === true ? { needsMac: true } : {}),
      pools: pools.map(({ config: _, ...pool }) => pool),
    },
  };
}

interface PoolWanted {
  readonly config: IpamConfig | undefined;
  readonly of: Family;
  readonly space: string;
}

/** How many pools of a plugin may be refused because the host, or another network, has their addresses. */
const mostPools = 64;

async function requestPool(making: Making, wanted: PoolsWanted, { config, of, space }: PoolWanted) {
  const { plugin, options, skips } = wanted;
  const pool = await findPool(making, wanted, {
    ...{ AddressSpace: space, Pool: config?.Subnet ?? "", SubPool: config?.IPRange ?? "" },
    ...{ Options: options, V6: of === 6 },
  });
  const ask = async (address: string, more: Json) => {
    const body = { PoolID: pool.id, Address: address, Options: more };
    const answer = await askPlugin(making.world, plugin, "IpamDriver.RequestAddress", body);
    const leased = addressOf(parseLeased(answer, pool.subnet));
    remember(making, plugin, releaseOf(pool.id, leased));
    return leased;
  };
  const isSkipped = skips.includes(of) && config?.Gateway === undefined;
  const asked = isSkipped || pool.gateway !== undefined
    ? undefined
    : await ask(config?.Gateway ?? "", { RequestAddressType: "com.docker.network.gateway" });
  const gateway = asked ?? (isSkipped ? undefined : pool.gateway);
  const aux = Object.entries(config?.AuxiliaryAddresses ?? {});
  const held = [...(asked === undefined ? [] : [asked])];
  for (const [, address] of aux) held.push(await ask(address, {}));
  return {
    ...{ id: pool.id, subnet: pool.subnet, held, ...(gateway === undefined ? {} : { gateway }) },
    config: {
      Subnet: pool.subnet,
      ...(config?.IPRange === undefined ? {} : { IPRange: config.IPRange }),
      ...(gateway === undefined ? {} : { Gateway: gateway }),
      ...(aux.length === 0 ? {} : { AuxiliaryAddresses: Object.fromEntries(aux) }),
    },
  };
}

/** What gives an address back to a pool, as it is recorded. */
export function releaseOf(pool: string, address: string): string {
  return `IpamDriver.ReleaseAddress ${JSON.stringify({ PoolID: pool, Address: address })}`;
}

/** Those that do not suit are given back only at the end: the plugin would give them again. */
async function findPool(making: Making, { plugin, taken }: PoolsWanted, body: Json) {
  const refused: string[] = [];
  try {
    for (let tries = 0; tries < mostPools; tries++) {
      const pool = parsePool(await askPlugin(making.world, plugin, "IpamDriver.RequestPool", body));
      remember(making, plugin, `IpamDriver.ReleasePool ${JSON.stringify({ PoolID: pool.id })}`);
      const isFree = !taken.some((other) => overlaps(other, pool.subnet));
      if (body["Pool"] !== "" || isFree && await reachedBy(making.world, pool.subnet) === undefined) {
        return pool;
      }
      refused.push(pool.id);
    }
    throw new Error(
      `all predefined address pools have been fully subnetted: plugin "${plugin}" gave ${mostPools} subnets, ` +
        "and the host reaches addresses of each; give the network one with --subnet",
    );
  } finally {
    for (const PoolID of refused) await release(making, plugin, PoolID);
  }
}

async function release(making: Making, plugin: string, PoolID: string): Promise<void> {
  const undo = `IpamDriver.ReleasePool ${JSON.stringify({ PoolID })}`;
  const from = recordOf(making);
  const steps = from.steps.filter((step) =>
    step.tool !== "call" || step.plugin !== plugin || step.undo !== undo
  );
  await reconcile(making, [{ from, to: { ...from, steps } }]);
}
