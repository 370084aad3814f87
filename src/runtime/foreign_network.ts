import { CniError } from "../cni/error.ts";
import { fields } from "../cni/fields.ts";
import type { NetworkList, PluginConf } from "../cni/network_list.ts";
import type { Result } from "../cni/result.ts";
import { lengthOf } from "../net/address.ts";
import type { PortMapping } from "../net/port_mapping.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { table } from "../plugins/table.ts";
import { addNetwork, delNetwork } from "./cni_runtime.ts";
import { isThere } from "./container.ts";
import { isOurs, searchPlugin } from "./foreign.ts";
import type { Attached, Container } from "./journal.ts";
import type { RuntimeCall } from "./runtime_call.ts";
import { configDirectory } from "./state.ts";

/**
 * Where the plugins of networks are looked for: beside the networks and where rkt did (net_plugin.go), then where
 * distributions and other runtimes have them.
 */
export function pluginPath(world: World, netDirectories: readonly string[]): readonly string[] {
  return [
    ...[`${configDirectory(world)}/net.d`, ...netDirectories, "/usr/lib/rkt/plugins/net"],
    ...["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"],
  ];
}

/** Where a file outweighs a type of ours that has its name. */
function overridingPath(path: readonly string[]): readonly string[] {
  return path.slice(0, path.indexOf("/usr/lib/rkt/plugins/net") + 1);
}

/**
 * Whether a network cannot be planned whole, for one of its plugins has to be asked and is not ours.
 * @throws CniError for a type that is not ours and has no file
 */
export function isForeign(world: World, { plugins }: NetworkList, path: readonly string[]): boolean {
  const types = plugins.flatMap(typesOf);
  const missing = types.find((type) => !Object.hasOwn(table, type) && !searchPlugin(world, type, path));
  if (missing !== undefined) {
    throw new CniError(
      "invalidConfig",
      `Cannot use plugin type "${missing}": it is not one of ours (${Object.keys(table).join(", ")}), ` +
        `nor is it in ${path.join(", ")}`,
    );
  }
  return types.some((type) => !isOurs(world, type, overridingPath(path)));
}

function typesOf(plugin: PluginConf): readonly string[] {
  const ipam = table[plugin.type]?.role === "main"
    ? fields(plugin).object("ipam")?.string("type")
    : undefined;
  return [plugin.type, ...ipam === undefined ? [] : [ipam]];
}

/** Whether one of the network's plugins publishes ports itself. */
export function publishesPorts({ plugins }: NetworkList): boolean {
  return plugins.some((plugin) => fields(plugin).object("capabilities")?.boolean("portMappings") === true);
}

/** A container, by what a network's plugins are told of it. */
export interface Member {
  readonly id: string;
  readonly container: Container;
}

/**
 * Runs a network's plugins one by one, as a CNI runtime does.
 * @throws CniError naming the plugin that failed; then all of them have been called to undo it
 */
export async function addForeign(
  world: World,
  state: string,
  member: Member,
  attached: Attached,
): Promise<Result> {
  return await addNetwork(world, state, callOf(state, member, attached));
}

/** Takes back a foreign network's default routes where an earlier network has one: the first counts. */
export function yieldDefaults(
  { ifname }: Attached,
  { routes }: Result,
  earlier: readonly Result[],
): readonly Step[] {
  const taken = new Set(earlier.flatMap((result) => result.routes.map(({ dst }) => dst)));
  return routes.filter(({ dst }) => lengthOf(dst) === 0 && taken.has(dst)).map(({ dst }) => ({
    ...{ tool: "exec", on: "container", tolerant: true },
    run: ["ip", "route", "del", dst, "dev", ifname],
  }));
}

/** Takes the container off the network again; its namespace may be gone, and it may never have been on it. */
export async function delForeign(
  world: World,
  state: string,
  { id, container }: Member,
  attached: Attached,
): Promise<void> {
  const there = isThere(world, container);
  const member = { id, container: { ...container, netns: there ? container.netns : "" } };
  await delNetwork(world, state, callOf(state, member, attached));
}

function callOf(state: string, { id, container }: Member, attached: Attached): RuntimeCall {
  const { network, ifname, args, path = [], published = [] } = attached;
  return {
    list: network,
    config: JSON.stringify(network),
    ...{ containerId: id, ifname, netns: container.netns, args, path },
    overriding: overridingPath(path),
    capabilityArgs: published.length > 0 ? { portMappings: published.map(asCapability) } : {},
    cacheDirectory: state,
  };
}

/** A mapping in CNI's words (CONVENTIONS.md, "portMappings"); an address of all of a family's says which family. */
function asCapability({ protocol, hostIp, family, hostPort, port }: PortMapping): Record<string, unknown> {
  const all = family === 4 ? "0.0.0.0" : family === 6 ? "::" : undefined;
  const hostIP = hostIp ?? all;
  return { hostPort, containerPort: port, protocol, ...(hostIP === undefined ? {} : { hostIP }) };
}
