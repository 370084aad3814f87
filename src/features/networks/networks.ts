import { messageOf } from "../../wire/cni/error.ts";
import { type NetworkList, parseNetworkList } from "../../wire/cni/network_list.ts";
import type { Mode } from "../../net/modes.ts";
import type { World } from "../../plan/world.ts";
import { dropIns } from "./conflists.ts";
import { type BuiltIn, usualSubnets } from "./subnets.ts";
import { hasIpv6 } from "../../engine/routes.ts";
import { configDirectory } from "../../engine/state.ts";

/** A network as it was found: the file's name decides its place among the container's interfaces. */
export interface FoundNetwork {
  readonly file: string;
  /** The file's whole path, unless it is a built-in one. */
  readonly path?: string;
  readonly list: NetworkList;
}

/** A network that a container joins. */
export interface ChosenNetwork {
  readonly list: NetworkList;
  /** The file that it is in, unless it is a built-in one. */
  readonly path?: string;
  /** It is one of ours, whose subnets we choose. */
  readonly builtIn?: BuiltIn;
  readonly ifname: string;
  /** CNI_ARGS as they were written. */
  readonly args: string;
  /** Names of the container on the network beside its own. */
  readonly aliases?: readonly string[];
}

/** rkt's two networks (stage1/net/rootfs/etc/rkt/net.d), with a prefix of RFC 4193 beside the IPv4 one. */
function builtIn(ipv6: boolean): readonly FoundNetwork[] {
  const network = (
    file: string,
    name: BuiltIn,
    ipMasq: boolean,
    defaults: readonly string[],
    more: Readonly<Record<string, unknown>> = {},
  ) => ({
    file,
    list: parseNetworkList(
      JSON.stringify({
        cniVersion: "1.0.0",
        name,
        type: "ptp",
        ipMasq,
        ...more,
        ipam: {
          type: "host-local",
          ranges: usualSubnets(name, ipv6).map((subnet) => [{ subnet }]),
          routes: defaults.slice(0, ipv6 ? 2 : 1).map((dst) => ({ dst })),
        },
      }),
      `built-in ${name}`,
    ),
  });
  return [
    network("99-default.conf", "default", true, ["0.0.0.0/0", "::/0"]),
    network("99-default-restricted.conf", "default-restricted", false, [], { internal: true }),
  ];
}

/** A directory with networks, and maybe plugins beside them. */
export interface NetDirectory {
  readonly path: string;
  readonly names: readonly string[];
}

/** The user's directory, which may be missing, and others. @throws Error for one of the others that is missing */
export function listNetDirectories(world: World, extra: readonly string[]): readonly NetDirectory[] {
  const missing = extra.find((directory) => world.stat(directory)?.kind !== "directory");
  if (missing !== undefined) {
    throw new Error(`Cannot read networks in --net-dir "${missing}": there is no such directory`);
  }
  return [`${configDirectory(world)}/net.d`, ...extra].map((path) => ({ path, names: world.list(path) }));
}

/**
 * Every network there is, in the order of the file names: a user's stands in for a built-in one of its name, and a
 * directory's for those of the directories before it.
 * @param wanted what is asked for, or the name of one network: a file that cannot be read is in the way of what it could
 * be, and of nothing else; where no mode is asked for, a warning tells of it, once, as a page looks again and again
 * @throws Error naming the file, for one that cannot be read and is in the way
 */
export function networksIn(
  world: World,
  directories: readonly NetDirectory[],
  wanted?: Mode | string,
): readonly FoundNetwork[] {
  const { byName, unread } = readAll(world, directories);
  for (const { file, error } of unread) passOver(world, file, error, wanted, byName);
  return [...byName.values()].sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : 0);
}

/** All networks by name, and the files that cannot be read as one. */
export function readAll(world: World, directories: readonly NetDirectory[]) {
  const unread: Unread[] = [];
  const byName = new Map(builtIn(hasIpv6(world)).map((network) => [network.list.name, network]));
  for (const directory of directories) {
    for (const network of loadDirectory(world, directory, unread)) byName.set(network.list.name, network);
  }
  return { byName, unread };
}

