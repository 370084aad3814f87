import { contains, lengthOf } from "../../net/address.ts";
import { linkNameProblem, parseMac } from "../../net/names.ts";
import { parseHostIp, type PortMapping, type Protocol } from "../../net/port_mapping.ts";
import { type Fields, fields } from "../cni/fields.ts";
import type { Result } from "../cni/result.ts";
import { parsePodmanNetwork, type PodmanNetwork, readAddress, readIdentifier } from "./network.ts";

/** An interface of a container on a network. */
export interface Subject {
  readonly containerId: string;
  readonly network: string;
  readonly ifname: string;
}

/** The input of `setup` and `teardown`. */
export interface PodmanAttachment extends Subject {
  readonly on: PodmanNetwork;
  /** The addresses that podman chose, with the prefix lengths of their subnets. */
  readonly addresses: readonly string[];
  readonly mac?: string;
  readonly ports: readonly PortMapping[];
}

/** Reads what is needed to remove an interface. @throws Error naming the invalid field */
export function parseSubject(json: unknown): Subject {
  const request = fields(json, "request");
  const ifname = object(request, "network_options").string("interface_name") ?? "";
  const problem = linkNameProblem(ifname);
  if (problem) throw new Error(`Cannot use interface_name ${JSON.stringify(ifname)}: ${problem}`);
  return {
    containerId: readIdentifier(request, "container_id", "request"),
    network: readIdentifier(object(request, "network"), "name", "network"),
    ifname,
  };
}

/** Reads a request. @throws Error naming the invalid field */
export function parseAttachment(json: unknown): PodmanAttachment {
  const request = fields(json, "request");
  const options = object(request, "network_options");
  const on = parsePodmanNetwork(object(request, "network"));
  const mac = options.string("static_mac");
  if (mac !== undefined && parseMac(mac) === undefined) {
    throw new Error(`Cannot use static_mac ${JSON.stringify(mac)}: it is not a MAC address`);
  }
  return {
    ...parseSubject(json),
    on,
    addresses: (options.strings("static_ips") ?? []).map((text) => inSubnet(on, text)),
    ...(mac === undefined ? {} : { mac }),
    ports: (request.objects("port_mappings") ?? []).flatMap(parsePorts),
  };
}

function object(from: Fields, key: string): Fields {
  const found = from.object(key);
  if (!found) throw new Error(`Cannot read the request: it has no ${JSON.stringify(key)}`);
  return found;
}

function inSubnet({ name, subnets }: PodmanNetwork, text: string): string {
  const address = readAddress("static IP address", text);
  const found = subnets.find(({ subnet }) => contains(subnet, address));
  if (!found) throw new Error(`Cannot use static IP address ${address}: no subnet of network ${name} has it`);
  return `${address}/${lengthOf(found.subnet)}`;
}

const protocols: readonly string[] = ["tcp", "udp", "sctp"];

/** One entry stands for `range` ports, and for each protocol in its list. */
function parsePorts(entry: Fields): readonly PortMapping[] {
  const port = entry.integer("container_port", { min: 1, max: 65535 }) ?? 0;
  const hostPort = entry.integer("host_port", { min: 0, max: 65535 }) || port;
  const count = entry.integer("range", { min: 0, max: 65535 }) || 1;
  if (port === 0 || Math.max(port, hostPort) + count > 65536) {
    throw new Error(`Cannot publish ports ${hostPort}:${port} (${count}): they are not from 1 to 65535`);
  }
  const text = entry.string("host_ip");
  const host = text === undefined ? {} : parseHostIp(text);
  if (!host) throw new Error(`Cannot use host_ip ${JSON.stringify(text)}: it is not an IP address`);
  const names = (entry.string("protocol") ?? "tcp").toLowerCase().split(",");
  const unknown = names.find((name) => !protocols.includes(name));
  if (unknown !== undefined) {
    throw new Error(
      `Cannot publish a port of protocol ${JSON.stringify(unknown)}: it is neither tcp, udp nor sctp`,
    );
  }
  return names.flatMap((protocol) =>
    Array.from({ length: count }, (_, i) => ({
      ...{ protocol: protocol as Protocol, hostPort: hostPort + i, port: port + i, ...host },
    }))
  );
}

/** The answer to `setup`: the status block of one network. */
export function statusBlock({ ifname, on }: PodmanAttachment, result: Result): Record<string, unknown> {
  const { interfaces, ips, dns } = result;
  const mac = interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined)?.mac ?? "";
  const subnets = ips.map(({ address, gateway }) => ({
    ipnet: address,
    ...(gateway === undefined ? {} : { gateway }),
  }));
  return {
    dns_search_domains: dns.search ?? [],
    dns_server_ips: [...on.dnsServers, ...dns.nameservers ?? []],
    interfaces: { [ifname]: { mac_address: mac, subnets } },
  };
}
