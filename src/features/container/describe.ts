import { messageOf } from "../../wire/cni/error.ts";
import type { Result } from "../../wire/cni/result.ts";
import { showDestination } from "../../net/egress.ts";
import { expanded, type PortMapping, type Protocol, showMapping } from "../../net/port_mapping.ts";
import type { ProxyVersion } from "../../net/proxy_protocol.ts";
import { elementsIn } from "../../plan/nft/element.ts";
import type { World } from "../../plan/world.ts";
import { uplinkNamed } from "../../drivers/uplinks/table.ts";
import type { Uplink } from "../../drivers/uplinks/uplink.ts";
import { staleness } from "../../engine/namespace.ts";
import {
  type Attached,
  type ContainerRecord,
  damagedPlugin,
  pluginKeys,
  type PluginRecord,
  readContainer,
  readPlugin,
} from "../../engine/record.ts";
import { lostOnHost } from "../../engine/drift.ts";
import { askHost } from "../../engine/drift_views.ts";
import type { Answers } from "../../engine/links.ts";
import { ownNamespace } from "../../engine/process.ts";
import type { Limits } from "../../net/limits.ts";
import { membership } from "../networks/services.ts";
import { deadPrograms } from "./repair.ts";

/** `dead`: it has ended, and `gc` takes it. `partial`: something of it is missing, or cannot be told. */
export type State = "up" | "partial" | "dead";

/** A container as scripts see it. Its keys stay as they are: docs/usage.md. */
export interface Description {
  /** As its runtime or `ocinet up` has it. */
  readonly id: string;
  readonly created: string;
  readonly state: State;
  /** Why it is not up. */
  readonly reason?: string;
  readonly netns: string;
  readonly pid?: number;
  readonly networks: readonly DescribedNetwork[];
  readonly ports: readonly DescribedPort[];
  readonly limits?: DescribedLimits;
}

/** Where it may go, and how many bits a second may enter and leave each of its interfaces. */
export interface DescribedLimits {
  readonly egress?: readonly string[];
  readonly rateIn?: number;
  readonly rateOut?: number;
}

/** One of its interfaces. */
export interface DescribedNetwork {
  readonly name: string;
  readonly ifname: string;
  /** The plugin's type, or the uplink. */
  readonly by: string;
  readonly mac?: string;
  readonly ips: readonly string[];
  readonly gateways: readonly string[];
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[];
  readonly nameservers: readonly string[];
  /** The service of which it is a member that gets no new connections. */
  readonly drained?: string;
}

/** One of its published ports. */
export interface DescribedPort {
  /** As `--publish` has it. */
  readonly mapping: string;
  /** An address of the host's, `0.0.0.0` or `::` for all of a family, or empty for all there are. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly driver: string;
  /** Whether the container sees who connects from another host. */
  readonly keepsClientAddress: boolean;
  /** The one family that it is forwarded of, where the mapping means both. */
  readonly onlyFamily?: 4;
  /** The header by which it is told, if it does not see it. */
  readonly proxyProtocol?: ProxyVersion;
}

/** What is known of a container, from what is written down of it. */
export function describeContainer(
  world: World,
  record: ContainerRecord,
  plugins: readonly PluginRecord[] = [],
  answers: Seen = "",
): Description {
  const { id, created, container, attachments, ports, limits, steps } = record;
  const byPlugins = attachments.some(({ published }) => published !== undefined);
  const uplink = attachments.map(({ by }) => uplinkNamed(by)).find((found) => found !== undefined);
  const sets = new Set(elementsIn(steps).map(({ set }) => set));
  return {
    id: record.runtimeId ?? id,
    created,
    ...stateOf(staleness(world, record), () => disturbance(world, record, plugins, answers)),
    netns: container.netns,
    ...(container.init ? { pid: container.init.pid } : {}),
    networks: attachments.map((one) => {
      const { isDrained, service } = membership(record, one) ?? {};
      return { ...describeNetwork(one), ...(isDrained ? { drained: service } : {}) };
    }),
    ports: ports.flatMap((port) => {
      const by = port.uplink === undefined ? uplink : uplinkNamed(port.uplink);
      const described = port.relay || by ? describeForward(port, by) : describeRule(port, byPlugins, sets);
      return expanded([port]).map((one) => ({ ...described, ...describeMapping(one) }));
    }),
    ...(limits && Object.keys(limits).length > 0 ? { limits: describeLimits(limits) } : {}),
  };
}

function stateOf(
  stale: string | undefined,
  disturbed: () => string | undefined,
): Pick<Description, "state" | "reason"> {
  if (stale !== undefined) return { state: "dead", reason: stale };
  const reason = disturbed();
  return reason === undefined ? { state: "up" } : { state: "partial", reason };
}

function describeMapping(port: PortMapping) {
  const { hostIp, family, hostPort, port: containerPort, protocol } = port;
  const anywhere = family === 4 ? "0.0.0.0" : family === 6 ? "::" : "";
  return {
    ...{ mapping: showMapping(port), hostIp: hostIp ?? anywhere, hostPort, containerPort, protocol },
  };
}

/** Either the relay or an uplink forwards it. */
function describeForward(port: PortMapping, uplink: Uplink | undefined): DescribedPort {
  const mapping = describeMapping(port);
  if (port.relay) return { ...mapping, driver: "relay", keepsClientAddress: false, ...port.relay };
  const { name: driver, keepsClientAddress, publishes } = uplink!;
  const isPart = publishes !== undefined && port.family === undefined;
  return { ...mapping, driver, keepsClientAddress, ...(isPart ? { onlyFamily: publishes } : {}) };
}

