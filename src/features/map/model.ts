import type { DescribedPort, Description, State } from "../container/describe.ts";
import { type Network, scopeOf } from "../networks/catalog.ts";
import type { NetworkEndpoint } from "../networks/endpoints.ts";
import { apartOf } from "../../drivers/table.ts";
import { uplinkNamed } from "../../drivers/uplinks/table.ts";

/** A host with its networks and containers. Its keys stay as they are: docs/map.md. */
export interface NetworkMap {
  readonly host: string;
  readonly networks: readonly MapNetwork[];
  readonly containers: readonly MapContainer[];
  readonly ports: readonly MapPort[];
  readonly ways: readonly MapWay[];
}

export interface MapNetwork {
  readonly name: string;
  readonly driver: string;
  readonly scope: "global" | "local";
  readonly internal: boolean;
  readonly subnets: readonly { readonly subnet: string; readonly gateway?: string }[];
  /** Its bridge, or the host's link that it is on, where its file names one. */
  readonly link?: string;
  /** False: containers are on it, and it has no file any more. */
  readonly known: boolean;
}

export interface MapContainer {
  readonly id: string;
  readonly state: State;
  /** Why it is not up. */
  readonly reason?: string;
  readonly interfaces: readonly MapInterface[];
}

export interface MapInterface {
  readonly network: string;
  readonly ifname: string;
  /** The plugin's type, or the uplink; "" where that is not known. */
  readonly by: string;
  readonly mac?: string;
  readonly ips: readonly string[];
}

export interface MapPort extends Omit<DescribedPort, "driver"> {
  readonly container: string;
  /** By which the port leads to the container; absent where that is not known. */
  readonly network?: string;
  /** Who forwards it: nftables, relay, plugins or an uplink. */
  readonly by: string;
}

/**
 * How what is on a network reaches the world: `masquerade`, behind the host's addresses; `routed`, with its own; `link`,
 * with its own by a link of the host's; `uplink`, by a program; `host`, as the host; `internal` and `none`, not at all.
 */
export type WayKind = "masquerade" | "routed" | "link" | "uplink" | "host" | "internal" | "none" | "unknown";

export interface MapWay {
  readonly network: string;
  readonly kind: WayKind;
  /** The uplink. */
  readonly by?: string;
  /** The host's link, where the network's file names it. */
  readonly link?: string;
}

/** What is known of a host. */
export interface Known {
  readonly host: string;
  readonly containers: readonly Description[];
  readonly networks: readonly Network[];
  readonly endpoints: readonly NetworkEndpoint[];
  /** Also the networks that no container is on. */
  readonly all: boolean;
}

/** Puts together what is known of a host. */
export function mapOf({ host, containers, networks, endpoints, all }: Known): NetworkMap {
  const drawn = containers.map((one) => containerOf(one, endpoints));
  const interfaces = drawn.flatMap((one) => one.interfaces);
  const used = new Set(interfaces.map(({ network }) => network));
  const known = networks.filter(({ name }) => all || used.has(name));
  const gone = [...used].filter((name) => !networks.some((network) => network.name === name)).sort();
  const withDefault = new Set(containers.flatMap(networksWithDefault));
  const ways = [
    ...known.flatMap((network) =>
      waysOf(network.name, interfaces, wayOf(network, used.has(network.name), withDefault))
    ),
    ...gone.flatMap((name) => waysOf(name, interfaces, { network: name, kind: "unknown" })),
  ];
  return {
    host,
    networks: [...known.map(networkOf), ...gone.map(goneNetwork)],
    containers: drawn,
    ports: containers.flatMap((one, i) => one.ports.map((port) => portOf(port, drawn[i]!, ways))),
    ways,
  };
}

