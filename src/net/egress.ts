import { addressOf, type Cidr, hostLength, lengthOf, parseAddress, parseCidr } from "./address.ts";

/** A destination that a container may send to. */
export interface Destination {
  /** The addresses. Without a prefix and a name, the destination is every address. */
  readonly prefix?: Cidr;
  /** A DNS name, resolved when the container starts. */
  readonly name?: string;
  /** The ports: of TCP and UDP, unless `protocol` is set. Without ports, all ports and all protocols are allowed. */
  readonly ports?: { readonly first: number; readonly last: number };
  readonly protocol?: "tcp" | "udp" | "sctp";
}

const form =
  "none, or a list of PREFIX, ADDRESS or NAME, each with :PORT[-END][/tcp|udp|sctp] or without, or :PORT alone";

/**
 * Reads every value of `--egress`: the destinations a container may send to. `none` gives an empty list. An IPv6 prefix
 * with ports is written in brackets.
 * @throws Error naming the item and the reason
 */
export function parseEgress(values: readonly string[]): readonly Destination[] {
  const items = values.flatMap((value) => value.split(","));
  // nft takes a second for 3,000, and a minute for 25,000.
  if (items.length > 4096) {
    throw new Error("Cannot read --egress: it has more than 4096 destinations; use prefixes");
  }
  if (!items.includes("none")) return items.map(parseDestination);
  if (items.length === 1) return [];
  throw new Error('Cannot read --egress: "none" stands alone');
}

function parseDestination(item: string): Destination {
  const whole = parsePlace(item);
  if (whole) return whole;
  const [, inBrackets, bare, first, last, protocol] =
    /^(?:\[([^\]]+)\]|([^:[\]]*)):([0-9]+)(?:-([0-9]+))?(?:\/(tcp|udp|sctp))?$/.exec(item) ?? [];
  if (first === undefined) throw unreadable(item, `it is not ${form}`);
  const text = inBrackets ?? bare ?? "";
  const place = text === "" ? {} : parsePlace(text);
  if (!place) throw unreadable(item, `"${text}" is no address, prefix or name`);
  const ports = { first: Number(first), last: Number(last ?? first) };
  if (ports.first < 1 || ports.last > 65535 || ports.first > ports.last) {
    throw unreadable(item, "ports go from 1 to 65535, the lower one first");
  }
  return { ...place, ports, ...(protocol ? { protocol: protocol as "tcp" } : {}) };
}

function parsePlace(text: string): Destination | undefined {
  const address = parseAddress(text);
  if (address !== undefined) return { prefix: `${address}/${hostLength(address)}` };
  const cidr = parseCidr(text);
  if (cidr) return { prefix: `${cidr.address}/${cidr.length}` };
  return isName(text) ? { name: text } : undefined;
}

function isName(text: string): boolean {
  const labels = text.replace(/\.$/, "").split(".");
  // A name whose last label is a number is a mistyped address (RFC 1123, 2.1).
  return text.length <= 253 && !/^[0-9]+$/.test(labels.at(-1)!) &&
    labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/.test(label));
}

function unreadable(item: string, reason: string): Error {
  return new Error(`Cannot read --egress ${JSON.stringify(item)}: ${reason}`);
}

/** A destination in the syntax that `parseEgress` reads. */
export function showDestination({ prefix, name, ports, protocol }: Destination): string {
  const place = prefix === undefined ? name ?? "" : showPrefix(prefix);
  if (!ports) return place;
  const range = ports.first === ports.last ? ports.first : `${ports.first}-${ports.last}`;
  return `${place.includes(":") ? `[${place}]` : place}:${range}${protocol ? `/${protocol}` : ""}`;
}

function showPrefix(prefix: Cidr): string {
  const address = addressOf(prefix);
  return lengthOf(prefix) === hostLength(address) ? address : prefix;
}