function describeRule(port: PortMapping, byPlugins: boolean, sets: ReadonlySet<string>): DescribedPort {
  const families = port.family === undefined ? [4, 6] : [port.family];
  const has = (name: string) =>
    families.some((family) => [...sets].some((set) => new RegExp(` ${name}${family}$`).test(set)));
  return {
    ...describeMapping(port),
    driver: byPlugins
      ? "plugins"
      : [...has("\\w*(ports|ranges)") ? ["nftables"] : [], ...has("opened") ? ["routed"] : []].join("+") ||
        "none",
    keepsClientAddress: !has("masked"),
  };
}

function describeLimits({ egress, ...rates }: Limits): DescribedLimits {
  return { ...(egress ? { egress: egress.map(showDestination) } : {}), ...rates };
}

function disturbance(
  world: World,
  record: ContainerRecord,
  plugins: readonly PluginRecord[],
  answers: Seen,
): string | undefined {
  if (record.phase !== "done") return `it is not finished; ocinet down ${record.id} takes it away`;
  if (record.changing !== undefined) {
    const [what, end] = record.changing === ""
      ? ["published ports are being moved", "opens them again"]
      : [`${record.changing} is being connected or disconnected`, "takes it off"];
    return `its ${what}; if not, ocinet repair ${record.id} ${end}`;
  }
  const dead = deadPrograms(world, record).map(({ name }) => name).join(" and its ");
  if (dead !== "") return `its ${dead} has ended; ocinet repair ${record.id} starts it again`;
  const lost = lostOf(world, answers, plugins);
  return lost && (lost === answers ? lost : `${lost}; ocinet repair ${record.id} mends it`);
}

/** What of the host's side is gone or down, or why that cannot be told. */
function lostOf(world: World, answers: Seen, plugins: readonly PluginRecord[]): string | undefined {
  const steps = plugins.flatMap(({ steps }) => steps);
  if (typeof answers === "string") return steps.length > 0 ? answers : undefined;
  const lost = lostOnHost(world, answers, steps);
  return lost && `its ${lost.thing} is ${lost.is}`;
}

/** The host's links, or why they could not be looked at. */
type Seen = Answers | string;

/** What is known of each of these containers; those that are gone by now are left out. */
export async function describeAll(
  world: World,
  state: string,
  ids: readonly string[],
): Promise<readonly Description[]> {
  const all = ids.map((id) => [id, pluginsOf(world, state, id)] as const);
  const answers = await askHost(world, all.flatMap(([, plugins]) => plugins.flatMap(({ steps }) => steps)))
    .catch(messageOf);
  return all.flatMap(([id, plugins]) => {
    try {
      const record = readContainer(world, state, id);
      const described = record
        ? describeContainer(world, record, plugins, answers)
        : plugins.length > 0
        ? describePlugins(world, id, plugins, answers)
        : undefined;
      return described ? [withDamage(world, state, id, described)] : [];
    } catch (error) {
      // What is wrong with one says nothing of the others.
      const told = { state: "partial", reason: messageOf(error) } as const;
      return [{ id, created: "", ...told, netns: "", networks: [], ports: [] }];
    }
  });
}

function withDamage(world: World, state: string, id: string, described: Description): Description {
  const file = described.state === "up" ? damagedPlugin(world, state, id) : undefined;
  if (file === undefined) return described;
  const reason = `Cannot read ${file}: it is damaged; ocinet down ${id} takes away what is found by its name`;
  return { ...described, state: "partial", reason };
}

/** Those of this network namespace's; one that cannot be read is told with the container's own. */
function pluginsOf(world: World, state: string, id: string): readonly PluginRecord[] {
  try {
    return pluginKeys(world, state, id).flatMap((key) => readPlugin(world, state, key) ?? []);
  } catch {
    return [];
  }
}

/** A container whose networks a CNI runtime attaches. */
function describePlugins(
  world: World,
  id: string,
  plugins: readonly PluginRecord[],
  answers: Seen,
): Description {
  const here = plugins.filter(({ host }) => host === ownNamespace(world));
  const found = lostOf(world, answers, here);
  const lost = found && (found === answers ? found : `${found}; its CNI runtime has to delete and add it`);
  const stale = plugins.map((record) => staleness(world, record)).find((reason) => reason !== undefined);
  const attached = new Map(
    plugins.filter(({ result }) => result).map((one) => [`${one.network} ${one.ifname}`, one]),
  );
  return {
    ...{ id, created: "", ...stateOf(stale, () => lost) },
    netns: plugins[0]!.container.netns,
    networks: [...attached.values()].map(({ network, ifname, part, result }) =>
      describeNetwork({ network: { name: network }, ifname, by: part, result })
    ),
    ports: [],
  };
}

function describeNetwork(
  { network, ifname, by, result }: Pick<Attached, "ifname" | "by" | "result"> & { network: { name: string } },
): DescribedNetwork {
  const mac = result?.interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined)?.mac;
  return {
    name: network.name,
    ifname,
    by,
    ...(mac === undefined ? {} : { mac }),
    ips: result?.ips.map(({ address }) => address) ?? [],
    gateways: result?.ips.flatMap(({ gateway }) => gateway ?? []) ?? [],
    routes: result?.routes.map((route) => describeRoute(result, route)) ?? [],
    nameservers: result?.dns.nameservers ?? [],
  };
}

/** CNI's rule: a route without a gateway of its own leads by that of its family's address. */
function describeRoute(
  { ips }: Result,
  { dst, gw }: Result["routes"][number],
): DescribedNetwork["routes"][number] {
  const by = gw ?? ips.find(({ address }) => address.includes(":") === dst.includes(":"))?.gateway;
  return { dst, ...(by === undefined ? {} : { gw: by }) };
}
