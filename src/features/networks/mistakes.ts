/** What is likely a mistake in the files of networks, and passes: keys that no plugin reads, names that two files have. */
import { type Fields, fields } from "../../wire/cni/fields.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { table } from "../../drivers/table.ts";
import type { World } from "../../plan/world.ts";
import { isNear } from "./near.ts";
import { type FoundNetwork, listNetDirectories, readAll } from "./networks.ts";

/** Keys that belong to every plugin, or to the list (CNI's SPEC.md, "Network configuration format"). */
const common = [
  "cniVersion",
  "cniVersions",
  "name",
  "type",
  "ipam",
  "dns",
  "args",
  "capabilities",
  "prevResult",
];
const ofLists = [
  ...common,
  "plugins",
  "disableCheck",
  "disableGC",
  "loadOnlyInlinedPlugins",
  "runtimeConfig",
];

/** Keys of objects whose readers do not say them here: those in lists, and those that runtimes read. */
const ofInner: readonly (readonly [place: string, keys: readonly string[]])[] = [
  ["capabilities", ["portMappings", "ipRanges", "bandwidth", "dns", "ips", "mac", "aliases", "deviceID"]],
  ["ipam.requestable", ["subnet", "rangeStart", "rangeEnd", "gateway"]],
  ["ipam.ranges", ["subnet", "rangeStart", "rangeEnd", "gateway"]],
  ["ipam.routes", ["dst", "gw", "mtu", "advmss", "priority", "table", "scope"]],
  ["ipam.addresses", ["address", "gateway"]],
  ["dns", ["nameservers", "domain", "search", "options"]],
];

/** Keys that were asked for, by the place of their object: "", "ipam", … */
type Asked = Map<string, Set<string>>;

/**
 * Keys of a network that a type of ours does not read, and that are nearly one that it reads, a sentence each. Others pass:
 * CNI lets them be another program's.
 */
export function misspeltKeys(world: World, { path, list }: FoundNetwork): readonly string[] {
  const whole = path === undefined ? {} : objectIn(world.read(path));
  const ofFile = "plugins" in whole ? nearMisses(whole, "", new Map([["", new Set(ofLists)]])) : [];
  return [
    ...ofFile.map((found) => `${found} (network "${list.name}", ${path})`),
    ...list.plugins.flatMap((plugin) =>
      ofPlugin(plugin).map((found) =>
        `${found} of ${plugin.type} (network "${list.name}"${path ? `, ${path}` : ""})`
      )
    ),
  ];
}

function objectIn(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text ?? "{}");
    return isObject(json) ? json : {};
  } catch {
    return {};
  }
}

function ofPlugin(plugin: PluginConf): readonly string[] {
  const asked: Asked = new Map([["", new Set(ofLists)]]);
  const conf = recording(fields(plugin), "", asked);
  const ipam = isObject(plugin["ipam"]) ? String(plugin["ipam"]["type"]) : "";
  for (const type of [plugin.type, ipam]) {
    try {
      table[type]?.plugin.parse(conf);
    } catch {
      // What it refuses is told elsewhere; what it had read by then is known.
    }
  }
  ofInner.forEach(([place, keys]) => asked.set(place, new Set(keys)));
  // Whose keys are not ours to know.
  if (!table[plugin.type]) asked.delete("");
  if (!table[ipam]) asked.delete("ipam");
  else asked.get("ipam")?.add("type");
  if (!table[ipam]) ["ranges", "routes", "addresses"].forEach((key) => asked.delete(`ipam.${key}`));
  return nearMisses(plugin, "", asked);
}

/** Notes what is read. */
function recording(from: Fields, place: string, asked: Asked): Fields {
  const keys = asked.get(place) ?? new Set<string>();
  asked.set(place, keys);
  const noted = <T>(read: (key: string) => T) => (key: string): T => {
    keys.add(key);
    return read(key);
  };
  return {
    ...from,
    has: noted(from.has),
    raw: noted(from.raw),
    string: noted(from.string),
    path: noted(from.path),
    boolean: noted(from.boolean),
    integer: (key, range) => noted(() => from.integer(key, range))(key),
    strings: noted(from.strings),
    list: noted(from.list),
    objects: noted(from.objects),
    object: noted((key) => {
      const inner = from.object(key);
      return inner && recording(inner, place === "" ? key : `${place}.${key}`, asked);
    }),
  };
}

function nearMisses(
  object: Readonly<Record<string, unknown>>,
  place: string,
  asked: Asked,
): readonly string[] {
  const known = [...asked.get(place) ?? []];
  return Object.entries(object).flatMap(([key, value]) => {
    const same = known.find((one) => one.toLowerCase() === key.toLowerCase());
    const near = same ?? known.find((one) => isNear(one.toLowerCase(), key.toLowerCase()));
    const where = place === "" ? key : `${place}.${key}`;
    if (same === undefined) return near === undefined ? [] : [`"${where}" is not read, "${near}" is`];
    const inner = place === "" ? same : `${place}.${same}`;
    const objects = [value].flat(2).filter(isObject);
    return [...new Set(objects.flatMap((one) => nearMisses(one, inner, asked)))];
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Files of a directory whose network another file before them has, too: of those only the first counts. */
export function hiddenFiles(world: World, directory: string): readonly string[] {
  const seen = new Map<string, string>();
  return [...world.list(directory)].filter((file) => /\.conf(list)?$/.test(file)).sort().flatMap((file) => {
    const path = `${directory}/${file}`;
    try {
      const name = fields(objectIn(world.read(path))).string("name");
      const first = name === undefined ? undefined : seen.get(name);
      if (first !== undefined) return [`${path} is passed over: ${first} has network "${name}", too`];
      if (name !== undefined) seen.set(name, path);
      return [];
    } catch {
      // A file that cannot be read is told by unreadNetworks().
      return [];
    }
  });
}

/** Why files of the user's directory cannot be read as networks. */
export function unreadNetworks(world: World): readonly string[] {
  return readAll(world, listNetDirectories(world, [])).unread.map(({ error }) => error.message);
}
