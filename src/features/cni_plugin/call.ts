import { parseArgs } from "../../wire/cni/args.ts";
import type { Command, PluginCall } from "../../wire/cni/environment.ts";
import { CniError, messageOf } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import { parseResult, type Result } from "../../wire/cni/result.ts";
import { digest, sha512 } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Prefixes } from "../../plan/batch.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { World } from "../../plan/world.ts";
import type { Ipam } from "../../drivers/plugin.ts";
import { table, versionsOf } from "../../drivers/table.ts";
import { RollbackError, StepError } from "../../engine/step_error.ts";
import { toolProblem } from "../../engine/tool_problem.ts";
import { lookupsOf, type Parsed, parsePlugin } from "../../engine/chain.ts";
import { livePrefixes, netnsProblem } from "../../engine/namespace.ts";
import { delegated, type Delegation } from "../../engine/delegation.ts";
import { callExternal, isOurs } from "../../engine/external_plugin.ts";
import {
  allPluginKeys,
  type Namespace,
  readPlugin,
  recordFile,
  type RecordKey,
} from "../../engine/record.ts";
import { lockToRemove } from "../../engine/locks.ts";
import { observe } from "../../engine/observe.ts";

/** What acting on a call needs at hand. */
export interface Context {
  readonly world: World;
  readonly state: string;
  readonly call: PluginCall;
  readonly conf: Fields;
  readonly key: RecordKey;
  readonly at: Attachment;
  /** The container as the call names it; its namespace may be gone, or not be named at all. */
  readonly container: Namespace;
  /** The container as it is recorded, and how to run programs on either side, if not by what the call names. */
  readonly entered?: { readonly recorded: Namespace; readonly prefixes: Prefixes };
  /** The MAC address that a plugin after this one sets: a server that is asked through the link has to see that one. */
  readonly laterMac?: string;
  /** The call was one of a type that leaves its work to another; `call` is the other's. */
  readonly delegation?: Delegation;
}

/** Gathers what acting on a call needs. @throws CniError where a type cannot say what another is to do for it */
export async function contextOf(world: World, state: string, given: PluginCall): Promise<Context> {
  const { call, delegation } = delegated(world, state, given);
  const { type, network, environment: { containerId, ifname, netns, args }, request } = call;
  const [own, shared, referenceDigest] = await Promise.all([
    digest(containerId, network, ifname),
    digest(network),
    sha512(network + containerId),
  ]);
  // A relative path could be anything.
  const path = netns.startsWith("/") ? netns : "";
  return {
    ...{ world, state, call, conf: fields(request) },
    key: { id: containerId, network, ifname, part: type },
    at: {
      ...{ containerId, network, ifname, netns, digest: own, networkDigest: shared, referenceDigest },
      args: parseArgs(args),
      leases: `${state}/networks`,
    },
    container: { netns: path, identity: path === "" ? "" : world.stat(path)?.identity ?? "" },
    ...(delegation ? { delegation } : {}),
  };
}

/** @throws CniError code 1, in the reference's words, for a version that the type cannot be used in */
export function checkVersion(type: string, version: string): void {
  const known = versionsOf(type);
  if (known.includes(version)) return;
  const supported = known.map((version) => JSON.stringify(version)).join(" ");
  throw new CniError(
    "incompatibleVersion",
    "incompatible CNI versions",
    `config is ${JSON.stringify(version)}, plugin supports [${supported}]`,
  );
}

/** Two calls for one attachment wait for each other; those of other attachments do not. */
export async function lock({ world, state, at, key, call }: Context): Promise<() => void> {
  const path = `${state}/locks/${at.digest.slice(0, 32)}-${call.type}`;
  return call.command === "ADD"
    ? await world.lock(path)
    // Not the container's directory: a runtime that calls several plugins may have that.
    : await lockToRemove(world, path, recordFile(state, key));
}

/** The configuration of a call of a type that is not IPAM. @throws CniError for what the type cannot use */
export function parse({ world, call }: Context): Parsed {
  const { request, type } = call;
  return parsePlugin({ ...request, type }, {}, (ipam) => isOursFor(world, call, ipam));
}

function isOursFor(world: World, { overriding, environment }: PluginCall, type: string): boolean {
  return isOurs(world, type, overriding ?? environment.path);
}

/** The result of the plugins before this one, or for DEL and CHECK of all. @throws CniError for one that is none */
export function previousResult({ conf, call }: Context): Result | undefined {
  const raw = conf.raw("prevResult");
  return raw === undefined ? undefined : parseResult(raw, call.version);
}

/** Undefined for what ADD refuses of a call: by that nothing was made. A DEL has to succeed then, too. */
export function accepted<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

