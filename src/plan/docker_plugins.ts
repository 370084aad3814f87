/** Docker's plugins: how they are found, and asked (moby, pkg/plugins). */
import { identifierProblem } from "../net/names.ts";
import type { HttpAnswer, HttpRequest } from "./http.ts";
import type { World } from "./world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { type Fields, fields, parseJson } from "../wire/cni/fields.ts";
import { oneLine } from "../wire/cni/output.ts";

/** Where plugins are: sockets first, then files that name an address, in this order. */
const [socketDirectory, specDirectories] = [
  "/run/docker/plugins",
  ["/etc/docker/plugins", "/usr/lib/docker/plugins"],
] as const;

/** Seconds to wait before the second and each later try to connect, as in Docker. */
const pauses: readonly number[] = [1, 2, 4, 8];

/** Milliseconds that a plugin has for an answer: little for the first one, which says only what it is. */
const [activationMs, timeoutMs] = [20_000, 60_000];

/** Where a plugin listens. */
export type PluginAddress = Pick<HttpRequest, "socket" | "tls"> & { readonly origin: string };

/** There is no such plugin, or it does not answer. */
class PluginUnreachable extends Error {}

/** Whether a plugin did not answer. What it was asked for may be done all the same. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof PluginUnreachable;
}

/**
 * Finds a plugin by its name.
 * @returns undefined if there is none
 * @throws Error for a file that names no address
 */
export function findPlugin(world: World, name: string): PluginAddress | undefined {
  if (identifierProblem(name) !== undefined) return undefined;
  const files = [name, `${name}/${name}`];
  const socket = files.map((file) => `${socketDirectory}/${file}.sock`)
    .find((path) => world.stat(path)?.kind === "socket");
  if (socket !== undefined) return atSocket(socket);
  const specs = specDirectories.flatMap((directory) =>
    ["spec", "json"].flatMap((ending) => files.map((file) => `${directory}/${file}.${ending}`))
  );
  for (const path of specs) {
    const text = world.read(path);
    if (text === undefined) continue;
    return path.endsWith(".spec") ? readAddress(path, text.trim()) : readJsonSpec(world, path, text);
  }
  return undefined;
}

/** The places where a plugin is looked for, for messages. */
export const pluginPlaces = [socketDirectory, ...specDirectories].join(", ");

function atSocket(socket: string): PluginAddress {
  return { origin: "http://plugin.moby.localhost", socket };
}

function readAddress(path: string, text: string, tls?: HttpRequest["tls"]): PluginAddress {
  const [, scheme, rest = ""] = /^(unix|tcp|https?):\/\/([^\s]+)$/.exec(text) ?? [];
  if (scheme === "unix" && rest.startsWith("/")) return atSocket(rest);
  const host = /^[A-Za-z0-9.:[\]-]+:[0-9]{1,5}/.exec(rest)?.[0];
  if (host !== undefined && scheme !== "unix") {
    const isSecure = tls !== undefined || scheme === "https";
    return { origin: `${isSecure ? "https" : "http"}://${host}`, ...(tls ? { tls } : {}) };
  }
  throw new Error(
    `Cannot use ${path}: ${
      JSON.stringify(text)
    } is no address of a plugin, as unix:///run/x.sock or tcp://localhost:8080`,
  );
}

function readJsonSpec(world: World, path: string, text: string): PluginAddress {
  const spec = fields(parseJson(text, path), path);
  const given = spec.object("TLSConfig");
  const read = (key: string) => {
    const file = given?.path(key);
    if (file === undefined) return undefined;
    const content = world.read(file);
    if (content === undefined) throw new Error(`Cannot use ${path}: there is no file ${file}`);
    return content;
  };
  const [ca, cert, key] = ["CAFile", "CertFile", "KeyFile"].map(read);
  // Without a CA nothing is verified, as in Docker.
  const verifies = given?.boolean("InsecureSkipVerify") !== true && ca !== undefined;
  const tls = given && {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    rejectUnauthorized: verifies,
  };
  return readAddress(path, spec.string("Addr") ?? "", tls);
}

