import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import type { NetworkList, PluginConf } from "../../wire/cni/network_list.ts";
import { type Ip, type Result, versions } from "../../wire/cni/result.ts";
import { addressOf, family } from "../../net/address.ts";
import { digest, vethFrom } from "../../net/names.ts";
import { expanded, type PortMapping } from "../../net/port_mapping.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { believe, contain, masquerade, masqueradeInbound } from "../../plan/nft/endpoint.ts";
import { setSysctl, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import * as bridge from "../../drivers/main/bridge.ts";
import { endpointOf } from "../../drivers/main/endpoint.ts";
import { type GatewayModes, parseModes, portsOfHost } from "../../drivers/main/gateway_modes.ts";
import { apartOf } from "../../drivers/table.ts";
import * as portmap from "../../drivers/meta/portmap.ts";
import { attachmentOf } from "../../engine/attachment.ts";
import { parseChain, together } from "../../engine/chain.ts";
import { withoutDelegating } from "../../engine/delegation.ts";
import {
  externalSteps,
  hasExternal,
  keepingLeases,
  pluginPath,
  publishesPorts,
} from "../cni_runtime/external_network.ts";
import { observe } from "../../engine/observe.ts";
import type { Attached } from "../../engine/record.ts";
import { checkAliases, checkNames } from "../networks/names.ts";
import type { ChosenNetwork, NetDirectory } from "../networks/networks.ts";
import { answering } from "../networks/services.ts";
import { refuseTakenMac } from "../networks/taken.ts";
import { withFreeSubnets } from "../networks/subnets.ts";
import { noAddress, tellApart, tellClosed, unknownVersion } from "./link_problems.ts";
import type { Request } from "./request.ts";
import { withWantedArgs } from "./wanted_args.ts";

/** One of a container's interfaces, with the configuration of its network read. */
export interface PlannedLink {
  readonly attached: Attached;
  readonly at: Attachment;
  /** The network's file, unless it is a built-in one. */
  readonly file?: string;
}

/** Where networks come from, and who makes them. */
export interface Source {
  readonly state: string;
  readonly root: boolean;
  readonly directories: readonly NetDirectory[];
  /** The MTU of the host's way out, if it has one. */
  readonly pathMtu?: number | undefined;
}

/** What a link has that no MTU is named for; and the least that IPv6 works with. */
const [usualMtu, leastMtu] = [1500, 1280];

/** Reads the configuration of a network for a container. @throws Error for what cannot be used */
export function plannedLink(
  world: World,
  source: Source,
  network: ChosenNetwork,
  request: Pick<Request, "id" | "container">,
): Promise<PlannedLink> {
  return naming(network.list.name, network.path, async () => ({
    ...await planLink(world, source, network, request),
    ...(network.path === undefined ? {} : { file: network.path }),
  }));
}

/** Has a refusal of a plugin's name the network that it is of, and its file. */
export async function naming<T>(
  network: string,
  file: string | undefined,
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof CniError) || error.message.includes(`network "${network}"`)) throw error;
    const where = `network "${network}"${file === undefined ? "" : ` (${file})`}`;
    throw new CniError(error.code, `Cannot use ${where}: ${error.message}`, error.details);
  }
}

async function planLink(
  world: World,
  { state, root, directories, pathMtu = usualMtu }: Source,
  network: ChosenNetwork,
  { id, container }: Pick<Request, "id" | "container">,
): Promise<PlannedLink> {
  const { ifname, args, builtIn, aliases } = network;
  if (aliases) checkAliases(network.list, aliases);
  if (network.list.names) checkNames(network.list, network.list.names);
  if (!(versions as readonly string[]).includes(network.list.cniVersion)) throw unknownVersion(network.list);
  const dataDir = `${state}/networks`;
  const given = root && builtIn
    ? await withFreeSubnets(world, network.list, { network: builtIn, directory: `${dataDir}/${builtIn}` })
    : withoutDelegating(world, network.list);
  const list = root ? withPathMtu(given, pathMtu) : given;
  const [own, shared] = await Promise.all([digest(id, list.name, ifname), digest(list.name)]);
  const by = root ? list.plugins[0]!.type : "uplink";
  const attached = {
    ...{ network: list, ifname, args, digest: own, networkDigest: shared, by },
    ...(aliases ? { aliases } : {}),
  };
  const at = attachmentOf(attached, id, container);
  if (root && hasExternal(world, list, directories)) {
    const kept = keepingLeases(world, list, { directories, dataDir });
    return { attached: { ...attached, network: kept, path: pluginPath(directories) }, at };
  }
  const wanted = args === "" ? list : withWantedArgs(list, args);
  if (!root) return { attached, at };
  if (at.args.has("MAC")) await refuseTakenMac(world, state, at);
  // What cannot be used is said before anything is done.
  parseChain(wanted.plugins, { dataDir });
  return { attached: { ...attached, network: keepingLeases(world, wanted, { directories, dataDir }) }, at };
}

