import { identifierProblem } from "../../net/names.ts";
import type { Family } from "../../net/address.ts";
import { linkExists } from "../../engine/links.ts";
import { configDirectory } from "../../engine/state.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { createWithDirectory, type World } from "../../plan/world.ts";
import { allNetworks, type Network, type Stored } from "./catalog.ts";
import { type Driver, drivers, mainPlugin } from "./driver_options.ts";
import { checkNames } from "./names.ts";
import { freeSubnet, reachedBy } from "./free_subnet.ts";
import {
  type IpamConfig,
  type IpamOptions,
  localRanges,
  overlaps,
  readIpam,
  usualGateway,
} from "./ipam_options.ts";

/** What somebody wants of a new network. */
export interface NetworkOptions extends IpamOptions {
  readonly driver: string;
  readonly ipamDriver: string;
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
}

/** A network that was made. */
export interface Created {
  readonly id: string;
  readonly name: string;
  /** What a person should know of it. */
  readonly note?: string;
}

/** Names that mean something else, here or to Docker and podman. */
const reserved = ["all", "bridge", "default", "default-restricted", "host", "none", "ocinet0"];
const modeWords = ["private", "pasta", "slirp4netns", "container", "ns"];

/**
 * Makes a network: a file that is a CNI network list.
 * @throws Error in Docker's words where it has some; then nothing is made
 */
export async function createNetwork(
  world: World,
  state: string,
  name: string,
  options: NetworkOptions,
): Promise<Created> {
  checkName(name);
  const driver = checkDriver(options.driver);
  checkIpamDriver(options.ipamDriver);
  const given = readIpam(options);
  const id = newId();
  const main = mainPlugin({ ...options, id, driver });
  const { names } = options.options;
  if (names !== undefined) checkNames({ name, plugins: [main as PluginConf] }, names);
  const unlock = await world.lock(networksLock(state));
  try {
    const networks = await allNetworks(world);
    if (networks.some((network) => network.name === name)) throw duplicate(name);
    refuseSharing(networks, name, main);
    const ipam = await completeIpam(world, networks, { id, name, driver, given, ipv6: options.ipv6 });
    const created = new Date().toISOString();
    const text = fileOf(name, main, { ...options, id, driver, created, ipam });
    if (!createWithDirectory(world, `${configDirectory(world)}/net.d/${name}.conflist`, text)) {
      throw duplicate(name);
    }
    const note = await clashes(world, driver, given);
    return { id, name, ...(note === undefined ? {} : { note }) };
  } finally {
    unlock();
  }
}

/** Two who make or remove networks at once would not see each other's subnets. */
export function networksLock(state: string): string {
  return `${state}/locks/.networks`;
}

function duplicate(name: string): Error {
  return new Error(`network with name ${name} already exists`);
}

/** @throws Error for a name that a network cannot have */
function checkName(name: string): void {
  if (name.trim() === "") throw new Error("invalid name: name is empty");
  if (reserved.includes(name)) {
    throw new Error(`operation is not permitted on predefined ${name} network; give it another name`);
  }
  const problem = modeWords.includes(name) ? "it is a mode of containers" : identifierProblem(name);
  if (problem) throw new Error(`invalid name ${JSON.stringify(name)}: ${problem}`);
}

function checkDriver(driver: string): Driver {
  const found = drivers.find((one) => one === driver);
  if (found) return found;
  const mode = { host: "host", none: "null", null: "null" }[driver];
  if (mode !== undefined) throw new Error(`only one instance of "${mode}" network is allowed`);
  throw new Error(
    `could not find a network driver ${JSON.stringify(driver)}; there are: ${drivers.join(", ")}`,
  );
}

function checkIpamDriver(driver: string): void {
  if (["default", "host-local"].includes(driver)) return;
  throw new Error(`could not find an IPAM driver ${JSON.stringify(driver)}; there are: default, host-local`);
}

function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** Two networks on one bridge, and an ipvlan beside another on its parent, do not work. */
function refuseSharing(
  networks: readonly Network[],
  name: string,
  main: Readonly<Record<string, unknown>>,
): void {
  const { type, bridge, master, mode } = main;
  for (const { name: other, list } of networks) {
    const own = list?.plugins[0];
    if (!own) continue;
    if (bridge !== undefined && own.type === "bridge" && own["bridge"] === bridge) {
      throw new Error(
        `cannot create network ${name} (${bridge}): conflicts with network ${other} (${bridge}): ` +
          "networks have same bridge name",
      );
    }
    if (master === undefined || own["master"] !== master) continue;
    const isAlone = own.type === "ipvlan" || type === "ipvlan" || mode === "passthru" ||
      own["mode"] === "passthru";
    if (isAlone && ["macvlan", "ipvlan"].includes(own.type)) {
      throw new Error(`network ${other} is already using parent interface ${String(master)}`);
    }
  }
}

