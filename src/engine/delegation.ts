import type { PluginCall } from "../wire/cni/environment.ts";
import { CniError, messageOf } from "../wire/cni/error.ts";
import { fields } from "../wire/cni/fields.ts";
import type { NetworkList, PluginConf } from "../wire/cni/network_list.ts";
import { type Claim, claim } from "../plan/step.ts";
import { readUndamagedFile } from "../plan/files.ts";
import type { World } from "../plan/world.ts";
import type { Delegating } from "../drivers/plugin.ts";
import { table } from "../drivers/table.ts";
import { isOurs } from "./external_plugin.ts";
import { readPlugin } from "./record.ts";

/** The result of redirecting a call to a delegate. */
export interface Delegation {
  /** The delegate is not one of our types. */
  readonly external: boolean;
  /**
   * The file that keeps the delegate's configuration from ADD to DEL. It has the reference's path and format, because
   * the reference may be called next.
   */
  readonly kept?: Claim;
  /** There is no trace of an ADD. */
  readonly unknown?: boolean;
}

/** A call, redirected to the delegate if its type delegates. */
export interface Delegated {
  readonly call: PluginCall;
  readonly delegation?: Delegation;
}

/**
 * Redirects a call of a delegating type to its delegate. Other calls are unchanged.
 * @throws CniError for an invalid configuration, and with code 50 for a STATUS if an ADD could not make the delegate's
 * configuration
 */
export function delegated(world: World, state: string, call: PluginCall): Delegated {
  const row = table[call.type];
  if (row?.role !== "delegating") return { call };
  const { type, conf, ...known } = otherOf({ world, state, call, plugin: row.plugin });
  return {
    call: { ...call, type, request: { ...conf, ...ofTheCall(call.request) } },
    delegation: { ...known, external: !isOurs(world, type, call.overriding ?? call.environment.path) },
  };
}

/** The network, with each delegating plugin replaced by its delegate. */
export function withoutDelegating(world: World, list: NetworkList): NetworkList {
  const plugins = list.plugins.map((json): PluginConf => {
    const row = table[json.type];
    if (row?.role !== "delegating") return json;
    const conf = row.plugin.parse(fields({ ...json, name: list.name, cniVersion: list.cniVersion }));
    return { ...render(world, row.plugin, conf), type: row.plugin.delegateType(conf) };
  });
  return { ...list, plugins };
}

/** The parts of a request that concern the attachments. They are passed to the delegate. */
function ofTheCall(request: Json): Json {
  const said = Object.entries(request).filter(([key]) => /^(prevResult|cni\.dev\/.*)$/i.test(key));
  return Object.fromEntries(said);
}

type Json = Readonly<Record<string, unknown>>;

/** The delegate and its configuration. */
interface Other extends Omit<Delegation, "external"> {
  readonly type: string;
  readonly conf: Json;
}

interface Given {
  readonly world: World;
  readonly state: string;
  readonly call: PluginCall;
  readonly plugin: Delegating<unknown>;
}

function otherOf({ world, state, call, plugin }: Given): Other {
  const conf = plugin.parse(fields(call.request));
  const type = plugin.delegateType(conf);
  const path = plugin.savedAs(conf, call.environment.containerId);
  switch (call.command) {
    case "ADD": {
      const rendered = render(world, plugin, conf);
      return { type, conf: rendered, kept: keep(path, JSON.stringify(rendered)) };
    }
    case "GC":
    case "STATUS":
      return { type, conf: renderFor(call, () => render(world, plugin, conf)) };
    default:
      return readSaved(world, path, call) ?? readRecorded(world, state, { ...call, type });
  }
}

function render(world: World, plugin: Delegating<unknown>, conf: unknown): Json {
  return plugin.delegateConf(conf, world.read(plugin.source(conf)));
}

/** GC works on recorded attachments, so it continues even if an ADD would fail. */
function renderFor({ command }: PluginCall, render: () => Json): Json {
  try {
    return render();
  } catch (error) {
    if (command === "GC") return {};
    throw new CniError("unavailable", messageOf(error));
  }
}

function keep(path: string, owner: string): Claim {
  return claim(path, owner);
}

/** The file belongs to the container, not to the attachment: it may be of another network by now. */
function readSaved(world: World, path: string, { network }: PluginCall): Other | undefined {
  const text = readUndamagedFile(world, path)?.trim() ?? "";
  try {
    const conf = JSON.parse(text) as Json;
    const [name, type] = ["name", "type"].map((key) => fields(conf).string(key));
    return type === undefined || name !== network ? undefined : { type, conf, kept: keep(path, text) };
  } catch {
    return undefined;
  }
}

function readRecorded(world: World, state: string, { type, network, environment }: PluginCall): Other {
  const { containerId, ifname } = environment;
  const request = readPlugin(world, state, { id: containerId, network, ifname, part: type })?.request;
  return { type, conf: request ?? {}, unknown: request === undefined };
}