/** What our types that lead to the world by the host's way out take for links whose configuration names no MTU. */
function withPathMtu(list: NetworkList, pathMtu: number): NetworkList {
  if (pathMtu === usualMtu) return list;
  const add = (plugin: PluginConf) =>
    ["bridge", "ptp"].includes(plugin.type) ? { ...plugin, pathMtu: Math.max(pathMtu, leastMtu) } : plugin;
  return { ...list, plugins: list.plugins.map(add) };
}

/** The ports go to a plugin that is not ours and publishes them, where the network has one. */
export function givePorts(
  world: World,
  links: readonly PlannedLink[],
  { directories }: Source,
  published: readonly PortMapping[],
): readonly PlannedLink[] {
  const target = publishedThrough(links);
  return links.map((link, i) =>
    i === target && publishesPorts(world, link.attached.network, directories)
      ? { ...link, attached: { ...link.attached, published: expanded(published) } }
      : link
  );
}

/**
 * What a network takes beside what its plugins plan. What is ours to make is closed to other networks; of what other
 * programs made, a later default route is taken back.
 * @param earlier results of the networks before it
 */
export function stepsOf(
  world: World,
  { attached, at }: PlannedLink,
  result: Result,
  earlier: readonly Result[],
): readonly Step[] {
  if (attached.path) return externalSteps(world, { attached, at }, result, earlier);
  const endpoint = endpointOf(at, result);
  return endpoint ? contain(endpoint, result.ips) : [];
}

/**
 * By a veth, which is its own, a container may send with the addresses that it has on other networks: one default route
 * serves them all. So a link must not be strict about reverse paths.
 */
export function believeAll(links: readonly PlannedLink[], results: readonly Result[]): readonly Step[] {
  return links.flatMap(({ at }, i) => {
    const endpoint = endpointOf(at, results[i]!);
    // Networks may share a subnet, and give the same address.
    const known = new Set(results[i]!.ips.map(({ address }) => addressOf(address)));
    const isNew = ({ address }: Ip) => !known.has(addressOf(address)) && known.add(addressOf(address));
    const others = links.flatMap((link, j) => j === i ? [] : [{ link, ips: results[j]!.ips.filter(isNew) }]);
    if (!endpoint || others.length === 0) return [];
    const key = `net/ipv4/conf/${endpoint.link}/rp_filter`;
    const lax = setSysctl("host", key, "2", { onError: "ignore", undoBy: "gc" });
    if (endpoint.link !== vethFrom(at.digest)) return [lax];
    const believed = others.flatMap(({ link, ips }) => [
      ...[...believe(endpoint, ips), ...contain(endpoint, ips)],
      ...(has(link, "ipMasq") ? masquerade(endpoint, ips) : []),
    ]);
    return [lax, ...believed];
  });
}

/**
 * Ports lead to the first network that masquerades or is routed, or else to the last (rkt, portfwd.go) that the host is on,
 * or that is not closed.
 */
export function publishedThrough(links: readonly PlannedLink[]): number {
  const leads = links.findIndex((link) =>
    has(link, "ipMasq") || Object.values(modesOf(link)).includes("routed")
  );
  const [on, open] = [isOnHost, () => true].map((is) =>
    links.findLastIndex((link) => !isClosed(link) && is(link))
  );
  return [leads, on!, open!].find((index) => index >= 0) ?? links.length - 1;
}

