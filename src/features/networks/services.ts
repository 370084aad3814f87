/** Services: names that several containers of an overlay network share, and ports that lead to any of them. */
import { addressOf, family, hostLength, networkOf, parseCidr } from "../../net/address.ts";
import { identifierProblem, vethFrom } from "../../net/names.ts";
import { parsePublish, type Protocol } from "../../net/port_mapping.ts";
import type { Attached, ContainerRecord } from "../../engine/record.ts";
import { addRule } from "../../drivers/meta/sbr.ts";
import { route, setLink } from "../../plan/ip.ts";
import { type Claim, claim, type Step } from "../../plan/step.ts";
import type { OptionValues } from "../../wire/oci/options.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { idsOf } from "../../wire/dns/zone.ts";
import { drainedDirectory, isHostName } from "./names.ts";
import type { ChosenNetwork } from "./networks.ts";

/** A port of every host of the cluster that leads to a port of the service's members. */
export interface MeshPort {
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly port: number;
  /** Only for connections to hosts' addresses in this subnet. */
  readonly on?: string;
}

/** What a container is a member of. */
export interface Service {
  readonly name: string;
  readonly ports: readonly MeshPort[];
  /** A client is led to the same member each time, as long as the members stay. */
  readonly affinity: boolean;
}

/** The most ports of a service. */
const mostPorts = 100;
/** Numbers of members' routing tables begin here. */
const firstTable = 0x10000;

/** What a container is to be a member of. @throws Error naming the option and the reason */
export function parseService(given: OptionValues): Service {
  const name = given.get("service")?.at(-1);
  const ports = (given.get("publish-mesh") ?? []).flatMap((value) => value.split(",")).flatMap(meshPorts);
  const affinity = given.get("affinity")?.at(-1) ?? "none";
  if (name === undefined) {
    throw new Error(
      "Cannot use --publish-mesh or --affinity without --service: they are of a service's members",
    );
  }
  if (!isHostName(name) || identifierProblem(name) !== undefined) {
    throw new Error(
      `Cannot use --service ${
        JSON.stringify(name)
      }: it is not one of up to 200 letters, digits, "_", "-" and "."`,
    );
  }
  if (!["none", "client"].includes(affinity)) {
    throw new Error(`Cannot use --affinity ${JSON.stringify(affinity)}: it is neither "client" nor "none"`);
  }
  if (ports.length > mostPorts) {
    throw new Error(`Cannot publish more than ${mostPorts} ports of service "${name}"`);
  }
  const twice = ports.find(({ protocol, hostPort, on }, i) =>
    ports.findIndex((one) => one.protocol === protocol && one.hostPort === hostPort && one.on === on) < i
  );
  if (twice) {
    throw new Error(`Cannot publish port ${twice.hostPort}/${twice.protocol} of service "${name}" twice`);
  }
  return { name, ports, affinity: affinity === "client" };
}

function meshPorts(text: string): readonly MeshPort[] {
  const refused = (reason: string) => new Error(`Cannot publish "${text}" on every host: ${reason}`);
  // A subnet may stand where `--publish` has an address.
  const [, start, length, rest] = /^([^/]+)\/(\d+)(\]?:.*)/.exec(text) ?? [];
  return parsePublish(start ? start + rest : text).map(({ protocol, hostIp, family, hostPort, port }) => {
    if (family === undefined) return { protocol, hostPort, port };
    const address = hostIp ?? (family === 4 ? "0.0.0.0" : "::");
    const on = `${address}/${length ?? (hostIp ? hostLength(hostIp) : 0)}`;
    if (!parseCidr(on)) throw refused(`"${on}" is no subnet`);
    if (/^(127\.|::1\/)/.test(on)) throw refused("no host leads on what is sent to its loopback addresses");
    return { protocol, hostPort, port, on: networkOf(on) };
  });
}

function isOverlay({ plugins }: Pick<NetworkList, "plugins">): boolean {
  return plugins[0]?.type === "overlay";
}

/**
 * The container's networks, with the service's name as one of its own on those over several hosts.
 * @throws Error when it is on no overlay network
 */
