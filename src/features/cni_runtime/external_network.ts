import { CniError, messageOf } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import type { NetworkList, PluginConf } from "../../wire/cni/network_list.ts";
import type { Result } from "../../wire/cni/result.ts";
import { lengthOf } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { contain } from "../../plan/nft.ts";
import { exec, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { endpointOf } from "../../drivers/main/endpoint.ts";
import { table } from "../../drivers/table.ts";
import { delNetwork } from "./runtime.ts";
import { hasBootEnded, isThere } from "../../engine/namespace.ts";
import { isOurs, searchPlugin, typesOf } from "../../engine/external_plugin.ts";
import type { Attached, ContainerRecord } from "../../engine/record.ts";
import type { NetDirectory } from "../networks/networks.ts";
import { runsHere, type RuntimeCall } from "./call.ts";

/** Where rkt had plugins (net_plugin.go), and where distributions and other runtimes have them. */
const systemPath = ["/usr/lib/rkt/plugins/net", "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"] as const;

/** Where the plugins of networks are looked for: beside the networks, as rkt did, then where systems have them. */
export function pluginPath(directories: readonly NetDirectory[]): readonly string[] {
  return [...directories.map(({ path }) => path), ...systemPath];
}

/** Where a file outweighs a type of ours that has its name: beside the networks. */
function overridingPath(path: readonly string[]): readonly string[] {
  return path.slice(0, path.indexOf(systemPath[0]));
}

/**
 * Whether one of a network's plugins is not ours.
 * @throws CniError for a type that is not ours and has no file
 */
export function hasExternal(
  world: World,
  { plugins }: NetworkList,
  directories: readonly NetDirectory[],
): boolean {
  const [types, path] = [plugins.flatMap(typesOf), pluginPath(directories)];
  const missing = types.find((type) => !Object.hasOwn(table, type) && !searchPlugin(world, type, path));
  if (missing !== undefined) {
    throw new CniError(
      "invalidConfig",
      `Cannot use plugin type "${missing}": it is not one of ours (${Object.keys(table).join(", ")}), ` +
        `nor is it in ${path.join(", ")}`,
    );
  }
  return types.some((type) => !isOwnType(world, type, directories));
}

/** Looks only at files that are listed: usually there is none to look at. */
function isOwnType(world: World, type: string, directories: readonly NetDirectory[]): boolean {
  return isOurs(world, type, directories.filter(({ names }) => names.includes(type)).map(({ path }) => path));
}

/**
 * The network with the addresses that are ours to give kept where those of all networks are: what is written down of
 * them does not outlive a reboot either.
 */
export function keepingLeases(
  world: World,
  network: NetworkList,
  { directories, dataDir }: { readonly directories: readonly NetDirectory[]; readonly dataDir: string },
): NetworkList {
  const isOwn = (plugin: PluginConf) =>
    table[plugin.type]?.role === "main" &&
    typesOf(plugin).every((type) => isOwnType(world, type, directories));
  const keep = (plugin: PluginConf) => {
    const key = Object.keys(plugin).find((key) => key.toLowerCase() === "ipam");
    return key === undefined ? plugin : { ...plugin, [key]: { dataDir, ...plugin[key] as object } };
  };
  return { ...network, plugins: network.plugins.map((plugin) => isOwn(plugin) ? keep(plugin) : plugin) };
}

/** Whether somebody else's plugin of the network publishes ports. */
export function publishesPorts(
  world: World,
  { plugins }: NetworkList,
  directories: readonly NetDirectory[],
): boolean {
  return plugins.some((plugin) =>
    fields(plugin).object("capabilities")?.boolean("portMappings") === true &&
    !isOwnType(world, plugin.type, directories)
  );
}

/**
 * What remains to be done for a network whose plugins have been run: of default routes the first network's stays, and
 * what is ours to make is closed to other networks, as on all that we make.
 * @param earlier of the networks before it
 */
export function externalSteps(
  world: World,
  { attached, at }: { readonly attached: Attached; readonly at: Attachment },
  result: Result,
  earlier: readonly Result[],
): readonly Step[] {
  const { network, path = [] } = attached;
  const own = runsHere(world, { path, overriding: overridingPath(path) }, network.plugins[0]!);
  const endpoint = own ? endpointOf(at, result) : undefined;
  return [
    ...dropLaterDefaults(attached, result, earlier),
    ...(endpoint ? contain(endpoint, result.ips) : []),
  ];
}

/** Takes back default routes where an earlier network has one. */
export function dropLaterDefaults(
  { ifname }: Attached,
  { routes }: Result,
  earlier: readonly Result[],
): readonly Step[] {
  const taken = earlier.flatMap(({ routes }) => routes.filter(({ table }) => table === undefined));
  return routes.filter(({ dst }) => lengthOf(dst) === 0 && taken.some((other) => other.dst === dst))
    .map(({ dst }) =>
      exec("container", `yield the default route ${dst}`, {
        ...{ onError: "ignore", removes: true, id: { kind: "route", dst, dev: ifname, attributes: [] } },
        run: ["ip", "route", "del", dst, "dev", ifname],
      })
    );
}

/**
 * Takes the container off the network again; its namespace may be gone, and it may never have been on it.
 * @throws Error naming the plugin that failed, after all of them have been called
 */
export async function delExternal(
  world: World,
  state: string,
  record: ContainerRecord,
  attached: Attached,
): Promise<void> {
  const { id, container } = record;
  const there = !hasBootEnded(world, record) && isThere(world, container);
  try {
    await delNetwork(world, state, callOf(state, { id, netns: there ? container.netns : "" }, attached));
  } catch (error) {
    throw new Error(
      `Cannot take container "${id}" off network "${attached.network.name}": ${messageOf(error)}`,
    );
  }
}

/** The call of a CNI runtime for one network of a container. */
export function callOf(
  state: string,
  { id, netns }: { id: string; netns: string },
  attached: Attached,
): RuntimeCall {
  const { network, ifname, args, path = [], published = [] } = attached;
  return {
    list: network,
    config: JSON.stringify(network),
    ...{ containerId: id, ifname, netns, args, path, overriding: overridingPath(path) },
    capabilityArgs: published.length > 0 ? { portMappings: published.map(asCapability) } : {},
    cacheDirectory: state,
  };
}

/** A mapping in CNI's words (CONVENTIONS.md, "portMappings"); an address of all of a family's says which family. */
export function asCapability(
  { protocol, hostIp, family, hostPort, port }: PortMapping,
): Record<string, unknown> {
  const all = family === 4 ? "0.0.0.0" : family === 6 ? "::" : undefined;
  const hostIP = hostIp ?? all;
  return { hostPort, containerPort: port, protocol, ...(hostIP === undefined ? {} : { hostIP }) };
}
