/** What a network driver or an IPAM driver is asked by Docker's protocol, and how its answers are read. */
import { addressOf, contains, lengthOf, networkOf, parseAddress, parseCidr } from "../../net/address.ts";
import { linkNameProblem, parseMac } from "../../net/names.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { Fields } from "../cni/fields.ts";
import type { Route } from "../cni/result.ts";

/** A subnet of a network, as its driver is told of it. */
export interface PoolData {
  readonly AddressSpace: string;
  readonly Pool: string;
  /** With the prefix length. */
  readonly Gateway?: string;
  readonly AuxAddresses?: Readonly<Record<string, string>>;
}

/** The interface of an endpoint; what is absent may be chosen by the driver. */
export interface EndpointInterface {
  readonly addresses: readonly string[];
  readonly mac?: string;
}

/** The body of CreateEndpoint's `Interface`. */
export function writeInterface({ addresses, mac }: EndpointInterface): Readonly<Record<string, string>> {
  const of = (six: boolean) => addresses.find((address) => address.includes(":") === six) ?? "";
  return { Address: of(false), AddressIPv6: of(true), MacAddress: mac ?? "" };
}

/**
 * What the driver chose for an endpoint.
 * @throws Error if it changes what was given, as Docker does
 */
export function parseInterface(answer: Fields, given: EndpointInterface): EndpointInterface {
  const chosen = answer.object("Interface");
  const words = ["Address", "AddressIPv6", "MacAddress"] as const;
  const old = writeInterface(given);
  for (const word of words) {
    const text = chosen?.string(word);
    if (text !== undefined && old[word] !== "" && text.toLowerCase() !== old[word]!.toLowerCase()) {
      throw new Error(`driver modified interface: ${word} ${old[word]} became ${JSON.stringify(text)}`);
    }
  }
  const added = (["Address", "AddressIPv6"] as const).flatMap((word) => {
    const text = old[word] === "" ? chosen?.string(word) : undefined;
    return text === undefined ? [] : [readCidr(word, text)];
  });
  const mac = given.mac ?? readMac(chosen?.string("MacAddress"));
  return { addresses: [...given.addresses, ...added], ...(mac === undefined ? {} : { mac }) };
}

function readMac(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const mac = parseMac(text);
  if (mac === undefined) throw unusable("MacAddress", text, "it is not a MAC address");
  return mac;
}

/** What a driver says of an endpoint that is to be joined to a container. */
export interface Joined {
  /** The link, which is in the host's namespace until it is moved. */
  readonly link: string;
  readonly gateways: readonly string[];
  readonly routes: readonly Route[];
}

/** Link scope, by its number in the kernel: a route without a next hop. */
const linkScope = 253;

/** Reads the answer to Join. @throws Error for what cannot be used */
export function parseJoined(answer: Fields): Joined {
  const name = answer.object("InterfaceName");
  const link = name?.string("SrcName") ?? "";
  const problem = linkNameProblem(link);
  if (problem) throw unusable("InterfaceName.SrcName", link, problem);
  const gateways = ["Gateway", "GatewayIPv6"].flatMap((key) => {
    const text = answer.string(key);
    return text === undefined ? [] : [readAddress(key, text)];
  });
  const routes = (answer.objects("StaticRoutes") ?? []).map((route): Route => {
    const dst = networkOf(readCidr("Destination", route.string("Destination") ?? ""));
    const isConnected = (route.integer("RouteType") ?? 0) === 1;
    return isConnected
      ? { dst, scope: linkScope }
      : { dst, gw: readAddress("NextHop", route.string("NextHop") ?? "") };
  });
  return { link, gateways, routes };
}

/** Addresses come with a prefix length from some drivers. */
function readAddress(key: string, text: string): string {
  const address = parseCidr(text)?.address ?? parseAddress(text);
  if (address === undefined) throw unusable(key, text, "it is not an IP address");
  return address;
}

function readCidr(key: string, text: string): string {
  const parsed = parseCidr(text);
  if (!parsed) throw unusable(key, text, "it is not ADDRESS/LENGTH");
  return `${parsed.address}/${parsed.length}`;
}

function unusable(key: string, text: string, reason: string): Error {
  return new Error(`Cannot use ${key} ${JSON.stringify(text)} of the plugin: ${reason}`);
}

/** A subnet that an IPAM driver gives. */
export interface Pool {
  readonly id: string;
  readonly subnet: string;
  /** The driver names the gateway itself. */
  readonly gateway?: string;
}

/** Reads the answer to RequestPool. @throws Error for what is no pool */
export function parsePool(answer: Fields): Pool {
  const [id, subnet] = [answer.string("PoolID"), networkOf(readCidr("Pool", answer.string("Pool") ?? ""))];
  if (id === undefined) throw new Error("Cannot use the pool of the plugin: it has no PoolID");
  const gateway = answer.object("Data")?.string("com.docker.network.gateway");
  return { id, subnet, ...(gateway === undefined ? {} : { gateway: readAddress("gateway", gateway) }) };
}

/** Reads the answer to RequestAddress: an address with the prefix length of its subnet. @throws Error for another */
export function parseLeased(answer: Fields, subnet: string): string {
  const text = answer.string("Address");
  if (text === undefined) throw new Error("no address returned");
  const address = readCidr("Address", text);
  if (contains(subnet, addressOf(address))) return `${addressOf(address)}/${lengthOf(subnet)}`;
  throw unusable("Address", text, `it is not in ${subnet}`);
}

const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const;

/** Published ports, as an endpoint's options have them. */
export function writePorts(ports: readonly PortMapping[]): Readonly<Record<string, unknown>> {
  if (ports.length === 0) return {};
  return {
    "com.docker.network.endpoint.exposedports": ports.map(({ protocol, port }) => ({
      Proto: protocolNumbers[protocol],
      Port: port,
    })),
    "com.docker.network.portmap": ports.map(({ protocol, port, hostIp, family, hostPort }) => ({
      ...{ Proto: protocolNumbers[protocol], IP: "", Port: port },
      ...{ HostIP: hostIp ?? (family === 6 ? "::" : family === 4 ? "0.0.0.0" : "") },
      ...{ HostPort: hostPort, HostPortEnd: hostPort },
    })),
  };
}