export function withService(
  id: string,
  networks: readonly ChosenNetwork[],
  { name }: Service,
): readonly ChosenNetwork[] {
  if (!networks.some(({ list }) => isOverlay(list))) {
    throw new Error(
      `Cannot make container "${id}" a member of service "${name}": there is no overlay network among ` +
        `"${
          networks.map(({ list }) => list.name).join(", ")
        }"; make one with "ocinet network create -d overlay"`,
    );
  }
  return networks.map((one) => isOverlay(one.list) ? { ...one, aliases: [...one.aliases ?? [], name] } : one);
}

/** Where the members of services on a network are. */
export function servicesDirectory(state: string, network: string): string {
  return `${state}/services/${network}`;
}

/** That a container's interface is a member of a service, and what drains it, in the file that is there meanwhile. */
export interface Membership {
  readonly service: string;
  readonly isDrained: boolean;
  readonly drain: Claim;
}

/** By what is recorded of the container; undefined if the interface is no member. */
export function membership(
  { id, hostname, steps }: Pick<ContainerRecord, "id" | "hostname" | "steps">,
  { network: { name }, ifname, aliases = [] }: Attached,
): Membership | undefined {
  const paths = steps.flatMap((step) => step.tool === "claim" ? step : []);
  const at = `/services/${name}/${id} ${ifname}`;
  const member = paths.find(({ path }) => path.endsWith(at));
  if (member === undefined) return undefined;
  const { service } = JSON.parse(member.owner) as { readonly service: string };
  const state = member.path.slice(0, -at.length);
  // A name that is its own too still leads to it.
  const own = [...idsOf(id), hostname, ...aliases.toSpliced(aliases.lastIndexOf(service), 1)];
  const drain = claim(
    `${drainedDirectory(state, name)}/${id} ${ifname}`,
    own.includes(service) ? "-" : service,
  );
  return { service, drain, isDrained: paths.some(({ path }) => path === drain.path) };
}

/**
 * What makes a container a member: a file for each of its interfaces on overlay networks, which the agent reads. Where
 * br_netfilter shows nat what is bridged, one that asks the port and is led to itself is reached by its own port.
 */
export function serviceSteps(
  state: string,
  id: string,
  attachments: readonly Pick<Attached, "network" | "ifname" | "digest" | "result">[],
  { name, ports, affinity }: Service,
): readonly Step[] {
  return attachments.filter(({ network }) => isOverlay(network)).flatMap(
    ({ network, ifname, digest, result }) => {
      const addresses = (result?.ips ?? []).map(({ address }) => addressOf(address));
      // One that does not know subnets would open the port to all.
      const version = ports.some(({ on }) => on) ? { version: 2 } : {};
      const text = JSON.stringify({ ...version, service: name, addresses, ports, affinity });
      return [
        claim(`${servicesDirectory(state, network.name)}/${id} ${ifname}`, text),
        ...(ports.length > 0
          ? [
            setLink("host", vethFrom(digest), "type", "bridge_slave", "hairpin", "on"),
            ...answering({ ifname, digest, result }),
          ]
          : []),
      ];
    },
  );
}

/**
 * Clients are answered by the network that they asked by, whichever has the default route, or a route to them. By a link
 * between two, neighbours too are reached by the gateway.
 */
export function answering(
  { by, ifname, digest, result }: Pick<Attached, "ifname" | "digest" | "result"> & Partial<Attached>,
): readonly Step[] {
  const table = firstTable + parseInt(digest.slice(0, 4), 16);
  return (result?.ips ?? []).flatMap(({ address, gateway }) => {
    const everywhere = family(address) === 4 ? "0.0.0.0/0" : "::/0";
    const way = result!.routes.find(({ dst, table }) => dst === everywhere && table === undefined);
    const via = way && (way.gw ?? gateway);
    if (via === undefined) return [];
    const lead = (dst: string, attributes: readonly (readonly [string, string])[]) =>
      route("replace", "container", { dst, dev: ifname, table, attributes });
    const near = by === "ptp" ? [] : [lead(networkOf(address), [])];
    return [...near, lead(everywhere, [["via", via]]), ...addRule(address, table)];
  });
}
