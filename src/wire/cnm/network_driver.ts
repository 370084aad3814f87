import { contains, networkOf, parseAddress, parseCidr } from "../../net/address.ts";
import { identifierProblem, parseMac } from "../../net/names.ts";
import { parseHostIp, type PortMapping, type Protocol } from "../../net/port_mapping.ts";
import { type Fields, fields, parseJson } from "../cni/fields.ts";

/** A network that Docker creates. */
export interface DockerNetwork {
  readonly id: string;
  /** The options given with -o. */
  readonly options: Readonly<Record<string, string>>;
  readonly internal: boolean;
  readonly subnets: readonly DockerSubnet[];
}

export interface DockerSubnet {
  readonly subnet: string;
  readonly gateway?: string;
}

/** The ids of an endpoint and its network. */
export interface EndpointName {
  readonly network: string;
  readonly endpoint: string;
}

/** The settings of an endpoint. Docker's IPAM has chosen the addresses. */
export interface DockerEndpoint extends EndpointName {
  /** The addresses with the prefix lengths of their subnets. */
  readonly addresses: readonly string[];
  readonly mac?: string;
}

/** Parses a request's body. An empty body gives an empty object. */
export function bodyOf(text: string): Fields {
  return fields(text.trim() === "" ? {} : parseJson(text, "the request"), "the request");
}

/** Reads an id of Docker's, which becomes a file name. @throws Error if it cannot be one */
export function readId(body: Fields, key: string): string {
  const id = body.string(key) ?? "";
  const problem = identifierProblem(id) ?? (id.length > 64 ? "it is longer than 64 characters" : undefined);
  if (problem) throw new Error(`Cannot use ${key} ${JSON.stringify(id)}: ${problem}`);
  return id;
}

export function parseNetwork(body: Fields): DockerNetwork {
  const options = body.object("Options");
  const generic = options?.raw("com.docker.network.generic");
  return {
    id: readId(body, "NetworkID"),
    options: generic === undefined ? {} : readTexts(generic),
    internal: options?.boolean("com.docker.network.internal") ?? false,
    subnets: ["IPv4Data", "IPv6Data"].flatMap((key) => body.objects(key) ?? []).flatMap(parseSubnet),
  };
}

function readTexts(json: unknown): Readonly<Record<string, string>> {
  fields(json, "the options");
  const entries = Object.entries(json as Record<string, unknown>);
  const bad = entries.find(([, value]) => typeof value !== "string" || value.includes("\0"));
  if (bad) throw new Error(`Cannot use option ${JSON.stringify(bad[0])}: its value is not a text`);
  return Object.fromEntries(entries) as Record<string, string>;
}

/** The null IPAM driver gives the pools 0.0.0.0/0 and ::/0 and no addresses. They are left out. */
function parseSubnet(data: Fields): readonly DockerSubnet[] {
  const subnet = readSubnet("pool", data.string("Pool") ?? "");
  if (subnet === "0.0.0.0/0" || subnet === "::/0") return [];
  const text = data.string("Gateway");
  if (text === undefined) return [{ subnet }];
  const gateway = parseCidr(text)?.address;
  if (gateway === undefined || !contains(subnet, gateway)) {
    throw new Error(
      `Cannot use gateway ${JSON.stringify(text)}: it is no address of ${subnet} with its length`,
    );
  }
  return [{ subnet, gateway }];
}

/** Reads ADDRESS/LENGTH. @throws Error for other text */
export function readSubnet(what: string, text: string): string {
  const parsed = parseCidr(text);
  if (!parsed) throw new Error(`Cannot use ${what} ${JSON.stringify(text)}: it is not ADDRESS/LENGTH`);
  return networkOf(`${parsed.address}/${parsed.length}`);
}

export function parseName(body: Fields): EndpointName {
  return { network: readId(body, "NetworkID"), endpoint: readId(body, "EndpointID") };
}

export function parseEndpoint(body: Fields): DockerEndpoint {
  const given = body.object("Interface");
  const mac = given?.string("MacAddress");
  if (mac !== undefined && parseMac(mac) === undefined) {
    throw new Error(`Cannot use MacAddress ${JSON.stringify(mac)}: it is not a MAC address`);
  }
  const texts = ["Address", "AddressIPv6"].flatMap((key) => given?.string(key) ?? []);
  return {
    ...parseName(body),
    addresses: texts.map((text) => {
      const parsed = parseCidr(text);
      if (parsed) return `${parsed.address}/${parsed.length}`;
      throw new Error(`Cannot use address ${JSON.stringify(text)}: it is not ADDRESS/LENGTH`);
    }),
    ...(mac === undefined ? {} : { mac: parseMac(mac)! }),
  };
}

const protocols: Readonly<Record<number, Protocol>> = { 6: "tcp", 17: "udp", 132: "sctp" };

/** The ports to publish, from a request's options. */
export function parsePorts(body: Fields): readonly PortMapping[] {
  return (body.object("Options")?.objects("com.docker.network.portmap") ?? []).map((entry) => {
    const [port, hostPort] = ["Port", "HostPort"].map((key) =>
      entry.integer(key, { min: 0, max: 65535 }) ?? 0
    );
    const protocol = protocols[entry.integer("Proto") ?? 6];
    if (!port || protocol === undefined) {
      throw new Error("Cannot publish a port: it has no number or protocol");
    }
    if (!hostPort) {
      throw new Error(
        `Cannot publish port ${port}/${protocol} on a port that is chosen: name one, as in -p 8080:${port}`,
      );
    }
    const text = entry.string("HostIP");
    const host = text === undefined ? {} : parseHostIp(text);
    if (!host) throw new Error(`Cannot use HostIP ${JSON.stringify(text)}: it is not an IP address`);
    return { protocol, hostPort, port, ...host };
  });
}

/** The answer to Join. @param interim the link that Docker moves into the container */
export function joinAnswer(interim: string, { internal, subnets }: DockerNetwork): Record<string, unknown> {
  const gateway = (six: boolean) =>
    internal ? undefined : subnets.find(({ gateway }) => gateway?.includes(":") === six)?.gateway;
  return {
    InterfaceName: { SrcName: interim, DstPrefix: "eth" },
    ...(gateway(false) === undefined ? {} : { Gateway: gateway(false) }),
    ...(gateway(true) === undefined ? {} : { GatewayIPv6: gateway(true) }),
    // Without this, Docker adds an interface of its own for outgoing traffic.
    DisableGatewayService: true,
  };
}

/** Reads an address; a prefix length is dropped. @throws Error for other text */
export function readIp(key: string, text: string): string {
  const address = parseAddress(text.split("/")[0]!);
  if (address === undefined) {
    throw new Error(`Cannot use ${key} ${JSON.stringify(text)}: it is not an IP address`);
  }
  return address;
}
