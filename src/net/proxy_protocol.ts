import { family, parseAddress, toNumber } from "./address.ts";

/** The versions of the PROXY protocol (vendor-docs/proxy-protocol.md): v1 is a line of text, v2 a binary header. */
export const proxyVersions = ["v1", "v2"] as const;

export type ProxyVersion = typeof proxyVersions[number];

/** One end of a connection. */
export interface Endpoint {
  /** The address as the socket reports it: `::ffff:192.0.2.1` is IPv4, and a zone may follow. */
  readonly address: string;
  readonly port: number;
}

/**
 * The header to send before the first byte of a forwarded TCP connection. It tells the server the client's address.
 * @param client the source of the connection
 * @param server the address that the client connected to
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

/** The header of version 2 with the command PROXY: family and TCP, the length of the rest, the addresses, the ports. */
function binaryHeader(ends: readonly Endpoint[]): Uint8Array {
  const size = family(ends[0]!.address) === 4 ? 4 : 16;
  const rest = [
    ...ends.flatMap(({ address }) => bytesOf(toNumber(address), size)),
    ...ends.flatMap(({ port }) => bytesOf(BigInt(port), 2)),
  ];
  const start = [0x21, size === 4 ? 0x11 : 0x21, ...bytesOf(BigInt(rest.length), 2)];
  return new Uint8Array([...new TextEncoder().encode(signature), ...start, ...rest]);
}

/** The value in network byte order. */
function bytesOf(value: bigint, size: number): readonly number[] {
  return Array.from({ length: size }, (_, i) => Number(value >> BigInt((size - 1 - i) * 8) & 255n));
}
