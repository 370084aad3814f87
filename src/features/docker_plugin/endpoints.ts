import { digest } from "../../net/names.ts";
import { boundTo, type PortMapping } from "../../net/port_mapping.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { contain, keepApart, open } from "../../plan/nft/endpoint.ts";
import type { Step } from "../../plan/step.ts";
import { line, words } from "../../plan/step.ts";
import { emptyResult, type Ip, type Result } from "../../wire/cni/result.ts";
import { addressOf, contains } from "../../net/address.ts";
import type { DockerEndpoint, DockerNetwork, EndpointName } from "../../wire/cnm/network_driver.ts";
import type { PluginConf } from "../../wire/cni/network_list.ts";
import type { HostState } from "../../plan/host_state.ts";
import { reflect } from "../../drivers/main/bridge.ts";
import { endpointOf } from "../../drivers/main/endpoint.ts";
import { type GatewayModes, hasMode, parseModes, portsOfHost } from "../../drivers/main/gateway_modes.ts";
import { fields } from "../../wire/cni/fields.ts";
import { checkMtu, findMaster } from "../../drivers/main/master.ts";
import { lookupsOf, type Parsed, parsePlugin, planMeta } from "../../engine/chain.ts";
import { hasBootEnded } from "../../engine/namespace.ts";
import { linkExists } from "../../engine/links.ts";
import { observe } from "../../engine/observe.ts";
import {
  dockerPart,
  newRecord,
  type PluginRecord,
  readPlugin,
  type RecordKey,
  writeRecord,
} from "../../engine/record.ts";
import { reconcile } from "../../engine/reconcile.ts";
import { vethsOf } from "../../plan/ip.ts";
import { asCapability } from "../cni_runtime/external_network.ts";
import { mainOf, needNetwork } from "./networks.ts";
import type { DockerPlugin } from "./plugin.ts";

const here = { host: [], container: [] };

/** Docker moves the link from our own namespace. */
const ownNetns = "/proc/self/ns/net";

function keyOf({ network, endpoint }: EndpointName): RecordKey {
  return { id: endpoint, network, ifname: "docker", part: dockerPart };
}

/** The record of an endpoint. */
export function findEndpoint({ world, state }: DockerPlugin, name: EndpointName): PluginRecord | undefined {
  const found = readPlugin(world, state, keyOf(name));
  return found?.network === name.network ? found : undefined;
}

/** The record of an endpoint. @throws Error if there is none */
export function needEndpoint(plugin: DockerPlugin, name: EndpointName): PluginRecord {
  const found = findEndpoint(plugin, name);
  if (found) return found;
  throw new Error(`Cannot find endpoint ${name.endpoint.slice(0, 12)}: it was not created here`);
}

/**
 * Makes the link of an endpoint in the host's namespace, and its rules on the host.
 * @returns its MAC address, unless Docker chose it or the link has none of its own
 */
export async function createEndpoint(
  plugin: DockerPlugin,
  wanted: DockerEndpoint,
): Promise<string | undefined> {
  const { world, state } = plugin;
  const network = needNetwork(plugin, wanted.network);
  const at = await attachmentOf(wanted);
  const old = readPlugin(world, state, keyOf(wanted));
  if (old) await giveWay(plugin, old, wanted);
  const known = old && findEndpoint(plugin, wanted);
  const { steps, result } = known
    ? { steps: known.steps, result: known.result! }
    : await plan(plugin, network, at, wanted);
  if (!known) {
    const to = newRecord<PluginRecord>(world, {
      ...{ ...keyOf(wanted), container: { netns: "", identity: "" }, steps, result },
      request: { type: "docker", interim: at.ifname, wanted, own: steps.length },
    });
    await reconcile(plugin, [{ to }], here);
  }
  const mac = result.interfaces.find(({ sandbox }) => sandbox !== undefined)?.mac;
  return wanted.mac === undefined ? mac : undefined;
}

/**
 * Handles an existing endpoint. If its link is gone, it is removed and made again. An equal one stays.
 * @throws Error for a different one with that name
 */
