import { CniError } from "../wire/cni/error.ts";
import { type Fields, fields } from "../wire/cni/fields.ts";
import type { PluginConf } from "../wire/cni/network_list.ts";
import { type Result } from "../wire/cni/result.ts";
import type { Attachment } from "../plan/attachment.ts";
import { insideAfter } from "../plan/inside.ts";
import type { HostState } from "../plan/host_state.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import type { Ipam, Lookups, Main, Meta } from "../drivers/plugin.ts";
import { table } from "../drivers/table.ts";
import type { AllLookups } from "./observe.ts";

/** A plugin of a network with its parsed configuration, which is known to be valid. */
export type Parsed =
  | {
    readonly role: "main";
    readonly plugin: Main<unknown>;
    readonly conf: unknown;
    readonly ipam?: ParsedIpam;
    /** The IPAM type, if it is not one of ours; then `ipam` is absent. */
    readonly externalIpam?: string;
  }
  | { readonly role: "meta"; readonly plugin: Meta<unknown>; readonly conf: unknown };

/** One of our IPAM types with its parsed configuration. */
export interface ParsedIpam {
  readonly plugin: Ipam<unknown>;
  readonly conf: unknown;
}

/**
 * Parses the configuration of each plugin of a network.
 * @param defaults values for keys that are missing in `ipam` objects
 * @throws CniError for a type that is not ours, and from the plugin for an invalid configuration
 */
export function parseChain(
  plugins: readonly PluginConf[],
  defaults: Readonly<Record<string, string>>,
): readonly Parsed[] {
  return plugins.map((json) => {
    const parsed = parsePlugin(json, defaults);
    if (parsed.role === "main" && parsed.externalIpam !== undefined) {
      throw unknownType(parsed.externalIpam, "ipam");
    }
    return parsed;
  });
}

/**
 * Parses one plugin's configuration. Its IPAM type may be one that is not ours.
 * @param isOurs whether we run an IPAM type ourselves
 */
export function parsePlugin(
  json: PluginConf,
  defaults: Readonly<Record<string, string>>,
  isOurs: (type: string) => boolean = (type) => Object.hasOwn(table, type),
): Parsed {
  const conf = fields({ ...json, ...withDefaults(json, defaults) });
  const row = table[json.type];
  if (!row || row.role === "ipam" || row.role === "delegating") throw unknownType(json.type, "main", "meta");
  if (row.role === "meta") return { ...row, conf: row.plugin.parse(conf) };
  return { ...row, conf: row.plugin.parse(conf), ...parseIpam(conf, isOurs) };
}

function withDefaults(json: PluginConf, defaults: Readonly<Record<string, string>>): { ipam?: unknown } {
  const key = Object.keys(json).find((key) => key.toLowerCase() === "ipam");
  const ipam = key === undefined ? undefined : json[key];
  return typeof ipam === "object" && ipam !== null && !Array.isArray(ipam)
    ? { ipam: { ...defaults, ...ipam } }
    : {};
}

function parseIpam(
  conf: Fields,
  isOurs: (type: string) => boolean,
): { ipam?: ParsedIpam; externalIpam?: string } {
  const type = conf.object("ipam")?.string("type");
  if (type === undefined) return {};
  if (!isOurs(type)) return { externalIpam: type };
  const row = table[type];
  if (row?.role !== "ipam") throw unknownType(type, "ipam");
  return { ipam: { plugin: row.plugin, conf: row.plugin.parse(conf) } };
}

function unknownType(type: string, ...roles: readonly string[]): CniError {
  const known = Object.keys(table).filter((name) => roles.includes(table[name]!.role)).join(", ");
  const givesAddresses = table[type]?.role === "ipam" && !roles.includes("ipam");
  const why = givesAddresses
    ? `it gives addresses, and stands in the "ipam" of another`
    : `it is not one of ours (${known})`;
  return new CniError("invalidConfig", `Cannot use plugin type "${type}": ${why}`);
}

/** The plugins of one attachment. */
export interface Chain {
  readonly chain: readonly Parsed[];
  readonly at: Attachment;
  /** The result of earlier plugins that have already run. */
  readonly made?: Result;
}

/** The look-ups of all plugins, merged. */
export function lookupsOf(chains: readonly Chain[]): AllLookups {
  return together(
    chains.flatMap(({ chain, at, made }) => chain.map(({ plugin, conf }) => plugin.lookups(conf, at, made))),
  );
}

/** Merges look-ups. */
export function together(lookups: readonly Lookups[]): AllLookups {
  const all = (wanted: (one: Lookups) => readonly string[] | undefined) => [
    ...new Set(lookups.flatMap((one) => wanted(one) ?? [])),
  ];
  return {
    links: all(({ links }) => links),
    names: all(({ names }) => names),
    ownBridges: lookups.flatMap(({ ownBridges }) => ownBridges ?? []),
    sysctls: all(({ sysctls }) => sysctls),
    defaultMaster: lookups.some(({ defaultMaster }) => defaultMaster === true),
    advertised: lookups.some(({ advertised }) => advertised === true),
    devices: all(({ devices }) => devices),
    files: all(({ files }) => files),
    reached: all(({ reached }) => reached),
    inside: lookups.some(({ inside }) => inside === true),
    insideSysctls: all(({ insideSysctls }) => insideSysctls),
    answers: all(({ answers }) => answers),
    agent: all(({ agent }) => agent),
  };
}

/** The plan of a chain of plugins. */
export interface ChainPlan {
  readonly steps: readonly Step[];
  readonly result: Result;
}

/** The host's state after the steps. */
export function stateAfter(seen: HostState, steps: readonly Step[]): HostState {
  return seen.inside ? { ...seen, inside: insideAfter(seen.inside, steps) } : seen;
}

/**
 * Plans a plugin that changes what earlier plugins made.
 * @throws CniError if there are none, or if it cannot be done
 */
export function planMeta(
  { plugin, conf }: Parsed & { role: "meta" },
  at: Attachment,
  made: Result | undefined,
  seen: HostState,
): ChainPlan {
  if (!made) throw new CniError("internal", plugin.unchained ?? "must be called as chained plugin");
  return plugin.plan(conf, at, made, seen);
}

/** Releases all addresses that a chain may hold. */
export function releaseAddresses(chain: readonly Parsed[], at: Attachment, world: World): void {
  for (const parsed of chain) {
    if (parsed.role !== "main" || !parsed.ipam || parsed.ipam.plugin.kind === "link") continue;
    parsed.ipam.plugin.release?.(parsed.ipam.conf, at, world);
  }
}
