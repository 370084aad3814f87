import type { Command } from "../../wire/cni/environment.ts";
import { CniError } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import type { NetworkList, PluginConf } from "../../wire/cni/network_list.ts";
import { type Result, resultFor } from "../../wire/cni/result.ts";
import type { World } from "../../plan/world.ts";
import { callExternal, isOurs } from "../../engine/external_plugin.ts";
import { macSetBy } from "../../drivers/meta/tuning.ts";
import { table } from "../../drivers/table.ts";
import { asCniError, asksThroughLink, type Context, contextOf } from "../cni_plugin/call.ts";

/** One container's interface on a network, as a CNI runtime is told of it. */
export interface RuntimeCall {
  readonly list: NetworkList;
  /** The text of the network's file, for the cache. */
  readonly config: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  /** CNI_ARGS as written. */
  readonly args: string;
  readonly capabilityArgs: Readonly<Record<string, unknown>>;
  readonly path: readonly string[];
  /** Where a file outweighs a type of ours; the whole path, unless told. */
  readonly overriding?: readonly string[];
  /** The container as it is recorded, and how to run programs on either side, if not by `netns`. */
  readonly entered?: Context["entered"];
  /** Where libcni keeps its cache. */
  readonly cacheDirectory: string;
}

/** What a plugin gets on its standard input. */
export function requestOf(
  { list, capabilityArgs }: Pick<RuntimeCall, "list" | "capabilityArgs">,
  plugin: PluginConf,
  before: Result | undefined,
): Record<string, unknown> {
  const enabled = fields(plugin).object("capabilities");
  const wanted = Object.entries(capabilityArgs).filter(([name]) => enabled?.boolean(name) === true);
  return {
    ...plugin,
    ...{ name: list.name, cniVersion: list.cniVersion },
    ...(before === undefined ? {} : { prevResult: resultFor(list.cniVersion, before) }),
    ...(wanted.length > 0 ? { runtimeConfig: Object.fromEntries(wanted) } : {}),
  };
}

/** One plugin of the chain, and what it is to do. */
export interface PluginStep {
  readonly plugin: PluginConf;
  readonly command: Command;
  /** The result of the plugins before it, or for DEL and CHECK of all. */
  readonly before?: Result;
}

/** Whether one of the chain's plugins runs in this process. */
export function runsHere(
  world: World,
  { path, overriding = path }: Pick<RuntimeCall, "path" | "overriding">,
  { type }: PluginConf,
): boolean {
  return isOurs(world, type, overriding);
}

/** A call of one of our plugins, in this process. */
export async function ownContext(
  world: World,
  state: string,
  call: RuntimeCall,
  { plugin, command, before }: PluginStep,
): Promise<Context> {
  const { containerId, netns, ifname, args, path, overriding, list, entered } = call;
  const context = await contextOf(world, state, {
    type: plugin.type,
    command,
    environment: { command, containerId, netns, ifname, args, path, netnsOverride: false },
    request: requestOf(call, plugin, before),
    network: list.name,
    version: list.cniVersion,
    ...(overriding ? { overriding } : {}),
  });
  const mac = command === "ADD" ? laterMac(call, plugin, context) : undefined;
  return { ...context, ...(entered ? { entered } : {}), ...(mac === undefined ? {} : { laterMac: mac }) };
}

/** What a server is asked through the link from is the MAC address that it leases to (podman#1136). */
function laterMac(call: RuntimeCall, plugin: PluginConf, context: Context): string | undefined {
  if (table[plugin.type]?.role !== "main" || !asksThroughLink(context)) return undefined;
  const later = call.list.plugins.slice(call.list.plugins.indexOf(plugin) + 1);
  const tuning = later.find(({ type }) => type === "tuning");
  return tuning && macSetBy(fields(requestOf(call, tuning, undefined)), context.at);
}

/** Executes a plugin that is not ours. @returns what it printed, parsed */
export async function callTheirs(
  world: World,
  call: RuntimeCall,
  { plugin, command, before }: PluginStep,
): Promise<unknown> {
  const { containerId, netns, ifname, args, path } = call;
  const env = { CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifname, CNI_ARGS: args };
  return await callExternal(world, {
    ...{ type: plugin.type, command, env, path },
    request: requestOf(call, plugin, before),
  });
}

/** An error in libcni's words; a plugin's object may have a name of its own. */
export function blame(error: unknown, plugin: PluginConf, verb: string): CniError {
  const { code, message, details } = asCniError(error);
  const name = fields(plugin).string("name");
  const which = `type=${JSON.stringify(plugin.type)}` + (name ? ` name=${JSON.stringify(name)}` : "");
  return new CniError(code, `plugin ${which} failed (${verb}): ${message}`, details);
}
