import ipaddr from "ipaddr.js";

/** 4 or 6. */
export type Family = 4 | 6;

type Parsed = ReturnType<typeof ipaddr.process>;

/**
 * A prefix in canonical text, e.g. `10.1.2.0/24`; or an address with the prefix length of its subnet, `10.1.2.3/24`.
 */
export type Cidr = string;

/**
 * Parses one IP address. The result is the text that Go's net.IP gives it: RFC 5952; an IPv4-mapped address is printed
 * as IPv4.
 * Returns undefined for text that is not exactly one address. Leading zeros and zone ids are refused.
 */
export function parseAddress(text: string): string | undefined {
  const parsed = parse(text);
  return parsed && format(parsed);
}

/** The address and prefix length of `10.1.2.3/24`, or undefined. The address keeps its host bits. */
export function parseCidr(text: string): { address: string; length: number } | undefined {
  const [address, length, ...rest] = text.split("/");
  if (!address || length === undefined || rest.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(length)) {
    return undefined;
  }
  const canonical = parseAddress(address);
  // ipaddr.js counts the length of an IPv4-mapped prefix in the IPv6 form, which is 96 too long for IPv4.
  if (!canonical || address.includes(":") !== canonical.includes(":")) return undefined;
  return Number(length) > hostLength(canonical) ? undefined : { address: canonical, length: Number(length) };
}

/** The address family. The address must have come through `parseAddress` or `parseCidr`. */
export function family(address: string): Family {
  return address.includes(":") ? 6 : 4;
}

/** The prefix length that covers exactly one address: 32 or 128. */
export function hostLength(address: string): number {
  return family(address) === 4 ? 32 : 128;
}

/** The address part of `10.1.2.3/24`. */
export function addressOf(cidr: Cidr): string {
  return cidr.split("/")[0]!;
}

/** The prefix length of `10.1.2.3/24`. */
export function lengthOf(cidr: Cidr): number {
  return Number(cidr.split("/")[1]);
}

/** The network of an address with a prefix length: `10.1.2.3/24` gives `10.1.2.0/24`. */
export function networkOf(cidr: Cidr): Cidr {
  const address = addressOf(cidr);
  const length = lengthOf(cidr);
  const drop = BigInt(hostLength(address) - length);
  return `${fromNumber((toNumber(address) >> drop) << drop, family(address))}/${length}`;
}

/** Whether the prefix covers the address. */
export function contains(cidr: Cidr, address: string): boolean {
  if (family(cidr) !== family(address)) return false;
  return networkOf(`${address}/${lengthOf(cidr)}`) === networkOf(cidr);
}

/** The last address of a prefix. For IPv4 that is the broadcast address. */
export function lastOf(cidr: Cidr): string {
  const address = addressOf(cidr);
  const size = 1n << BigInt(hostLength(address) - lengthOf(cidr));
  return fromNumber(toNumber(addressOf(networkOf(cidr))) + size - 1n, family(address));
}

/** The address that is `step` addresses higher. */
export function plus(address: string, step: bigint): string {
  return fromNumber(toNumber(address) + step, family(address));
}

/** The address as a number, for comparing and counting within one family. */
export function toNumber(address: string): bigint {
  return ipaddr.parse(address).toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** The inverse of `toNumber`. */
export function fromNumber(value: bigint, of: Family): string {
  const bytes: number[] = [];
  for (let i = of === 4 ? 3 : 15; i >= 0; i--) bytes.push(Number((value >> BigInt(i * 8)) & 255n));
  return format(ipaddr.fromByteArray(bytes));
}

function parse(text: string): Parsed | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.parse(text);
  const plain = withoutQuad(text);
  return plain.includes(":") && !/[.%]/.test(plain) && ipaddr.IPv6.isValid(plain)
    ? ipaddr.process(plain)
    : undefined;
}

/** Rewrites `::ffff:1.2.3.4` as `::ffff:102:304`. ipaddr.js also reads `::1.2.3.4` and `::ffff:010.1.1.1` as IPv4. */
function withoutQuad(text: string): string {
  const at = text.lastIndexOf(":") + 1;
  const quad = text.slice(at);
  if (!ipaddr.IPv4.isValidFourPartDecimal(quad)) return text;
  const [a, b, c, d] = ipaddr.parse(quad).toByteArray() as [number, number, number, number];
  return `${text.slice(0, at)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function format(parsed: Parsed): string {
  return parsed.kind() === "ipv6"
    ? (parsed as InstanceType<typeof ipaddr.IPv6>).toRFC5952String()
    : parsed.toString();
}
