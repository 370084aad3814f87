import { parseCidr } from "../../net/address.ts";
import { configDirectory } from "../../engine/state.ts";
import { digest, identifierProblem } from "../../net/names.ts";
import type { World } from "../../plan/world.ts";
import { fields, parseJson } from "../../wire/cni/fields.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { type IpamConfig, usualGateway } from "./ipam_options.ts";
import { type FoundNetwork, loadNetworks, passOver, unreadable } from "./networks.ts";

/** A network as an object, with Docker's words for what is known of it. */
export interface Network {
  readonly name: string;
  readonly id: string;
  readonly driver: string;
  readonly created: string;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly ipam: readonly IpamConfig[];
  /** A plugin of Docker's, or null; absent: our own. */
  readonly ipamDriver?: string;
  readonly ipamOptions?: Readonly<Record<string, string>>;
  /** It is no network, but what others are made of. */
  readonly configOnly?: boolean;
  /** The name of the configuration that it was made of. */
  readonly configFrom?: string | undefined;
  /** It is always there, and cannot be removed. */
  readonly predefined: boolean;
  /** Its file, unless it is a built-in one. */
  readonly path?: string;
  /** Its plugins; modes of a container have none. */
  readonly list?: NetworkList;
}

/** What stands under "ocinet" in the file of a network that was created. Readers of CNI pass over it. */
export interface Stored {
  readonly id: string;
  readonly created: string;
  readonly driver: string;
  readonly internal?: boolean;
  readonly ipv6?: boolean;
  readonly attachable?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, string>>;
  readonly ipam?: readonly IpamConfig[];
  /** A plugin of Docker's, or null; absent: our own. */
  readonly ipamDriver?: string;
  readonly ipamOptions?: Readonly<Record<string, string>>;
  readonly configFrom?: string | undefined;
}

/**
 * Every network: files, the built-in ones, and the modes `host` and `none`; in the order of the names.
 * @param extra more directories of network files
 * @param wanted the name of one network, whose file has to be readable; of others a warning tells
 * @throws Error naming its file if that cannot be read
 */
export async function allNetworks(
  world: World,
  extra: readonly string[] = [],
  wanted?: string,
): Promise<readonly Network[]> {
  const found = await Promise.all(
    loadNetworks(world, extra, wanted).map((network) => networkOf(world, network)),
  );
  const modes = await Promise.all([mode("host", "host"), mode("none", "null")]);
  return [...found, ...modes, ...configurations(world, wanted)].sort((a, b) => compareNames(a.name, b.name));
}

/** The directory of networks, and the ending of files that are configurations for networks. */
export function configurationFile(world: World, name: string): string {
  return `${configDirectory(world)}/net.d/${name}${ending}`;
}
const ending = ".netconfig";

function configurations(world: World, wanted?: string): readonly Network[] {
  return world.list(`${configDirectory(world)}/net.d`).flatMap((file) => {
    const name = file.endsWith(ending) ? file.slice(0, -ending.length) : "";
    if (identifierProblem(name) !== undefined) return [];
    const path = configurationFile(world, name);
    let read: Partial<Stored> = {};
    try {
      read = readStored(world, path);
    } catch (error) {
      passOver(world, file, unreadable(path, error), wanted);
    }
    const { id, created = "", ...stored } = read;
    if (id === undefined) return [];
    return [{
      ...{ ...nothingSaid, ipv4: true, ipv6: false, internal: false, ...stored },
      ...{ name, id, created, driver: "null", configOnly: true, predefined: false, path },
    }];
  });
}

/** An overlay network is on all hosts of a cluster. */
export function scopeOf({ driver }: Pick<Network, "driver">): "global" | "local" {
  return driver === "overlay" ? "global" : "local";
}

/** As people count: net2 comes before net10. A runtime takes 10 ms to load what `localeCompare` needs. */
function compareNames(...names: readonly [string, string]): number {
  const [a, b] = names.map((name) =>
    `${name.toLowerCase().replace(/[0-9]+/g, (digits) => digits.padStart(253, "0"))} ${name}`
  ) as [string, string];
  return a < b ? -1 : 1;
}

async function mode(name: string, driver: string): Promise<Network> {
  const id = await derivedId(name);
  return {
    ...nothingSaid,
    name,
    id,
    driver,
    created: "",
    ipv4: true,
    ipv6: false,
    internal: false,
    predefined: true,
  };
}

const nothingSaid = { attachable: false, labels: {}, options: {}, ipam: [] };

/** Of a network that was given no id. */
async function derivedId(name: string): Promise<string> {
  return (await digest("network", name)).slice(0, 64);
}