/** How to ask a plugin. */
export interface Asking {
  /** Seconds before each further try, while it is not there or does not listen. Default: one try. */
  readonly pauses?: readonly number[];
  /** A method that it need not have: its absence is an empty answer. */
  readonly optional?: boolean;
  /** Milliseconds that it has for the answer. */
  readonly timeoutMs?: number;
}

/** A plugin may be just starting. */
export const withRetries: Asking = { pauses };

/**
 * Calls a method of a plugin.
 * @param body absent: the request is empty
 * @returns its answer
 * @throws PluginUnreachable if it does not answer; Error with its own words if it refuses
 */
export async function askPlugin(
  world: World,
  name: string,
  method: string,
  body?: Readonly<Record<string, unknown>>,
  asking: Asking = {},
): Promise<Fields> {
  const text = body === undefined ? "" : JSON.stringify(body);
  const { status, body: answer } = await connect(world, name, { method, text }, asking);
  const where = `the answer of plugin "${name}" to ${method}`;
  if (status === 404 && asking.optional) return fields({}, where);
  if (status !== 200) {
    throw new Error(`remote: ${refusalOf(answer) ?? `${method} failed with status ${status}`}`);
  }
  const read = answer.trim() === "" ? fields({}, where) : fields(parseJson(answer, where), where);
  // Docker's IPAM drivers say it in the second.
  const error = read.string("Err") ?? read.string("Error");
  if (error !== undefined) throw new Error(`remote: ${oneLine(error)}`);
  return read;
}

/** A refusal is JSON with `Err`, or plain text. */
function refusalOf(text: string): string | undefined {
  try {
    const json = fields(JSON.parse(text));
    return oneLine(json.string("Err") ?? json.string("Error") ?? "") || undefined;
  } catch {
    return oneLine(text.slice(0, 1000)) || undefined;
  }
}

async function connect(
  world: World,
  name: string,
  { method, text }: { readonly method: string; readonly text: string },
  { pauses = [], timeoutMs: limit = timeoutMs }: Asking,
): Promise<HttpAnswer> {
  for (let tries = 0;; tries++) {
    const found = findPlugin(world, name);
    try {
      if (!found) throw new Error(`it is not in ${pluginPlaces}`);
      const { origin, ...rest } = found;
      const headers = { accept: "application/vnd.docker.plugins.v1.2+json" };
      return await world.http({ ...rest, url: `${origin}/${method}`, body: text, headers, timeoutMs: limit });
    } catch (error) {
      const pause = pauses[tries];
      if (pause === undefined || !mayBeStarting(found, error)) {
        throw new PluginUnreachable(`Cannot ask plugin "${name}" of Docker's: ${messageOf(error)}; start it`);
      }
      await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    }
  }
}

/** Only what was not sent is sent again. */
function mayBeStarting(found: PluginAddress | undefined, error: unknown): boolean {
  const { code } = error as { readonly code?: string };
  return found === undefined || code === "ECONNREFUSED" || code === "ENOENT";
}

/** Makes sure that a plugin is one of a kind; Docker asks this before anything else. */
export async function activatePlugin(
  world: World,
  name: string,
  kind: "NetworkDriver" | "IpamDriver",
  asking: Asking = {},
): Promise<void> {
  const first = { ...asking, timeoutMs: activationMs };
  const kinds = (await askPlugin(world, name, "Plugin.Activate", undefined, first)).strings("Implements") ??
    [];
  if (!kinds.includes(kind)) {
    throw new Error(`Cannot use plugin "${name}": it is no ${kind}, but ${kinds.join(", ") || "nothing"}`);
  }
}

/** Calls the method of a step: its name, a blank and its JSON. @throws as `askPlugin` */
export async function callPlugin(world: World, name: string, words: string): Promise<void> {
  const [, method = "", json = "{}"] = /^(\S+) (.*)$/s.exec(words) ?? [];
  const optional = /ExternalConnectivity$/.test(method);
  await askPlugin(world, name, method, JSON.parse(json) as Record<string, unknown>, { optional });
}