function containerOf(
  { id, state, reason, networks }: Description,
  endpoints: readonly NetworkEndpoint[],
): MapContainer {
  const own = networks.map(({ name, ifname, by, mac, ips }) => ({
    ...{ network: name, ifname, by, ...(mac === undefined ? {} : { mac }), ips },
  }));
  // What a CNI runtime attached beside them.
  const others = endpoints.filter(({ container, network, ifname }) =>
    container === id && !own.some((one) => one.network === network && one.ifname === ifname)
  ).map(({ network, ifname, mac, ipv4, ipv6 }) => ({
    ...{ network, ifname, by: "", ...(mac === "" ? {} : { mac }) },
    ips: [ipv4, ipv6].filter((ip) => ip !== ""),
  }));
  return { id, state, ...(reason === undefined ? {} : { reason }), interfaces: [...own, ...others] };
}

function networkOf(network: Network): MapNetwork {
  const { name, driver, internal, ipam } = network;
  const link = linkOf(network);
  return {
    ...{ name, driver, scope: scopeOf(network), internal },
    subnets: ipam.map(({ Subnet, Gateway }) => ({
      subnet: Subnet,
      ...(Gateway === undefined ? {} : { gateway: Gateway }),
    })),
    ...(link === undefined ? {} : { link }),
    known: true,
  };
}

function goneNetwork(name: string): MapNetwork {
  return { name, driver: "", scope: "local", internal: false, subnets: [], known: false };
}

function linkOf({ list }: Network): string | undefined {
  const { bridge, master, device } = (list?.plugins[0] ?? {}) as Readonly<Record<string, unknown>>;
  return [bridge, master, device].find((name) => typeof name === "string");
}

/** The way of a network's own, whichever containers are on it. */
function wayOf(network: Network, isUsed: boolean, withDefault: ReadonlySet<string>): MapWay {
  const { name, driver, internal, list } = network;
  const link = linkOf(network);
  const way = (kind: WayKind): MapWay => ({ network: name, kind });
  if (!list) return way(driver === "host" ? "host" : "none");
  if (internal) return way("internal");
  // Of an overlay network the cluster says whether it is internal; then no container has a default route by it.
  if (driver === "overlay") return way(isUsed && !withDefault.has(name) ? "internal" : "masquerade");
  if (list.plugins.some((plugin) => plugin["ipMasq"] === true)) return way("masquerade");
  if (apartOf(list.plugins[0]!.type) !== "link") return way("routed");
  return { ...way("link"), ...(link === undefined ? {} : { link }) };
}

function networksWithDefault({ networks }: Description): readonly string[] {
  return networks.filter(({ routes }) => routes.some(({ dst }) => dst.endsWith("/0"))).map(({ name }) =>
    name
  );
}

/** The uplinks by which containers are on a network, and its own way for all others. */
function waysOf(network: string, interfaces: readonly MapInterface[], own: MapWay): readonly MapWay[] {
  const by = interfaces.filter((one) => one.network === network).map((one) => one.by);
  const uplinks = [...new Set(by)].filter((name) => uplinkNamed(name) !== undefined).sort();
  // An uplink keeps a container from the world as well.
  const ways = own.kind === "internal"
    ? []
    : uplinks.map((name): MapWay => ({ network, kind: "uplink", by: name }));
  const isForAll = by.length > 0 && by.every((name) => uplinks.includes(name));
  return isForAll && ways.length > 0 ? ways : [own, ...ways];
}

/** Ports lead by the first network that masquerades, or else by the last. */
function portOf(
  { driver, ...port }: DescribedPort,
  { id, interfaces }: MapContainer,
  ways: readonly MapWay[],
): MapPort {
  const masked = interfaces.find(({ network }) =>
    ways.some((way) => way.network === network && way.kind === "masquerade")
  );
  const { network } = masked ?? interfaces.at(-1) ?? {};
  // Which of them has plugins that publish is not described.
  const isKnown = network !== undefined && (driver !== "plugins" || interfaces.length === 1);
  return { ...port, container: id, ...(isKnown ? { network } : {}), by: driver };
}
