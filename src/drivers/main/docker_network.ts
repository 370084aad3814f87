import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type Dns, parseDns, type Result, type Route } from "../../wire/cni/result.ts";
import {
  type EndpointInterface,
  type Joined,
  parseInterface,
  parseJoined,
  writeInterface,
  writePorts,
} from "../../wire/cnm/client.ts";
import { family } from "../../net/address.ts";
import { parseHostIp, type PortMapping, type Protocol } from "../../net/port_mapping.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import { setLink } from "../../plan/ip.ts";
import type { Plan } from "../../plan/plan.ts";
import { call, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { activatePlugin, askPlugin, withRetries } from "../../plan/docker_plugins.ts";
import type { Lease, Lookups } from "../plugin.ts";
import { interimName, moveIn } from "./host_device.ts";
import { addressed, chooseMac, configure, parseWantedMac, resultOf, type WantedMac } from "./move_in.ts";

interface Conf {
  readonly plugin: string;
  /** The network's id, which the plugin knows. */
  readonly id: string;
  readonly internal: boolean;
  readonly wantedMac: WantedMac;
  /** Its IPAM driver was told of the MAC address that we choose. */
  readonly choosesMac: boolean;
  readonly ports: readonly PortMapping[];
  readonly dns: Dns;
}

/** It reads `MAC`. */
export const readsArgs = true;

/** The link is the plugin's, which removes it. */
export const keepsLink = true;

/** Reads the configuration, which `network create` has written. */
export function parse(conf: Fields): Conf {
  const [plugin, id] = [conf.string("plugin"), conf.string("id")];
  if (plugin === undefined || id === undefined || !/^[0-9a-f]{64}$/.test(id)) {
    throw new CniError("invalidConfig", 'Cannot use a network of a plugin: it needs "plugin" and "id"');
  }
  return {
    ...{ plugin, id, internal: conf.boolean("internal") ?? false, wantedMac: parseWantedMac(conf) },
    choosesMac: conf.object("ipam")?.boolean("needsMac") ?? false,
    ports: (conf.object("runtimeConfig")?.objects("portMappings") ?? []).map(readPort),
    dns: parseDns(conf.object("dns")),
  };
}

function readPort(entry: Fields): PortMapping {
  const [hostPort, port] = ["hostPort", "containerPort"].map((key) =>
    entry.integer(key, { min: 1, max: 65535 })
  );
  const address = entry.string("hostIP");
  const host = address === undefined ? {} : parseHostIp(address);
  const protocol = (entry.string("protocol") ?? "tcp").toLowerCase();
  if (hostPort === undefined || port === undefined || !host || !["tcp", "udp", "sctp"].includes(protocol)) {
    throw new CniError("invalidConfig", "Cannot publish a port: it has no numbers, protocol or address");
  }
  return { protocol: protocol as Protocol, hostPort, port, ...host };
}

/** Nothing is looked up before the plugin has answered. */
export function lookups(): Lookups {
  return {};
}

/** The plugin makes the link. */
export function link({ dns }: Conf, at: Attachment): Plan {
  return { steps: [], result: resultOf(at, undefined, dns) };
}

function nameOf({ id }: Conf, { digest }: Attachment): Readonly<Record<string, string>> {
  return { NetworkID: id, EndpointID: digest.slice(0, 64) };
}

/** Leave, then DeleteEndpoint. */
export function askSteps(conf: Conf, at: Attachment): readonly Step[] {
  const name = JSON.stringify(nameOf(conf, at));
  const key = `${at.containerId} ${at.ifname}`;
  return [
    call(conf.plugin, `endpoint ${key}`, { undo: `NetworkDriver.DeleteEndpoint ${name}` }),
    call(conf.plugin, `join ${key}`, { undo: `NetworkDriver.Leave ${name}` }),
  ];
}

/** Asks the plugin: CreateEndpoint, then Join. */
export async function ask(
  conf: Conf,
  at: Attachment,
  { ips }: Lease,
  world: World,
): Promise<ReadonlyMap<string, string>> {
  const { plugin, ports } = conf;
  await activatePlugin(world, plugin, "NetworkDriver", withRetries);
  const given = { addresses: ips.map(({ address }) => address), ...macOf(conf, at) };
  const name = nameOf(conf, at);
  const created = await askPlugin(world, plugin, "NetworkDriver.CreateEndpoint", {
    ...{ ...name, Interface: writeInterface(given), Options: writePorts(ports) },
  });
  const endpoint = parseInterface(created, given);
  const answer = await askPlugin(world, plugin, "NetworkDriver.Join", {
    ...{ ...name, SandboxKey: at.netns, Options: writePorts(ports) },
  });
  const said: Said = { endpoint, joined: parseJoined(answer) };
  return new Map([[keyOf(at), JSON.stringify(said)]]);
}

function macOf(conf: Conf, at: Attachment): Pick<EndpointInterface, "mac"> {
  const { own, runtime } = conf.wantedMac;
  const isWanted = own !== undefined || runtime !== undefined || Boolean(at.args.get("MAC")) ||
    conf.choosesMac;
  return isWanted ? { mac: chooseMac(conf.wantedMac, at) } : {};
}

/** What the plugin has answered. */
interface Said {
  readonly endpoint: EndpointInterface;
  readonly joined: Joined;
}

function keyOf({ digest }: Attachment): string {
  return `docker ${digest}`;
}

function saidOf(at: Attachment, answers: ReadonlyMap<string, string> | undefined): Said {
  const text = answers?.get(keyOf(at));
  if (text === undefined) throw new CniError("internal", "Cannot attach: the plugin has not been asked");
  return JSON.parse(text) as Said;
}

/** Looks up the link that the plugin named. */
export function answerLookups(_conf: Conf, at: Attachment, answers: ReadonlyMap<string, string>): Lookups {
  return { links: [saidOf(at, answers).joined.link] };
}

/** Moves the plugin's link into the container, with its addresses and the plugin's routes, and publishes ports. */
export function address(conf: Conf, at: Attachment, lease: Lease, made: Result, seen: HostState): Plan {
  const { endpoint, joined } = saidOf(at, seen.answers);
  const found = seen.links.get(joined.link);
  if (!found) {
    throw new CniError(
      "internal",
      `Cannot attach to network "${at.network}": plugin "${conf.plugin}" named link "${joined.link}", which is not there`,
    );
  }
  const mac = endpoint.mac ?? found.mac;
  const named = { ...made, interfaces: [{ ...made.interfaces[0]!, mac }] };
  const full = leaseOf(conf, lease, endpoint, joined);
  const names = [interimName(at), at.ifname];
  return {
    steps: [
      ...moveIn(found, at),
      ...(mac === found.mac ? [] : [setLink("container", at.ifname, "address", mac)]),
      ...(full.ips.length > 0
        ? configure(full, { made: named, bringUp: { layer3: true, late: true }, names })
        : [setLink("container", at.ifname, "up")]),
      ...publish(conf, at),
    ],
    result: addressed(named, full, conf.dns),
  };
}

function leaseOf({ internal }: Conf, lease: Lease, { addresses }: EndpointInterface, joined: Joined): Lease {
  const gateways = internal ? [] : joined.gateways;
  const defaults = gateways.map((gw): Route => ({ dst: gw.includes(":") ? "::/0" : "0.0.0.0/0", gw }));
  const ips = addresses.map((address) => {
    const gateway = gateways.find((gw) => family(gw) === family(address));
    return { address, ...(gateway === undefined ? {} : { gateway }) };
  });
  // A next hop needs the routes that lead to it.
  const [connected, others] = [true, false].map((is) =>
    joined.routes.filter(({ gw }) => (gw === undefined) === is)
  );
  return { ...lease, ips, routes: [...connected!, ...defaults, ...others!] };
}

function publish(conf: Conf, at: Attachment): readonly Step[] {
  if (conf.ports.length === 0) return [];
  const name = nameOf(conf, at);
  const words = { ...name, Options: writePorts(conf.ports) };
  return [
    call(conf.plugin, `ports ${at.containerId} ${at.ifname}`, {
      run: `NetworkDriver.ProgramExternalConnectivity ${JSON.stringify(words)}`,
      undo: `NetworkDriver.RevokeExternalConnectivity ${JSON.stringify(name)}`,
    }),
  ];
}

/** A call that has no record tells the plugin of the end all the same. */
export function unrecorded(at: Attachment, conf: Conf): readonly Step[] {
  return askSteps(conf, at);
}