async function networkOf(world: World, { list, path }: FoundNetwork): Promise<Network> {
  const { id, driver, ...stored } = path === undefined ? {} : readStored(world, path);
  const ipam = stored.ipam ?? subnetsOf(list);
  const main = fields(list.plugins[0]!);
  const modified = path === undefined ? undefined : world.stat(path)?.modified;
  return {
    ...nothingSaid,
    created: modified === undefined ? "" : new Date(modified).toISOString(),
    ipv4: !ipam.every(({ Subnet }) => Subnet.includes(":")) || ipam.length === 0,
    ipv6: ipam.some(({ Subnet }) => Subnet.includes(":")),
    internal: main.raw("internal") === true,
    options: optionsOf(list),
    ...stored,
    name: list.name,
    id: id ?? await derivedId(list.name),
    driver: driver ?? list.plugins[0]!.type,
    ipam,
    predefined: path === undefined,
    ...(path === undefined ? {} : { path }),
    list,
  };
}

/** What is stored of a network; of what is not as it should be, nothing. */
function readStored(world: World, path: string): Partial<Stored> {
  const json = fields(parseJson(world.read(path) ?? "{}", `network file ${path}`)).raw("ocinet");
  if (typeof json !== "object" || json === null) return {};
  const known = Object.entries(json).filter(([key, value]) =>
    Object.hasOwn(storedKeys, key) && storedKeys[key as keyof Stored](value)
  );
  return Object.fromEntries(known);
}

const isText = (value: unknown) => typeof value === "string";
const isFlag = (value: unknown) => typeof value === "boolean";

/** What is stored, and whether it is as it should be. */
const storedKeys: Readonly<Record<keyof Stored, (value: unknown) => boolean>> = {
  id: (value) => /^[0-9a-f]{64}$/.test(String(value)),
  ...{ created: isText, driver: isText, ipamDriver: isText, configFrom: isText },
  ...{ internal: isFlag, ipv6: isFlag, attachable: isFlag },
  ...{ labels: isTexts, options: isTexts, ipamOptions: isTexts },
  ipam: (value) => Array.isArray(value) && value.every(isIpam),
};

function isTexts(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string");
}

function isIpam(value: unknown): boolean {
  return typeof value === "object" && value !== null &&
    parseCidr(String((value as Record<string, unknown>)["Subnet"] ?? "")) !== undefined;
}

/** The subnets of a network whose file says nothing in our words: those of its IPAM, by host-local's keys. */
function subnetsOf({ plugins }: NetworkList): readonly IpamConfig[] {
  const ipam = fields(plugins[0]!).raw("ipam");
  if (typeof ipam !== "object" || ipam === null) return [];
  const { subnet, ranges, gateway } = ipam as Record<string, unknown>;
  const { type, isGateway, isDefaultGateway } = plugins[0]!;
  const isLed = type === "ptp" || isGateway === true || isDefaultGateway === true;
  const entries = [{ subnet, gateway }, ...(Array.isArray(ranges) ? ranges.flat() : [])];
  return entries.flatMap((entry) => {
    const { subnet, gateway } = (entry ?? {}) as Record<string, unknown>;
    if (typeof subnet !== "string" || parseCidr(subnet) === undefined) return [];
    const Gateway = gateway ?? (isLed ? usualGateway({ Subnet: subnet }) : undefined);
    return [{ Subnet: subnet, ...(typeof Gateway === "string" ? { Gateway } : {}) }];
  });
}

/** The keys of plugins that Docker's drivers have options for. */
const knownOptions: Readonly<Record<string, string>> = {
  bridge: "com.docker.network.bridge.name",
  mtu: "com.docker.network.driver.mtu",
  master: "parent",
};

function optionsOf({ plugins: [main] }: NetworkList): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(knownOptions).flatMap(([key, option]) => {
      const value = main![key];
      return typeof value === "string" || typeof value === "number" ? [[option, String(value)]] : [];
    }),
  );
}

/**
 * The network that a person names: by its whole id, its name, or the beginning of its id.
 * @throws Error in Docker's words when there is none, or more than one
 */
export function findNetwork(networks: readonly Network[], term: string): Network {
  const exact = networks.find(({ id }) => id === term) ?? networks.find(({ name }) => name === term);
  if (exact) return exact;
  const found = /^[0-9a-f]+$/.test(term) ? networks.filter(({ id }) => id.startsWith(term)) : [];
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    throw new Error(`network ${term} is ambiguous (${found.length} matches found based on ID prefix)`);
  }
  throw new UnknownNetwork(`network ${term || '""'} not found`);
}

/** No program knows the network. */
export class UnknownNetwork extends Error {}