/** How to run a program for the call: in the container only while its namespace is there. */
export function prefixesFor(
  { world, call, container, entered }: Context,
): Pick<Prefixes, "host"> & Partial<Prefixes> {
  return entered?.prefixes ?? livePrefixes(world, container, call.environment.netnsOverride);
}

/**
 * The call as if its namespace were gone, where another container has this interface in there: the ADD failed because of
 * it, and what is inside is that container's (podman#6184).
 */
export function outsideOthers(context: Context): Context {
  const { world, state, key, container } = context;
  const isOthers = (other: RecordKey) =>
    other.ifname === key.ifname && other.id !== key.id && table[other.part]?.role === "main" &&
    readPlugin(world, state, other)?.container.identity === container.identity;
  if (container.identity === "" || !allPluginKeys(world, state).some(isOthers)) return context;
  const { entered: _, ...outside } = context;
  return { ...outside, container: { netns: "", identity: "" } };
}

/** Looks up what a plugin wants to have seen. */
export async function lookFor(
  context: Context,
  parsed: Parsed,
  made: Result | undefined,
): Promise<HostState> {
  const wanted = lookupsOf([{ chain: [parsed], at: context.at, ...(made ? { made } : {}) }]);
  return await observe(context.world, wanted, prefixesFor(context).container);
}

/** The namespace has to be one, and not ours. @throws CniError as the reference does, but before anything is done */
export function checkNamespace({ world, call, container }: Context): void {
  const { netns, netnsOverride } = call.environment;
  const [own, problem] = [world.stat("/proc/self/ns/net")!.identity, `failed to open netns "${netns}"`];
  if (container.identity === "") {
    const message = `${problem}: failed to Statfs "${netns}": no such file or directory`;
    throw new CniError("internal", message);
  }
  // All namespaces are files of one device.
  if (container.identity.split(":")[0] !== own.split(":")[0]) {
    throw new CniError("internal", `${problem}: unknown FS magic on "${netns}": it is no namespace`);
  }
  const why = netnsProblem(world, netns);
  if (why) throw new CniError("invalidNetns", `${problem}: ${why}`);
  if (!netnsOverride && container.identity === own) {
    throw new CniError("invalidNetns", "plugin's netns and netns from CNI_NETNS should not be the same");
  }
}

/** The type that IPAM is left to, or all of it, if it is not ours to run here. */
export function externalPart({ world, call, conf, delegation }: Context): string | undefined {
  if (delegation?.external) return call.type;
  if (table[call.type]?.role !== "main") return undefined;
  const type = conf.object("ipam")?.string("type");
  return type === undefined || isOursFor(world, call, type) ? undefined : type;
}

/** Where an IPAM type of ours that asks through the link keeps what it learns. */
export function askingDirectory({ state, at }: Pick<Context, "state" | "at">): string {
  return `${state}/leases/${at.digest.slice(0, 32)}`;
}

/** The IPAM type of ours that a call is of, or that its configuration names. */
export function ipamOf({ call, conf }: Context): Ipam<unknown> | undefined {
  const type = table[call.type]?.role === "ipam" ? call.type : conf.object("ipam")?.string("type");
  const row = type === undefined ? undefined : table[type];
  return row?.role === "ipam" ? row.plugin : undefined;
}

/** Whether another program is to be asked, maybe through the link: what was planned before it has to be done by then. */
export function asksThroughLink(context: Context): boolean {
  if (externalPart(context) !== undefined) return true;
  const ipam = ipamOf(context);
  return ipam?.kind === "link" || asksAnother(table[context.call.type]!.plugin, ipam);
}

/** Whether a plugin of Docker's makes the link, or gives the addresses. */
export function asksAnother(plugin: object, ipam: object | undefined): boolean {
  return "ask" in plugin || ipam !== undefined && "remote" in ipam;
}

/**
 * Calls the plugin that is not ours, with the whole request, as the specification's delegation has it.
 * @throws CniError with the plugin's own code and message
 */
export async function callExternalPart(context: Context, command: Command): Promise<unknown> {
  const { world, call } = context;
  const { containerId, netns, ifname, args, path } = call.environment;
  const env = {
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: args,
  };
  return await callExternal(world, {
    ...{ type: externalPart(context) ?? "", command, env, path },
    request: call.request,
  });
}

/** An error with CNI's code: 999 for what has none. */
export function asCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof StepError) {
    const told = toolProblem(error.message, error.details) ?? error.message;
    return new CniError("internal", told, error.details);
  }
  if (!(error instanceof RollbackError)) return new CniError("internal", messageOf(error));
  const first = asCniError(error.first);
  const problems = `then could not undo all: ${error.message}`;
  return new CniError(first.code, first.message, [first.details, problems].filter(Boolean).join("; "));
}
