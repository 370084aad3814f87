import { family, parseAddress, toNumber } from "./address.ts";

/** The versions of the PROXY protocol (vendor-docs/proxy-protocol.md): a line of text, and a binary header. */
export const proxyVersions = ["v1", "v2"] as const;

export type ProxyVersion = typeof proxyVersions[number];

/** Where somebody connects from, or to. */
export interface Endpoint {
  /** As a socket has it: `::ffff:192.0.2.1` is IPv4, and a zone may follow. */
  readonly address: string;
  readonly port: number;
}

/**
 * What is said before a forwarded TCP connection's first byte, so that its server knows who connects.
 * @param client whom the connection comes from
 * @param server the address that it was made to
 */
export function proxyHeader(version: ProxyVersion, client: Endpoint, server: Endpoint): Uint8Array {
  const ends = [client, server].map(({ address, port }) => ({ address: plain(address), port }));
  return version === "v1" ? textHeader(ends) : binaryHeader(ends);
}

function plain(address: string): string {
  return parseAddress(address.replace(/%.*$/, ""))!;
}

function textHeader(ends: readonly Endpoint[]): Uint8Array {
  const addresses = ends.map(({ address }) => address).join(" ");
  const ports = ends.map(({ port }) => port).join(" ");
  return new TextEncoder().encode(`PROXY TCP${family(ends[0]!.address)} ${addresses} ${ports}\r\n`);
}

const signature = "\r\n\r\n\0\r\nQUIT\n";

/** Version 2 and the command PROXY; the family and TCP; the length of what follows: addresses, then ports. */
function binaryHeader(ends: readonly Endpoint[]): Uint8Array {
  const size = family(ends[0]!.address) === 4 ? 4 : 16;
  const rest = [
    ...ends.flatMap(({ address }) => bytesOf(toNumber(address), size)),
    ...ends.flatMap(({ port }) => bytesOf(BigInt(port), 2)),
  ];
  const start = [0x21, size === 4 ? 0x11 : 0x21, ...bytesOf(BigInt(rest.length), 2)];
  return new Uint8Array([...new TextEncoder().encode(signature), ...start, ...rest]);
}

/** In network order. */
function bytesOf(value: bigint, size: number): readonly number[] {
  return Array.from({ length: size }, (_, i) => Number(value >> BigInt((size - 1 - i) * 8) & 255n));
}