async function giveWay(plugin: DockerPlugin, old: PluginRecord, wanted: DockerEndpoint): Promise<void> {
  const isSame = old.network === wanted.network &&
    JSON.stringify(old.request["wanted"]) === JSON.stringify(wanted);
  if (isLost(plugin, old)) return await reconcile(plugin, [{ from: old }], here);
  if (isSame) return;
  throw new Error(`Cannot create endpoint ${wanted.endpoint.slice(0, 12)}: there is another of its name`);
}

/** Whether its links ended with its container or boot. */
function isLost({ world }: DockerPlugin, record: PluginRecord): boolean {
  return hasBootEnded(world, record) || vethsOf(record.steps).some((link) => !linkExists(world, link));
}

async function attachmentOf({ network, endpoint }: EndpointName): Promise<Attachment> {
  const hash = await digest("docker", network, endpoint);
  return {
    ...{ containerId: endpoint, network, ifname: `dk${hash.slice(20, 32)}`, netns: ownNetns },
    ...{ digest: hash, networkDigest: await digest(network), args: new Map() },
  };
}

interface Planned {
  readonly steps: readonly Step[];
  readonly result: Result;
}

async function plan(
  { world }: DockerPlugin,
  network: DockerNetwork,
  at: Attachment,
  wanted: DockerEndpoint,
): Promise<Planned> {
  const main = mainOf(network);
  const cni = wanted.mac === undefined ? {} : { args: { cni: { mac: wanted.mac } } };
  const parsed = parsePlugin({ ...main, ...cni } as PluginConf, {}) as Parsed & { role: "main" };
  const seen = await observe(world, lookupsOf([{ chain: [parsed], at }]), undefined);
  const ips = wanted.addresses.map((address): Ip => {
    const gateway = network.subnets.find(({ subnet }) => contains(subnet, addressOf(address)))?.gateway;
    return { address, ...(gateway === undefined ? {} : { gateway }) };
  });
  if (main["type"] !== "bridge") return planOnMaster(main, seen, at, { ips, mac: wanted.mac });
  return planOnBridge(parsed, seen, at, { ips, modes: parseModes(fields(main)) });
}

/** The bridge driver's steps on the host. Docker does what is needed in the container. */
function planOnBridge(
  { plugin, conf }: Parsed & { role: "main" },
  seen: HostState,
  at: Attachment,
  { ips, modes }: { readonly ips: readonly Ip[]; readonly modes: GatewayModes },
): Planned {
  const link = plugin.link(conf, at, seen);
  const lease = { ips, routes: [], dns: {}, claims: [] };
  const addressed = ips.length === 0 ? link : plugin.address(conf, at, lease, link.result, seen);
  const endpoint = endpointOf(at, addressed.result)!;
  const all = addressed === link ? link.steps : [...link.steps, ...addressed.steps];
  const unprotected = ips.filter(hasMode(modes, "nat-unprotected"));
  return {
    steps: [
      ...all.filter(({ on }) => on === "host"),
      ...contain(endpoint, ips),
      ...open(endpoint, unprotected),
      ...keepApart(endpoint, unprotected, false),
    ],
    result: addressed.result,
  };
}

function planOnMaster(
  main: Readonly<Record<string, unknown>>,
  seen: HostState,
  { ifname }: Attachment,
  { ips, mac }: { readonly ips: readonly Ip[]; readonly mac: string | undefined },
): Planned {
  const { type, mode, mtu, master } = main as { type: string; mode?: string; mtu?: number; master?: string };
  const parent = findMaster({ ...(master === undefined ? {} : { master }), linkInContainer: false }, seen)!;
  checkMtu(mtu ?? 0, parent);
  if (mac !== undefined && (type === "ipvlan" || mode === "passthru")) {
    throw new Error(`Cannot give an interface of type ${type} a MAC address: it has that of its parent`);
  }
  const run = words`link add link ${parent.name} name ${ifname}` +
    (mac === undefined ? "" : words` address ${mac}`) +
    (mtu === undefined ? "" : words` mtu ${mtu}`) +
    words` type ${type} mode ${mode ?? (type === "ipvlan" ? "l2" : "bridge")}`;
  return {
    steps: [line("ip", "host", { kind: "link", link: ifname }, run, { undo: words`link del dev ${ifname}` })],
    result: { ...emptyResult, ips },
  };
}

