import { identifierProblem } from "../../net/names.ts";
import { askLinks, linkExists } from "../../engine/links.ts";
import { configDirectory } from "../../engine/state.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import { isRoot } from "../../engine/user.ts";
import { createWithDirectory, removeAbandoned } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { asTyped } from "../../engine/usage.ts";
import { allNetworks, configurationFile, type Network, type Stored } from "./catalog.ts";
import { lockNetworks } from "./locks.ts";
import { findConfiguration, refuseInConfiguration, withConfiguration } from "./configuration.ts";
import { type Driver, drivers, mainPlugin, refuseAlien, refuseUnsupported } from "./driver_options.ts";
import { checkNames } from "./names.ts";
import { noPlugin } from "./plugin_networks.ts";
import { completeIpam } from "./complete_ipam.ts";
import { mainOnPlugin, makeOnPlugins, remoteOf } from "./create_on_plugins.ts";
import { isNear } from "./near.ts";
import { fields } from "../../wire/cni/fields.ts";
import { hasMode, parseModes } from "../../drivers/main/gateway_modes.ts";
import { isRouted, type NetworkOptions, ownIpam, routesOf } from "./network_options.ts";
import { refuseSharing } from "./sharing.ts";
import { reachedBy } from "./free_subnet.ts";
import { type IpamConfig, localRanges, readIpam } from "./ipam_options.ts";

/** A network that was made. */
export interface Created {
  readonly id: string;
  readonly name: string;
  /** What a person should know of it. */
  readonly note?: string;
}

/** Options of networks that are read here. */
const bridgeKeys = ["name", "enable_ip_masquerade", "enable_icc", "host_binding_ipv4"];
const optionKeys = [
  ...[...bridgeKeys, "gateway_mode_ipv4", "gateway_mode_ipv6"].map((key) =>
    `com.docker.network.bridge.${key}`
  ),
  ...["com.docker.network.driver.mtu", "mtu", "parent", "mode", "macvlan_mode", "ipvlan_mode", "names"],
];

/** Options that no driver reads pass, as with Docker, unless they are nearly one that is read. @throws Error naming both */
function refuseMisspelt(options: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(options).filter((key) => !optionKeys.includes(key))) {
    const near = optionKeys.find((one) => isNear(one, key.toLowerCase()));
    if (near !== undefined) throw new Error(`unknown network option ${key}: did you mean ${near}?`);
  }
}

/** Names that mean something else, here or to Docker and podman. */
const reserved = ["all", "bridge", "default", "default-restricted", "host", "none", "ocinet0"];
const modeWords = ["private", "pasta", "slirp4netns", "container", "ns"];

/** What the options come to: subnets, and the main plugin. @throws Error naming the option and the reason */
function readOptions(
  { name, id, driver }: { readonly name: string; readonly id: string; readonly driver: Driver | undefined },
  asked: NetworkOptions,
) {
  const { options } = asked;
  const given = readIpam(asked);
  if (driver) {
    refuseMisspelt(options);
    refuseAlien(name, driver, options);
    refuseUnsupported(name, options, given.map(({ Subnet }) => Subnet));
  }
  const main = driver ? mainPlugin({ ...asked, id, driver }) : mainOnPlugin(id, asked);
  const isSix = asked.ipv6 || given.some(({ Subnet }) => Subnet.includes(":"));
  if (isSix && Number(main["mtu"]) < 1280) {
    throw new Error(
      `failed to parse com.docker.network.driver.mtu value: "${main["mtu"]}" (IPv6 needs 1280 or more)`,
    );
  }
  if (options["names"] !== undefined) {
    checkNames({ name, plugins: [main as PluginConf] }, options["names"]);
  }
  return { given, main };
}

/**
 * Makes a network: a file that is a CNI network list.
 * @throws Error in Docker's words where it has some; then nothing is made
 */
export async function createNetwork(
  world: World,
  state: string,
  name: string,
  asked: NetworkOptions,
): Promise<Created> {
  asTyped(() => checkName(name));
  if (asked.configOnly) return await createConfiguration(world, state, name, asked);
  const options = await withConfiguration(world, asked);
  const remote = await remoteOf(world, options);
  const id = newId();
  const driver = remote.driver ? undefined : asTyped(() => checkDriver(options.driver));
  const { given, main } = asTyped(() => readOptions({ name, id, driver }, options));
  const unlock = await lockNetworks(world, state, "make");
  try {
    const networks = await allNetworks(world, [], name);
    refuseTwice(networks, name);
    if (options.configFrom !== undefined) findConfiguration(networks, options.configFrom);
    await refuseSharing(world, networks, name, main);
    await refuseOtherLink(world, main);
    const write = (ipam: readonly IpamConfig[], ipamConf: unknown) => {
      const created = new Date(world.now()).toISOString();
      const text = fileOf(name, main, { ...options, id, created, ipam }, ipamConf);
      const directory = `${configDirectory(world)}/net.d`;
      if (!createWithDirectory(world, `${directory}/${name}.conflist`, text)) throw duplicate(name);
      removeAbandoned(world, directory);
    };
    const wanted = { id, name, driver: options.driver, given, ipv6: options.ipv6 };
    if (remote.driver || remote.ipam) {
      await makeOnPlugins({ world, state, id }, { networks, wanted, options, remote }, write);
    } else {
      const ipam = withoutGateways(await completeIpam(world, networks, wanted), given, main);
      write(ipam, localIpam(ipam, driver!, options));
      // Of a network that is new no container can have an address (drivers/ipam/living.ts).
      if (isRoot(world) && ipam.length > 0) world.makeDirectory(`${state}/networks/${name}`, 0o755);
    }
    const note = await clashes(world, options.driver, given);
    return { id, name, ...(note === undefined ? {} : { note }) };
  } finally {
    unlock();
  }
}

