import { identifierProblem } from "../../net/names.ts";
import { CniError } from "./error.ts";
import { type Fields, fields, parseJson } from "./fields.ts";
import { oldestVersion, versions } from "./result.ts";

/** A network: its plugins in the order they run. */
export interface NetworkList {
  readonly name: string;
  /** As the file has it, or the highest that we know of those it has. */
  readonly cniVersion: string;
  readonly plugins: readonly PluginConf[];
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  /** Ours: its containers know each other by name. */
  readonly named?: true;
  /** Ours: they ask a resolver; absent: the names are in their hosts files. */
  readonly names?: "dns";
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
  const plugins = isSingle(list, path) ? [json] : readPlugins(list, path, () => dropIns(name));
  return {
    name,
    cniVersion: chooseVersion(list, path),
    plugins: plugins.map((plugin) => checkPlugin(plugin, path)),
    disableCheck: readBoolean(list, "disableCheck"),
    disableGC: readBoolean(list, "disableGC"),
    ...ownWords(list),
  };
}

/** What stands under our key: that it is there means that containers know each other by name. */
function ownWords(list: Fields): Pick<NetworkList, "named" | "names"> {
  const own = list.raw("ocinet") as
    | { readonly options?: { readonly names?: unknown } | null }
    | null
    | undefined;
  if (own === undefined) return {};
  return { named: true, ...(own?.options?.names === "dns" ? { names: "dns" } : {}) };
}

function isSingle(list: Fields, path: string): boolean {
  return !list.has("plugins") && !path.endsWith(".conflist");
}

/** A list that is there and empty is a mistake, whatever drop-ins there are. */
function readPlugins(
  list: Fields,
  path: string,
  dropIns: () => readonly PluginConf[],
): readonly unknown[] {
  const [inlined, whole] = [list.list("plugins"), readBoolean(list, "loadOnlyInlinedPlugins")];
  const refuse = (problem: string) => new CniError("invalidConfig", `Cannot use ${path}: ${problem}`);
  if (inlined?.length === 0) throw refuse("no plugins in list");
  if (!inlined && whole) throw refuse("`loadOnlyInlinedPlugins` is true, and no 'plugins' key");
  const plugins = [...inlined ?? [], ...whole ? [] : dropIns()];
  if (plugins.length === 0) throw refuse("no plugin configs found");
  return plugins;
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

/** Whether a text can be the name of a plugin's file: it never leads out of the directory where that is looked for. */
export function isPluginType(type: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(type);
}

function checkPlugin(json: unknown, path: string): PluginConf {
  const type = fields(json, `a plugin of ${path}`).string("type");
  if (type === undefined) throw new CniError("invalidConfig", `Cannot use ${path}: a plugin has no "type"`);
  if (!isPluginType(type)) {
    throw new CniError("invalidConfig", `Cannot use ${path}: invalid plugin name: ${JSON.stringify(type)}`);
  }
  return { ...(json as object), type };
}

/** The highest of `cniVersions` and `cniVersion` that we know; else `cniVersion` as it stands, for the plugins to judge. */
function chooseVersion(list: Fields, path: string): string {
  const single = list.string("cniVersion") ?? oldestVersion;
  const many = list.strings("cniVersions") ?? [];
  const bad = many.find((version) => !/^\d+\.\d+(\.\d+)?$/.test(version));
  if (bad !== undefined) {
    throw new CniError("incompatibleVersion", `Cannot use ${path}: ${JSON.stringify(bad)} is no version`);
  }
  return versions.findLast((version) => version === single || many.includes(version)) ?? single;
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
