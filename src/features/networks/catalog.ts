import { parseCidr } from "../../net/address.ts";
import { configDirectory } from "../../engine/state.ts";
import { digest, identifierProblem } from "../../net/names.ts";
import type { World } from "../../plan/world.ts";
import { fields, parseJson } from "../../wire/cni/fields.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import type { IpamConfig } from "./ipam_options.ts";
import { type FoundNetwork, loadNetworks } from "./networks.ts";

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
  readonly configFrom?: string;
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
  readonly configFrom?: string;
}

/**
 * Every network: files, the built-in ones, and the modes `host` and `none`; in the order of the names.
 * @param extra more directories of network files
 */
export async function allNetworks(world: World, extra: readonly string[] = []): Promise<readonly Network[]> {
  const found = await Promise.all(loadNetworks(world, extra).map((network) => networkOf(world, network)));
  const modes = await Promise.all([mode("host", "host"), mode("none", "null")]);
  return [...found, ...modes, ...configurations(world)].sort((a, b) => compareNames(a.name, b.name));
}

/** The directory of networks, and the ending of files that are configurations for networks. */
export function configurationFile(world: World, name: string): string {
  return `${configDirectory(world)}/net.d/${name}${ending}`;
}
const ending = ".netconfig";

function configurations(world: World): readonly Network[] {
  return world.list(`${configDirectory(world)}/net.d`).flatMap((file) => {
    const name = file.endsWith(ending) ? file.slice(0, -ending.length) : "";
    if (identifierProblem(name) !== undefined) return [];
    const path = configurationFile(world, name);
    const { id, created = "", ...stored } = readStored(world, path);
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

/** As people count: net2 comes before net10. */
function compareNames(a: string, b: string): number {
  const order = a.localeCompare(b, "en", { numeric: true });
  return order !== 0 ? order : a < b ? -1 : 1;
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
  const stored = path === undefined ? {} : readStored(world, path);
  const ipam = stored.ipam ?? subnetsOf(list);
  const main = fields(list.plugins[0]!);
  const modified = path === undefined ? undefined : world.stat(path)?.modified;
  return {
    name: list.name,
    id: stored.id ?? await derivedId(list.name),
    driver: stored.driver ?? list.plugins[0]!.type,
    created: stored.created ?? (modified === undefined ? "" : new Date(modified).toISOString()),
    ipv4: !ipam.every(({ Subnet }) => Subnet.includes(":")) || ipam.length === 0,
    ipv6: stored.ipv6 ?? ipam.some(({ Subnet }) => Subnet.includes(":")),
    internal: stored.internal ?? main.raw("internal") === true,
    attachable: stored.attachable ?? false,
    labels: stored.labels ?? {},
    options: stored.options ?? optionsOf(list),
    ipam,
    ...(stored.ipamDriver === undefined ? {} : { ipamDriver: stored.ipamDriver }),
    ...(stored.configFrom === undefined ? {} : { configFrom: stored.configFrom }),
    ...(stored.ipamOptions === undefined ? {} : { ipamOptions: stored.ipamOptions }),
    predefined: path === undefined,
    ...(path === undefined ? {} : { path }),
    list,
  };
}

/** What is stored of a network; of what is not as it should be, nothing. */
function readStored(world: World, path: string): Partial<Stored> {
  const json = fields(parseJson(world.read(path) ?? "{}")).raw("ocinet");
  if (typeof json !== "object" || json === null) return {};
  const stored = json as Record<string, unknown>;
  const { id, created, driver, internal, ipv6, attachable, labels, options, ipam } = stored;
  const { ipamDriver, ipamOptions, configFrom } = stored;
  return {
    ...(typeof id === "string" && /^[0-9a-f]{64}$/.test(id) ? { id } : {}),
    ...(typeof created === "string" ? { created } : {}),
    ...(typeof driver === "string" ? { driver } : {}),
    ...(typeof internal === "boolean" ? { internal } : {}),
    ...(typeof ipv6 === "boolean" ? { ipv6 } : {}),
    ...(typeof attachable === "boolean" ? { attachable } : {}),
    ...(isTexts(labels) ? { labels } : {}),
    ...(isTexts(options) ? { options } : {}),
    ...(Array.isArray(ipam) && ipam.every(isIpam) ? { ipam } : {}),
    ...(typeof ipamDriver === "string" ? { ipamDriver } : {}),
    ...(isTexts(ipamOptions) ? { ipamOptions } : {}),
    ...(typeof configFrom === "string" ? { configFrom } : {}),
  };
}

function isTexts(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string");
}

function isIpam(value: unknown): value is IpamConfig {
  return typeof value === "object" && value !== null &&
    parseCidr(String((value as Record<string, unknown>)["Subnet"] ?? "")) !== undefined;
}

/** The subnets of a network whose file says nothing in our words: those of its IPAM, by host-local's keys. */
function subnetsOf({ plugins }: NetworkList): readonly IpamConfig[] {
  const ipam = fields(plugins[0]!).raw("ipam");
  if (typeof ipam !== "object" || ipam === null) return [];
  const { subnet, ranges, gateway } = ipam as Record<string, unknown>;
  const entries = [{ subnet, gateway }, ...(Array.isArray(ranges) ? ranges.flat() : [])];
  return entries.flatMap((entry) => {
    const { subnet, gateway } = (entry ?? {}) as Record<string, unknown>;
    if (typeof subnet !== "string" || parseCidr(subnet) === undefined) return [];
    return [{ Subnet: subnet, ...(typeof gateway === "string" ? { Gateway: gateway } : {}) }];
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
  throw new UnknownNetwork(`network ${term} not found`);
}

/** No program knows the network. */
export class UnknownNetwork extends Error {}