/** Makes a configuration, which takes no addresses and has no driver. */
async function createConfiguration(
  world: World,
  state: string,
  name: string,
  options: NetworkOptions,
): Promise<Created> {
  asTyped(() => refuseInConfiguration(options));
  const { labels, options: own, ipv6, ipamDriver, ipamOptions } = options;
  const [id, ipam] = [newId(), asTyped(() => readIpam(options))];
  const stored = {
    id,
    created: new Date(world.now()).toISOString(),
    labels,
    options: own,
    ipam,
    ipv6,
    ipamDriver,
    ipamOptions,
  };
  const unlock = await lockNetworks(world, state, "make");
  try {
    refuseTwice(await allNetworks(world, [], name), name);
    const text = `${JSON.stringify({ ocinet: stored }, null, 2)}\n`;
    if (!createWithDirectory(world, configurationFile(world, name), text)) throw duplicate(name);
    return { id, name };
  } finally {
    unlock();
  }
}

/** @throws Error for a name that no new network can have on this host */
export async function checkNewName(world: World, name: string): Promise<void> {
  asTyped(() => checkName(name));
  refuseTwice(await allNetworks(world, [], name), name);
}

function refuseTwice(networks: readonly Network[], name: string): void {
  if (networks.some((network) => network.name === name)) throw duplicate(name);
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
    `could not find a network driver ${JSON.stringify(driver)}; there are: ${
      drivers.join(", ")
    }; ${noPlugin}`,
  );
}

function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** @throws Error where the bridge's name is another kind of link's */
async function refuseOtherLink(world: World, { bridge }: Readonly<Record<string, unknown>>): Promise<void> {
  if (typeof bridge !== "string" || !linkExists(world, bridge)) return;
  const found = await askLinks(world, { links: [bridge], reached: [], macs: [] });
  if (found.links.get(bridge)?.kind !== "bridge") {
    throw new Error(`existing interface ${bridge} is not a bridge`);
  }
}

/** The bridge has no address of a family that is isolated, and takes none from containers. */
function withoutGateways(
  ipam: readonly IpamConfig[],
  given: readonly IpamConfig[],
  main: Readonly<Record<string, unknown>>,
): readonly IpamConfig[] {
  const isIsolated = hasMode(parseModes(fields(main)), "isolated");
  return ipam.map((config) => {
    const { Gateway: _, ...rest } = config;
    const isNamed = given.some(({ Subnet, Gateway }) => Subnet === config.Subnet && Gateway !== undefined);
    return isIsolated({ address: config.Subnet }) && !isNamed ? rest : config;
  });
}

function localIpam(ipam: readonly IpamConfig[], driver: Driver, options: NetworkOptions): unknown {
  return {
    ...{ type: "host-local", ranges: ipam.map(localRanges), routes: routesOf(ipam, driver, options) },
    ...(ipam.some(({ IPRange }) => IPRange)
      ? { requestable: ipam.map(({ IPRange: _, ...config }) => localRanges(config)) }
      : {}),
  };
}

/** The text of the file of a network. @param ipamConf its `ipam`, if it has one */
function fileOf(
  name: string,
  main: Readonly<Record<string, unknown>>,
  wanted: NetworkOptions & Required<Pick<Stored, "id" | "created" | "driver" | "ipam">>,
  ipamConf: unknown,
): string {
  const { id, created, driver, ipam, internal, attachable, labels, options } = wanted;
  const { ipamDriver, ipamOptions } = wanted;
  const stored: Stored = {
    ...{ id, created, driver, internal, attachable, labels, options, ipam },
    ipv6: ipam.some(({ Subnet }) => Subnet.includes(":")),
    ...(ownIpam.includes(ipamDriver) ? {} : { ipamDriver, ipamOptions }),
    configFrom: wanted.configFrom,
  };
  const { gatewayModes } = main;
  const modes = gatewayModes ? { gatewayModes } : {};
  const plugins = [
    { ...main, ...(ipamConf === undefined ? {} : { ipam: ipamConf }) },
    ...(isRouted(driver) && !internal
      ? [{ type: "portmap", capabilities: { portMappings: true }, ...modes }]
      : []),
    // Hosts reach all ports by the containers' addresses, containers of other networks do not.
    ...(Object.values(gatewayModes ?? {}).includes("nat-unprotected")
      ? [{ type: "firewall", ingressPolicy: "same-bridge", ...modes }]
      : []),
  ];
  return `${JSON.stringify({ cniVersion: "1.0.0", name, ocinet: stored, plugins }, null, 2)}\n`;
}

/** A subnet that was asked for is given, and what it takes from the host is said. */
async function clashes(
  world: World,
  driver: string,
  given: readonly IpamConfig[],
): Promise<string | undefined> {
  if (!isRouted(driver)) return undefined;
  for (const { Subnet } of given) {
    const reason = await reachedBy(world, Subnet);
    if (reason !== undefined) {
      return `the host reaches addresses of ${Subnet} by ${reason}; once a container is on the network, it may not any more`;
    }
  }
  return undefined;
}