interface IpamWanted {
  readonly id: string;
  readonly name: string;
  readonly driver: Driver;
  readonly given: readonly IpamConfig[];
  readonly ipv6: boolean;
}

/** The subnets that are given, those that have to be found, and their gateways. @throws Error when one is another's */
async function completeIpam(
  world: World,
  networks: readonly Network[],
  { id, name, driver, given, ipv6 }: IpamWanted,
): Promise<readonly IpamConfig[]> {
  const others = networks.flatMap((network) =>
    network.ipam.map(({ Subnet }) => ({ Subnet, of: network.name }))
  );
  for (const { Subnet } of given) {
    const other = others.find((one) => overlaps(one.Subnet, Subnet));
    if (other) {
      throw new Error(
        `Pool overlaps with other one on this address space: ${Subnet} of network ${name} and ` +
          `${other.Subnet} of network ${other.of}`,
      );
    }
  }
  checkFamilies(driver, given);
  const taken = others.map(({ Subnet }) => Subnet);
  const has = (of: Family) => given.some(({ Subnet }) => Subnet.includes(":") === (of === 6));
  const missing: readonly Family[] = [
    ...(has(4) || (has(6) && !ipv6) ? [] : [4 as const]),
    ...(ipv6 && !has(6) ? [6 as const] : []),
  ];
  const found = await Promise.all(missing.map((of) => freeSubnet(world, of, id, taken)));
  return [...found.map((Subnet): IpamConfig => ({ Subnet })), ...given]
    .sort((a, b) => Number(a.Subnet.includes(":")) - Number(b.Subnet.includes(":")))
    .map((config) => ({ ...config, Gateway: config.Gateway ?? usualGateway(config) }));
}

/** A bridge has one subnet of each family. */
function checkFamilies(driver: Driver, given: readonly IpamConfig[]): void {
  const several = [true, false].some((six) =>
    given.filter(({ Subnet }) => Subnet.includes(":") === six).length > 1
  );
  if (several) throw new Error(`${driver} driver doesn't support multiple subnets`);
}

/** The text of the file of a network. */
function fileOf(
  name: string,
  main: Readonly<Record<string, unknown>>,
  wanted: NetworkOptions & Required<Pick<Stored, "id" | "created" | "driver" | "ipam">>,
): string {
  const { id, created, driver, ipam, internal, attachable, labels, options } = wanted;
  const isRouted = driver === "bridge" || driver === "ptp";
  // On a link of the administrator's the gateway is theirs: without one that is named there is no way out.
  const leads = (config: IpamConfig) =>
    !internal && (isRouted || wanted.gateways.length > 0 && config.Gateway);
  const ipamConf = {
    type: "host-local",
    ranges: ipam.map(localRanges),
    routes: ipam.filter(leads).map(({ Subnet }) => ({ dst: Subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
  };
  const stored: Stored = {
    ...{ id, created, driver, internal, attachable, labels, options, ipam },
    ipv6: ipam.some(({ Subnet }) => Subnet.includes(":")),
  };
  const plugins = [
    { ...main, ipam: ipamConf },
    ...(isRouted && !internal ? [{ type: "portmap", capabilities: { portMappings: true } }] : []),
  ];
  return `${JSON.stringify({ cniVersion: "1.0.0", name, ocinet: stored, plugins }, null, 2)}\n`;
}

/** A subnet that was asked for is given, and what it takes from the host is said. */
async function clashes(
  world: World,
  driver: Driver,
  given: readonly IpamConfig[],
): Promise<string | undefined> {
  if (driver === "macvlan" || driver === "ipvlan") return undefined;
  for (const { Subnet } of given) {
    const reason = await reachedBy(world, Subnet);
    if (reason !== undefined) {
      return `the host reaches addresses of ${Subnet} by ${reason}; once a container is on the network, it may not any more`;
    }
  }
  return undefined;
}

/** The bridge that a network's containers are on, if it is there. */
export function bridgeOf(world: World, { list }: Network): string | undefined {
  const main = list?.plugins[0];
  const bridge = main?.type === "bridge" ? main["bridge"] ?? "cni0" : undefined;
  return typeof bridge === "string" && linkExists(world, bridge) ? bridge : undefined;
}