/** A bridge has an end on the host, but the host may have no address on it. */
function isOnHost(link: Pick<PlannedLink, "attached">): boolean {
  const { by } = link.attached;
  return by === "bridge" ? has(link, "isGateway") || has(link, "ipMasq") : apartOf(by) === undefined;
}

/** Ports stay closed on an internal network, which rkt's restricted one is not. */
function isClosed(link: Pick<PlannedLink, "attached">): boolean {
  return has(link, "internal") && link.attached.network.name !== "default-restricted";
}

/** Those of the published ports that take ports of the host's. */
export function hostPorts(
  links: readonly PlannedLink[],
  ports: readonly PortMapping[],
): readonly PortMapping[] {
  return links.length > 0 ? portsOfHost(modesOf(links[publishedThrough(links)]!), ports) : ports;
}

function modesOf(link: Pick<PlannedLink, "attached">): GatewayModes {
  return parseModes(portmapOf(link));
}

function portmapOf({ attached }: Pick<PlannedLink, "attached">): Fields {
  return fields(attached.network.plugins.find(({ type }) => type === "portmap") ?? {});
}

/** The host's address that published ports have which name none, where a network says it. */
export function bindingOf(lists: readonly NetworkList[]): string | undefined {
  const said = lists.map(({ plugins }) => plugins[0]?.["hostBinding"]);
  return said.find((value) => typeof value === "string");
}

/** Whether a plugin of the network has an option. */
function has({ attached }: Pick<PlannedLink, "attached">, option: string): boolean {
  return attached.network.plugins.some((plugin) => plugin[option] === true);
}

/**
 * Publishes ports of a container that is on a network.
 * @param results those of all its networks
 * @param there the ports are published already
 * @throws Error for one that cannot be
 */
export async function publish(
  world: World,
  { attached, at }: PlannedLink,
  result: Result,
  ports: readonly PortMapping[],
  { results, there = false }: { readonly results: readonly Result[]; readonly there?: boolean },
): Promise<readonly Step[]> {
  if (ports.length === 0) return [];
  if (isClosed({ attached })) {
    if (!there) tellClosed(world, at.network);
    return [];
  }
  const missing = ports.find(({ family }) =>
    !result.ips.some(({ address }) => family === undefined || address.includes(":") === (family === 6))
  );
  if (missing) throw noAddress(at.network, missing);
  // A bridge that is not ours has ports of other names.
  const port = result.interfaces.some(({ name }) => name === vethFrom(at.digest));
  const isReflected = has({ attached }, "hairpinMode");
  const reflected = attached.by === "bridge" && port && !isReflected ? [bridge.reflect(at)] : [];
  const conf = { ...portmap.parse(portmapOf({ attached })), mappings: ports, held: false };
  const seen = await observe(world, together([portmap.lookups(conf, at, result)]), undefined);
  const endpoint = endpointOf(at, result, seen.reached);
  if (!there && !isOnHost({ attached })) await tellApart(world, attached, result, endpoint?.link);
  const lost = portmap.ledIps(conf, at, result).filter(({ address }) => !hasWayBack(results, address));
  const masked = endpoint && conf.masks === "needed"
    ? lost.map(({ address }) => masqueradeInbound(endpoint, address, true))
    : [];
  const plan = there ? portmap.forwardPorts : portmap.plan;
  // Of several networks, another may have a route to a client.
  const answers = results.length > 1 && endpoint ? answering({ ...attached, result }) : [];
  return distinct([...reflected, ...masked, ...answers, ...plan(conf, at, result, seen).steps]);
}

/** Ports that a session's uplink and its relay bring to one place lead on from there once. */
function distinct(steps: readonly Step[]): readonly Step[] {
  return [...new Map(steps.map((step) => [JSON.stringify(step), step])).values()];
}

/** Whether a container answers others than its neighbours: without a default route it can answer only the host. */
function hasWayBack(results: readonly Result[], address: string): boolean {
  const everywhere = family(address) === 4 ? "0.0.0.0/0" : "::/0";
  return results.some(({ routes }) => routes.some(({ dst }) => dst === everywhere));
}
