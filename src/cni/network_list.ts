import { identifierProblem } from "../net/names.ts";
import { CniError } from "./error.ts";
import { type Fields, fields, parseJson } from "./fields.ts";
import { oldestVersion, versions } from "./result.ts";

/** A network: its plugins in the order they run. */
export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly PluginConf[];
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
}

/** A plugin's object as it stands in the file, unknown keys and all. */
export type PluginConf = Readonly<Record<string, unknown>> & { readonly type: string };

/**
 * Reads a network from the text of a `.conflist`, or of a `.conf` with one plugin.
 * @param path names the file in errors
 * @param dropIns the plugins that stand in files of their own, for a network of a name, to be added at the end
 * @throws CniError naming the file and what is wrong with it
 */
export function parseNetworkList(
  text: string,
  path: string,
  dropIns: (network: string) => readonly PluginConf[] = () => [],
): NetworkList {
  const where = `network file ${path}`;
  const json = parseJson(text, where);
  const list = fields(json, where);
  const name = list.string("name") ?? "";
  const problem = identifierProblem(name);
  if (problem) {
    throw new CniError(
      "invalidConfig",
      `Cannot use network name ${JSON.stringify(name)} in ${path}: ${problem}`,
    );
  }
  const plugins = isSingle(list, path) ? [json] : readPlugins(list, () => dropIns(name));
  if (plugins.length === 0) throw new CniError("invalidConfig", `Cannot use ${path}: no plugins in list`);
  return {
    name,
    cniVersion: chooseVersion(list, path),
    plugins: plugins.map((plugin) => checkPlugin(plugin, path)),
    disableCheck: readBoolean(list, "disableCheck"),
    disableGC: readBoolean(list, "disableGC"),
  };
}

function isSingle(list: Fields, path: string): boolean {
  return !list.has("plugins") && !path.endsWith(".conflist");
}

/** A list that is there and empty is a mistake, whatever drop-ins there are. */
function readPlugins(list: Fields, dropIns: () => readonly PluginConf[]): readonly unknown[] {
  const inlined = list.list("plugins");
  const onlyInlined = readBoolean(list, "loadOnlyInlinedPlugins") || inlined?.length === 0;
  return [...inlined ?? [], ...onlyInlined ? [] : dropIns()];
}

/** The text of a network's file as a list's, by which libcni keeps a file with one plugin, too. */
export function listText(text: string, path: string): string {
  const json = parseJson(text);
  const list = fields(json);
  if (!isSingle(list, path)) return text;
  return JSON.stringify({
    name: list.string("name"),
    cniVersion: list.string("cniVersion"),
    plugins: [json],
  });
}

function checkPlugin(json: unknown, path: string): PluginConf {
  const type = fields(json, `a plugin of ${path}`).string("type");
  if (type === undefined) throw new CniError("invalidConfig", `Cannot use ${path}: a plugin has no "type"`);
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(type)) {
    throw new CniError("invalidConfig", `Cannot use ${path}: invalid plugin name: ${JSON.stringify(type)}`);
  }
  return { ...(json as object), type };
}

/** The highest of `cniVersions` and `cniVersion` that we know; `cniVersion` as it stands where there is no list. */
function chooseVersion(list: Fields, path: string): string {
  const single = list.string("cniVersion");
  const many = list.strings("cniVersions");
  if (many === undefined) {
    const version = single ?? oldestVersion;
    if ((versions as readonly string[]).includes(version)) return version;
    throw new CniError(
      "incompatibleVersion",
      `Cannot use cniVersion ${JSON.stringify(version)} of ${path}: known are ${versions.join(", ")}`,
    );
  }
  const bad = [...many, single ?? oldestVersion].find((version) => !/^\d+\.\d+(\.\d+)?$/.test(version));
  if (bad !== undefined) {
    throw new CniError("incompatibleVersion", `Cannot use ${path}: ${JSON.stringify(bad)} is no version`);
  }
  const known = versions.filter((version) => version === single || many.includes(version));
  if (known.length === 0) {
    throw new CniError("incompatibleVersion", `Cannot use ${path}: none of its cniVersions is known`);
  }
  return known.at(-1)!;
}

/** libcni takes these as booleans or as the words for them. */
function readBoolean(list: Fields, key: string): boolean {
  const value = list.raw(key);
  if (value === undefined || typeof value === "boolean") return value ?? false;
  const word = typeof value === "string" ? value : JSON.stringify(value);
  if (/^(true|false)$/i.test(word)) return word.toLowerCase() === "true";
  throw new CniError(
    "decode",
    `error parsing configuration list: invalid value ${JSON.stringify(word)} for ${key}`,
  );
}
