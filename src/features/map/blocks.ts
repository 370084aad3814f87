import { oneLine } from "../../wire/cni/output.ts";
import { joinPorts } from "../container/show_ports.ts";
import type { MapContainer, MapNetwork, MapPort, MapWay, NetworkMap } from "./model.ts";

/** What a line says, which decides its colour. */
export type Kind = "name" | "state" | "address" | "port" | "way" | "plain";

/** A line of a map, which may still be wrapped. */
export interface Line {
  readonly kind: Kind;
  readonly text: string;
  /** The interface that it is about (`interfaceKey`). */
  readonly of?: string;
}

/** What an interface is called on a page. */
export function interfaceKey(id: string, network: string, ifname: string): string {
  return plain(`${id} ${network} ${ifname}`);
}

/** A container on a network. */
export interface Cell {
  readonly name: string;
  readonly lines: readonly Line[];
}

/** A network: its title, what is said of it, and who is on it. */
export interface Block {
  readonly name: string;
  readonly detail: string;
  readonly head: readonly Line[];
  readonly cells: readonly Cell[];
}

/** A text that any user may have written, in printable ASCII: nothing of it acts on a terminal, or has another width. */
export function plain(text: string): string {
  return oneLine(text).replaceAll(
    /[^\x20-\x7e]/gu,
    (letter) => `\\u{${letter.codePointAt(0)!.toString(16)}}`,
  );
}

/** An id of 64 digits, as podman makes them, is shown by its beginning, which every command takes. */
function shortId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : plain(id);
}

/** The networks of a map with those on them, and at last the containers that are on none. */
export function blocksOf(map: NetworkMap): readonly Block[] {
  const lone = map.containers.filter(({ interfaces }) => interfaces.length === 0);
  const blocks = map.networks.map((network) => blockOf(map, network));
  if (lone.length === 0) return blocks;
  return [...blocks, {
    name: "on no network",
    detail: "",
    head: [],
    cells: lone.map((one) => cellOf(map, one)),
  }];
}

function blockOf(map: NetworkMap, network: MapNetwork): Block {
  const { name, driver, link, scope, subnets } = network;
  const detail = [driver, link ?? "", scope === "global" ? "on all hosts" : ""].filter((word) => word !== "");
  const members = map.containers.filter(({ interfaces }) => interfaces.some((one) => one.network === name));
  return {
    name: plain(name),
    detail: plain(detail.join(" ")),
    head: [
      ...subnets.map(({ subnet, gateway }) =>
        line("address", gateway === undefined ? subnet : `${subnet} gateway ${gateway}`)
      ),
      ...map.ways.filter((way) => way.network === name).map((way) => line("way", `world: ${wayText(way)}`)),
    ],
    cells: members.map((one) => cellOf(map, one, name)),
  };
}

function line(kind: Kind, text: string): Line {
  return { kind, text: plain(text) };
}

function cellOf(map: NetworkMap, container: MapContainer, network?: string): Cell {
  const { id, state, reason, interfaces } = container;
  const name = shortId(id);
  return {
    name,
    lines: [
      { kind: "name", text: name },
      ...(state === "up" ? [] : [line("state", reason === undefined ? state : `${state}: ${reason}`)]),
      ...interfaces.filter((one) => one.network === network).map(({ ifname, ips }) => ({
        ...line("address", [ifname, ...ips].join(" ")),
        of: interfaceKey(id, network!, ifname),
      })),
      ...portTexts(portsAt(map, container, network)).map((text) => line("port", text)),
    ],
  };
}

/** The ports that lead to a container by a network; those of which that is not known stand at its first one. */
export function portsAt(
  { ports }: NetworkMap,
  { id, interfaces }: MapContainer,
  network: string | undefined,
): readonly MapPort[] {
  const first = interfaces[0]?.network;
  return ports.filter((port) => port.container === id && (port.network ?? first) === network);
}

/** Ports with who forwards them, those of neighbouring ports as ranges. */
export function portTexts(ports: readonly MapPort[]): readonly string[] {
  const forwarders = [...new Set(ports.map(({ by }) => by))];
  return forwarders.flatMap((by) =>
    joinPorts(ports.filter((port) => port.by === by)).map((mapping) => `${mapping} by ${by}`)
  );
}

/** How a network's containers reach the world, in words. */
export function wayText({ kind, by, link }: MapWay): string {
  switch (kind) {
    case "masquerade":
      return "masquerade, behind the host's addresses";
    case "routed":
      return "routed, with their own addresses";
    case "link":
      return `link ${link ?? "of the host's default route"}, with their own addresses`;
    case "uplink":
      return `uplink ${by ?? ""}`;
    case "host":
      return "as the host";
    case "internal":
      return "no way, internal";
    case "none":
      return "no way, no interface";
    case "unknown":
      return "not known, the network's file is gone";
  }
}
