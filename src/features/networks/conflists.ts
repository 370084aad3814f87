import { CniError, messageOf } from "../../wire/cni/error.ts";
import { parseJson } from "../../wire/cni/fields.ts";
import {
  listText,
  type NetworkList,
  parseNetworkList,
  type PluginConf,
} from "../../wire/cni/network_list.ts";
import type { World } from "../../plan/world.ts";

/** A network, and the text of its file as that of a list. */
export interface FoundList {
  readonly list: NetworkList;
  readonly text: string;
}

/**
 * Finds a network by name the way libcni does (conf.go): first among the `.conflist` files, then the `.conf` and
 * `.json` ones, each sorted by name; a file that cannot be read ends the search.
 * @throws CniError in libcni's words when there is none
 */
export function findList(world: World, directory: string, name: string): FoundList {
  const files = [...world.list(directory)].sort();
  const lists = files.filter((file) => file.endsWith(".conflist"));
  const singles = files.filter((file) => file.endsWith(".conf") || file.endsWith(".json"));
  if (lists.length + singles.length === 0) {
    throw new CniError("internal", `no net configurations found in ${directory}`);
  }
  for (const file of [...lists, ...singles]) {
    const found = readList(world, directory, file);
    if (found.list.name === name) return found;
  }
  throw new CniError("internal", `no net configuration with name "${name}" in ${directory}`);
}

function readList(world: World, directory: string, file: string): FoundList {
  const path = `${directory}/${file}`;
  const text = world.read(path) ?? "";
  try {
    const list = parseNetworkList(text, path, (network) => dropIns(world, directory, network));
    return { list, text: listText(text, path) };
  } catch (error) {
    throw new CniError("internal", `error parsing configuration list ${path}: ${messageOf(error)}`);
  }
}

/** A network's directory beside its file holds plugins one by one, in the order of their names. */
export function dropIns(world: World, beside: string, network: string): readonly PluginConf[] {
  const directory = `${beside}/${network}`;
  return [...world.list(directory)].sort().filter((file) => file.endsWith(".conf")).map((file) => {
    const path = `${directory}/${file}`;
    const json = parseJson(world.read(path) ?? "", `plugin file ${path}`);
    return json as PluginConf;
  });
}