/** Removes an endpoint. A missing endpoint is not an error. */
export async function deleteEndpoint(plugin: DockerPlugin, name: EndpointName): Promise<void> {
  const from = findEndpoint(plugin, name);
  if (from) await reconcile(plugin, [{ from }], here);
}

/** Records that an endpoint is in a container, or no longer. @returns the name of the link that Docker shall move */
export function note(plugin: DockerPlugin, name: EndpointName, sandbox: string | undefined): string {
  const record = needEndpoint(plugin, name);
  const { sandbox: _, ...rest } = record.request;
  const request = sandbox === undefined ? rest : { ...rest, sandbox };
  writeRecord(plugin.world, plugin.state, { ...record, request });
  return String(record.request["interim"]);
}

/** Publishes exactly these ports of an endpoint. @throws Error if another container has one */
export async function publish(
  plugin: DockerPlugin,
  name: EndpointName,
  asked: readonly PortMapping[],
): Promise<void> {
  const { world } = plugin;
  const from = needEndpoint(plugin, name);
  const own = from.steps.slice(0, Number(from.request["own"]));
  const bare = { ...from, steps: own };
  if (from.steps.length > own.length) await reconcile(plugin, [{ from, to: bare }], here);
  if (asked.length === 0) return void writeRecord(world, plugin.state, bare);
  const network = needNetwork(plugin, name.network);
  const { hostBinding, gatewayModes = {} } = mainOf(network);
  const ports = boundTo(hostBinding as string | undefined, asked);
  const taken = portsOfHost(parseModes(fields({ gatewayModes })), ports);
  for (const port of taken) await refuseTaken(plugin, port);
  const at = await attachmentOf(name);
  const made = from.result!;
  const conf = { type: "portmap", gatewayModes, runtimeConfig: { portMappings: ports.map(asCapability) } };
  const parsed = parsePlugin(conf, {}) as Parsed & { role: "meta" };
  if (made.interfaces.length === 0) {
    throw new Error("Cannot publish ports on a network of type macvlan or ipvlan: the host is not on it");
  }
  const seen = await observe(world, lookupsOf([{ chain: [parsed], at, made }]), undefined);
  const { steps } = planMeta(parsed, at, made, seen);
  const more = [...(taken.length > 0 ? [reflect(at)] : []), ...steps.filter(({ on }) => on === "host")];
  await reconcile(plugin, [{ from: bare, to: { ...bare, steps: [...own, ...more] } }], here);
}

/** Refuses ports on which a program listens. Docker binds no ports for a plugin's network. */
async function refuseTaken({ world }: DockerPlugin, port: PortMapping): Promise<void> {
  const address = port.hostIp ?? (port.family === 6 ? "::" : "0.0.0.0");
  if (port.protocol !== "tcp" || await world.canListen(address, port.hostPort)) return;
  throw new Error(`Bind for ${address}:${port.hostPort} failed: port is already allocated`);
}

/** Removes endpoints whose containers ended without a call from Docker: all of them, or those of one network. */
export async function sweepEndpoints(plugin: DockerPlugin, network?: string): Promise<void> {
  const { world, state } = plugin;
  for (const file of world.list(`${state}/docker`)) {
    const endpoint = /^([^.].*)\.json$/.exec(file)?.[1];
    if (endpoint === undefined) continue;
    const record = readPlugin(world, state, keyOf({ network: "", endpoint }));
    const isGoing = record && (network === undefined ? isLost(plugin, record) : record.network === network);
    if (isGoing) await reconcile(plugin, [{ from: record }], here);
  }
}
