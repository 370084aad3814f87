import { CniError, messageOf } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import type { NetworkList, PluginConf } from "../../wire/cni/network_list.ts";
import type { Result } from "../../wire/cni/result.ts";
import { lengthOf } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { contain } from "../../plan/nft/endpoint.ts";
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

/** The plugin directories of rkt (net_plugin.go), and those of distributions and other runtimes. */
const systemPath = ["/usr/lib/rkt/plugins/net", "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"] as const;

/** The directories to search for plugins: beside the network files, as in rkt, then the system's. */
export function pluginPath(directories: readonly NetDirectory[]): readonly string[] {
  return [...directories.map(({ path }) => path), ...systemPath];
}

/** The directories in which a file takes precedence over our type of that name: those beside the network files. */
function overridingPath(path: readonly string[]): readonly string[] {
  return path.slice(0, path.indexOf(systemPath[0]));
}

/** Whether one of a network's plugins is not ours. @throws CniError for a type that is not ours and has no file */
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

/** Checks only files that are listed, because usually there are none. */
function isOwnType(world: World, type: string, directories: readonly NetDirectory[]): boolean {
  return isOurs(world, type, directories.filter(({ names }) => names.includes(type)).map(({ path }) => path));
}

/**
 * The network, with our IPAM's data in the state directory like that of all networks. It is removed at reboot, as
 * records are.
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

/** Whether a plugin of the network that is not ours publishes ports, or a plugin of Docker's. */
export function publishesPorts(
  world: World,
  { plugins }: NetworkList,
  directories: readonly NetDirectory[],
): boolean {
  return plugins.some((plugin) =>
    fields(plugin).object("capabilities")?.boolean("portMappings") === true &&
    (plugin.type === "docker-network" || !isOwnType(world, plugin.type, directories))
  );
}

/**
 * The remaining steps for a network after its plugins have run. The first network's default routes stay. Links that we
 * made are closed to other networks, as on all our networks.
 * @param earlier the results of the networks before it
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

/** Removes default routes if an earlier network has one. */
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
 * Detaches the container from the network. Its namespace may be gone, and it may never have been attached.
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

/** A call as a CNI runtime for one network of a container. */
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

/**
 * A mapping in CNI's format (CONVENTIONS.md, "portMappings"). For all addresses of one family, the host address names
 * the family.
 */
export function asCapability(
  { protocol, hostIp, family, hostPort, port }: PortMapping,
): Record<string, unknown> {
  const all = family === 4 ? "0.0.0.0" : family === 6 ? "::" : undefined;
  const hostIP = hostIp ?? all;
  return { hostPort, containerPort: port, protocol, ...(hostIP === undefined ? {} : { hostIP }) };
}