/** @throws Error if a file that cannot be read is in the way of what is wanted; else a warning tells of it */
export function passOver(
  world: World,
  file: string,
  error: Error,
  wanted?: Mode | string,
  known: ReadonlyMap<string, unknown> = new Map(),
): void {
  if (typeof wanted === "object") {
    if (mayBeWanted(file, wanted, known)) throw error;
  } else {
    if (nameOf(file) === wanted) throw error;
    if (!told.has(error.message)) world.warn(`${error.message}; it is passed over`);
    told.add(error.message);
  }
}

const told = new Set<string>();

/** The same in the user's directory and others. @throws Error for one of the others that is missing */
export function loadNetworks(
  world: World,
  extra: readonly string[],
  wanted?: Mode | string,
): readonly FoundNetwork[] {
  return networksIn(world, listNetDirectories(world, extra), wanted);
}

/** A file that cannot be read as a network. */
interface Unread {
  readonly file: string;
  readonly error: Error;
}

/** The network that a file is of, by its own name. */
function nameOf(file: string): string {
  return file.replace(/\.(conf(list)?|netconfig)$/, "").replace(/^\d+-/, "");
}

/** Whether such a file could be a network that is asked for: by its own name, or because no other file has it. */
function mayBeWanted(file: string, wanted: Mode, known: ReadonlyMap<string, unknown>): boolean {
  if (wanted.kind !== "contained") return false;
  return wanted.all || [...wanted.networks.keys()].some((name) => name === nameOf(file) || !known.has(name));
}

/** Most reasons name the file themselves. */
export function unreadable(path: string, error: unknown): Error {
  const reason = messageOf(error);
  return new Error(reason.includes(path) ? reason : `error loading ${path}: ${reason}`);
}

function loadDirectory(world: World, directory: NetDirectory, unread: Unread[]): readonly FoundNetwork[] {
  const files = directory.names
    .filter((name) => /\.conf(list)?$/.test(name) && world.stat(`${directory.path}/${name}`)?.kind === "file")
    .sort();
  const plugins = (network: string) =>
    directory.names.includes(network) ? dropIns(world, directory.path, network) : [];
  const found = files.flatMap((file) => {
    const path = `${directory.path}/${file}`;
    try {
      return [{ file, path, list: parseNetworkList(world.read(path) ?? "", path, plugins) }];
    } catch (error) {
      unread.push({ file, error: unreadable(path, error) });
      return [];
    }
  });
  // Of two files with one network name, the first in the directory counts.
  return found.filter(({ list }, i) => found.findIndex((other) => other.list.name === list.name) === i);
}

/** Other tools have these for networks. */
const uplinkNames: readonly string[] = ["pasta", "slirp4netns"];

/**
 * The networks that a contained mode asks for, with their interfaces: eth0, eth1 … in the order of the file names.
 * @throws Error in rkt's words for a name that no network has
 */
export function chooseNetworks(found: readonly FoundNetwork[], mode: Mode): readonly ChosenNetwork[] {
  if (mode.kind !== "contained") return [];
  const missing = [...mode.networks.keys()].filter((name) => !found.some(({ list }) => list.name === name));
  if (missing.length > 0) {
    const known = found.map(({ list }) => list.name).join(", ");
    const uplink = missing.find((name) => uplinkNames.includes(name));
    const docker = missing.includes("bridge") ? '; the network that Docker calls "bridge" is "default"' : "";
    const hint = uplink === undefined ? docker : `; ${uplink} is an uplink, which --uplink chooses`;
    throw new Error(`networks not found: ${missing.join(", ")} (there are: ${known})${hint}`);
  }
  return found.filter(({ list }) => mode.all || mode.networks.has(list.name))
    .map(({ list, path }, i) => ({
      ...{ list, ifname: `eth${i}` },
      ...readArgs(mode.networks.get(list.name) ?? ""),
      ...(path === undefined ? { builtIn: list.name as BuiltIn } : { path }),
    }));
}

/** `alias`, which is for us, and `ip` and `mac`, as people of Docker write them; all else is for plugins. */
function readArgs(text: string): Pick<ChosenNetwork, "args" | "aliases"> {
  if (!/(^|;)(alias|ip|mac)=/.test(text)) return { args: text };
  const pairs = text.split(";");
  const aliases = pairs.filter((pair) => pair.startsWith("alias=")).map((pair) => pair.slice(6));
  const args = pairs.filter((pair) => !pair.startsWith("alias="))
    .map((pair) => pair.replace(/^(ip|mac)=/, (key) => key.toUpperCase()));
  return { args: args.join(";"), ...(aliases.length > 0 ? { aliases } : {}) };
}
