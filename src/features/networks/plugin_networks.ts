/** Networks of Docker's plugins: made and removed in the order of calls that libnetwork has. */
import type { Collected, Stale } from "../../engine/collected.ts";
import { reconcile } from "../../engine/reconcile.ts";
import {
  networkPart,
  newRecord,
  type PluginRecord,
  readPlugin,
  removeRecord,
  writeRecord,
} from "../../engine/record.ts";
import { type Family, lengthOf } from "../../net/address.ts";
import { identifierProblem } from "../../net/names.ts";
import {
  activatePlugin,
  askPlugin,
  findPlugin,
  isUnreachable,
  pluginPlaces,
} from "../../plan/docker_plugins.ts";
import { call, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import type { PoolData } from "../../wire/cnm/client.ts";
import type { Network } from "./catalog.ts";
import type { IpamConfig } from "./ipam_options.ts";
import { unreadNetworks } from "./mistakes.ts";
import { releaseOf } from "./plugin_pools.ts";

export type Json = Readonly<Record<string, unknown>>;

/** Whether Docker's discovery finds a plugin of that name. */
export function isPlugin(world: World, name: string): boolean {
  return identifierProblem(name) === undefined && findPlugin(world, name) !== undefined;
}

/** What an error says of a name that no driver has. */
export const noPlugin = `and no plugin of Docker's has that name in ${pluginPlaces}`;

/** A network that is being made. Its steps tell the plugins that it is given up. */
export interface Making {
  readonly world: World;
  readonly state: string;
  readonly id: string;
}

export function recordOf({ world, state, id }: Making): PluginRecord {
  const key = { id, network: "", ifname: "", part: networkPart };
  return readPlugin(world, state, key) ?? newRecord<PluginRecord>(world, {
    ...{ ...key, container: { netns: "", identity: "" }, steps: [], request: { type: networkPart } },
  });
}

/** Records what gives back what a plugin was asked for. */
export function remember(making: Making, plugin: string, undo: string): void {
  const record = recordOf(making);
  const step = call(plugin, `network ${making.id} ${record.steps.length}`, { undo });
  writeRecord(making.world, making.state, { ...record, steps: [...record.steps, step] });
}

/** The network's file is there: it has what was asked for. */
export function keep({ world, state, id }: Making): void {
  removeRecord(world, state, { id, network: "", ifname: "", part: networkPart });
}

/** Gives back what plugins were asked for. @throws Error if one does not answer; `gc` tries again */
export async function giveUp(making: Making): Promise<void> {
  const from = recordOf(making);
  await reconcile(making, [{ from }]);
}

/**
 * Gives up networks whose making was cut short. No process may be making networks meanwhile.
 */
export async function giveUpBegun(
  world: World,
  state: string,
  networks: readonly Network[],
): Promise<Collected> {
  const [collected, problems]: [Stale[], string[]] = [[], []];
  const [unread] = unreadNetworks(world);
  for (const file of world.list(`${state}/plugin-networks`)) {
    const id = /^([0-9a-f]{64})\.json$/.exec(file)?.[1];
    if (id === undefined) continue;
    const making = { world, state, id };
    try {
      if (networks.some((network) => network.id === id)) keep(making);
      else if (unread !== undefined) {
        problems.push(`Cannot tell whether network ${id.slice(0, 12)} is there: ${unread}`);
      } else {
        await giveUp(making);
        collected.push({ id: `network ${id.slice(0, 12)}`, reason: "its making was cut short" });
      }
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  return { collected, problems };
}

/** A network, as its driver is told of it. */
export interface DriverWanted {
  readonly plugin: string;
  readonly options: Readonly<Record<string, string>>;
  readonly internal: boolean;
  readonly ipv6: boolean;
}

function optionsOf({ options, internal, ipv6 }: DriverWanted): Json {
  return {
    "com.docker.network.enable_ipv4": true,
    "com.docker.network.enable_ipv6": ipv6,
    ...(internal ? { "com.docker.network.internal": true } : {}),
    "com.docker.network.generic": options,
  };
}

/**
 * Makes sure of a network driver.
 * @returns the families for which it wants no gateway
 * @throws Error if it is none
 */
export async function activateDriver(world: World, wanted: DriverWanted): Promise<readonly Family[]> {
  const { plugin } = wanted;
  await activatePlugin(world, plugin, "NetworkDriver");
  const able = await askPlugin(world, plugin, "NetworkDriver.GetCapabilities");
  const scope = able.string("Scope");
  if (scope !== "local" && scope !== "global") {
    throw new Error(
      `Cannot use plugin "${plugin}": its scope is ${JSON.stringify(scope ?? "")}, not local or global`,
    );
  }
  if (able.boolean("GwAllocChecker") !== true) return [];
  const checked = await askPlugin(world, plugin, "NetworkDriver.GwAllocCheck", {
    Options: optionsOf(wanted),
  });
  return ([4, 6] as const).filter((of) => checked.boolean(`SkipIPv${of}`) === true);
}

/** Has a driver make a network. @param space the address space that the subnets are of */
export async function createOnPlugin(
  making: Making,
  wanted: DriverWanted,
  ipam: readonly IpamConfig[],
  space: string,
): Promise<void> {
  const { plugin } = wanted;
  const data = (six: boolean) =>
    ipam.filter(({ Subnet }) => Subnet.includes(":") === six).map((config) => poolData(config, space));
  const before = recordOf(making);
  remember(making, plugin, `NetworkDriver.DeleteNetwork ${JSON.stringify({ NetworkID: making.id })}`);
  try {
    await askPlugin(making.world, plugin, "NetworkDriver.CreateNetwork", {
      ...{ NetworkID: making.id, Options: optionsOf(wanted), IPv4Data: data(false), IPv6Data: data(true) },
    });
  } catch (error) {
    // What a driver refused it does not have.
    if (!isUnreachable(error)) writeRecord(making.world, making.state, before);
    throw error;
  }
}

function poolData({ Subnet, Gateway, AuxiliaryAddresses }: IpamConfig, space: string): PoolData {
  const long = (address: string) => `${address}/${lengthOf(Subnet)}`;
  const aux = Object.entries(AuxiliaryAddresses ?? {}).map(([name, address]) => [name, long(address)]);
  return {
    ...{ AddressSpace: space, Pool: Subnet },
    ...(Gateway === undefined ? {} : { Gateway: long(Gateway) }),
    ...(aux.length === 0 ? {} : { AuxAddresses: Object.fromEntries(aux) as Record<string, string> }),
  };
}

/** What gives back to plugins what they have of a network, which may be nothing: the driver's comes last, so it is undone first. */
function removalOf({ id, list }: Network): readonly Step[] {
  const main = list?.plugins[0];
  if (!main) return [];
  const conf = fields(main);
  const ipam = conf.object("ipam");
  const undo = (plugin: string, key: string, words: string) =>
    call(plugin, `network ${id} ${key}`, { undo: words });
  const owner = ipam?.string("plugin") ?? "";
  const pools = ipam?.string("type") === "docker-ipam" ? ipam.objects("pools") ?? [] : [];
  return [
    ...[...pools].reverse().flatMap((pool) => {
      const held = [...pool.strings("held") ?? []].reverse();
      const PoolID = pool.string("id") ?? "";
      return [
        undo(owner, `pool ${PoolID}`, `IpamDriver.ReleasePool ${JSON.stringify({ PoolID })}`),
        ...held.map((address) => undo(owner, `address ${address}`, releaseOf(PoolID, address))),
      ];
    }),
    ...(main.type === "docker-network"
      ? [
        undo(
          conf.string("plugin") ?? "",
          "driver",
          `NetworkDriver.DeleteNetwork ${JSON.stringify({ NetworkID: id })}`,
        ),
      ]
      : []),
  ];
}

/**
 * Records that plugins are to remove a network, whose file is about to go.
 * @returns what tells them, once no process is kept from attaching: one of them may have to attach something itself. It
 * throws an Error if one does not answer; unless it is forced, the network is there again then
 */
export function removeFromPlugins(
  world: World,
  state: string,
  network: Network,
): ((isForced: boolean) => Promise<void>) | undefined {
  const steps = removalOf(network);
  if (steps.length === 0) return undefined;
  const making = { world, state, id: network.id };
  const [path, text] = [network.path!, world.read(network.path!) ?? ""];
  writeRecord(world, state, { ...recordOf(making), steps });
  return async (isForced) => {
    try {
      await giveUp(making);
    } catch (error) {
      const problem = `Cannot remove network ${network.name} from a plugin: ${messageOf(error)}`;
      keep(making);
      if (isForced) return world.warn(problem);
      world.write(path, text);
      throw new Error(`${problem}; ocinet network rm -f ${network.name} removes it here all the same`);
    }
  };
}
