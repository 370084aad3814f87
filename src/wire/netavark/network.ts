import { contains, networkOf, parseAddress, parseCidr } from "../../net/address.ts";
import { identifierProblem } from "../../net/names.ts";
import { type Fields, fields } from "../cni/fields.ts";

/** The fields of podman's network that a plugin needs. */
export interface PodmanNetwork {
  readonly name: string;
  readonly id: string;
  readonly networkInterface?: string;
  readonly internal: boolean;
  readonly ipv6: boolean;
  readonly subnets: readonly PodmanSubnet[];
  readonly routes: readonly PodmanRoute[];
  readonly options: Readonly<Record<string, string>>;
  /** host-local, dhcp or none. Absent if podman leaves the choice to the plugin. */
  readonly ipamDriver?: string;
  readonly dnsServers: readonly string[];
}

export interface PodmanSubnet {
  readonly subnet: string;
  readonly gateway?: string;
}

export interface PodmanRoute {
  readonly dst: string;
  readonly gw: string;
  readonly priority?: number;
}

/** Reads a network. @throws Error naming the invalid field */
export function parsePodmanNetwork(network: Fields): PodmanNetwork {
  const [name, id] = ["name", "id"].map((key) => readIdentifier(network, key, "network"));
  const networkInterface = network.string("network_interface");
  const ipam = textsOf(network, "ipam_options");
  return {
    name: name!,
    id: id!,
    ...(networkInterface === undefined ? {} : { networkInterface }),
    internal: network.boolean("internal") ?? false,
    ipv6: network.boolean("ipv6_enabled") ?? false,
    subnets: (network.objects("subnets") ?? []).map(parseSubnet),
    routes: (network.objects("routes") ?? []).map(parseRoute),
    options: textsOf(network, "options"),
    ...(ipam["driver"] ? { ipamDriver: ipam["driver"] } : {}),
    dnsServers: (network.strings("network_dns_servers") ?? []).map((text) =>
      readAddress("name server", text)
    ),
  };
}

/** Reads an identifier that is also used in paths. @throws Error if it is missing or invalid */
export function readIdentifier(from: Fields, key: string, of: string): string {
  const text = from.string(key) ?? "";
  const problem = identifierProblem(text);
  if (problem) throw new Error(`Cannot use ${key} ${JSON.stringify(text)} of the ${of}: ${problem}`);
  return text;
}

/** Reads an IP address. @throws Error for other text */
export function readAddress(what: string, text: string): string {
  const address = parseAddress(text);
  if (address === undefined) {
    throw new Error(`Cannot use ${what} ${JSON.stringify(text)}: it is not an IP address`);
  }
  return address;
}

function readCidr(what: string, text: string): string {
  const parsed = parseCidr(text);
  if (!parsed) throw new Error(`Cannot use ${what} ${JSON.stringify(text)}: it is not ADDRESS/LENGTH`);
  return networkOf(`${parsed.address}/${parsed.length}`);
}

function parseSubnet(entry: Fields): PodmanSubnet {
  const subnet = readCidr("subnet", entry.string("subnet") ?? "");
  const text = entry.string("gateway");
  if (text === undefined) return { subnet };
  const gateway = readAddress("gateway", text);
  if (!contains(subnet, gateway)) {
    throw new Error(`Cannot use gateway ${gateway}: it is not in subnet ${subnet}`);
  }
  return { subnet, gateway };
}

function parseRoute(entry: Fields): PodmanRoute {
  const kind = entry.string("route_type") ?? "unicast";
  if (kind !== "unicast") {
    throw new Error(`Cannot make a route of type ${JSON.stringify(kind)}: only unicast routes are supported`);
  }
  const priority = entry.integer("metric", { min: 0, max: 2 ** 32 - 1 });
  return {
    dst: readCidr("route destination", entry.string("destination") ?? ""),
    gw: readAddress("route gateway", entry.string("gateway") ?? ""),
    ...(priority === undefined ? {} : { priority }),
  };
}

/** Reads an object of strings. @throws Error if a value is not a string */
export function textsOf(from: Fields, key: string): Readonly<Record<string, string>> {
  if (!from.has(key)) return {};
  from.object(key);
  const entries = Object.entries(from.raw(key) as Record<string, unknown>);
  return Object.fromEntries(entries.map(([name, value]) => {
    if (typeof value === "string" && !value.includes("\0")) return [name, value];
    throw new Error(`Cannot use ${key} ${JSON.stringify(name)}: it is not a text`);
  }));
}

/** Reads the network in a `create` request; `given` is the object unchanged. */
export function parseCreate(json: unknown): {
  readonly network: PodmanNetwork;
  readonly given: Readonly<Record<string, unknown>>;
} {
  return {
    network: parsePodmanNetwork(fields(json, "network")),
    given: json as Record<string, unknown>,
  };
}
