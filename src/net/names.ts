import { parseAddress, toNumber } from "./address.ts";

/** CNI's pattern for container ids and network names (SPEC.md, "Parameters"). */
const identifier = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/**
 * The longest container id that is accepted, in characters. The id becomes a file name, and suffixes are added to it.
 */
export const longestId = 200;

/** The reason why a text cannot be a container id or network name; undefined if it can. */
export function identifierProblem(text: string): string | undefined {
  if (text === "") return "it is empty";
  if (text.length > longestId) return `it is longer than ${longestId} characters`;
  if (!identifier.test(text)) {
    return 'it may have only letters, digits, "_", "." and "-", and starts with a letter or digit';
  }
  return undefined;
}

/** The reason why a text cannot name a network link (Linux dev_valid_name); undefined if it can. */
export function linkNameProblem(text: string): string | undefined {
  if (text === "") return "interface name is empty";
  if (new TextEncoder().encode(text).length > 15) return "interface name is too long";
  if (text === "." || text === "..") return "interface name is . or ..";
  if (/[/:\s]/u.test(text)) return "interface name contains / or : or whitespace characters";
  // The kernel refuses both: under net/*/conf they are the sysctl directories for all links.
  if (text === "all" || text === "default") return "interface name is all or default";
  // The kernel allows more characters. But it expands "%d", and `ip` gives "@" and a leading "-" a meaning of its own.
  if (!/^[A-Za-z0-9_.+][A-Za-z0-9_.+-]*$/.test(text)) {
    return "interface name has characters other than A-Z a-z 0-9 _ . + -";
  }
  return undefined;
}

/** A MAC address in the kernel's text, lower case, or undefined. */
export function parseMac(text: string): string | undefined {
  const mac = text.toLowerCase().replaceAll("-", ":");
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) ? mac : undefined;
}

/**
 * SHA-512 of a list of words, in lower-case hex. Lengths are hashed too, so two different lists hash different texts.
 */
export async function digest(...parts: readonly string[]): Promise<string> {
  return await sha512(parts.map((part) => `${part.length}:${part}`).join(""));
}

/** SHA-512 of a text, in lower-case hex. */
export async function sha512(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-512", new TextEncoder().encode(text)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A locally administered unicast MAC address made of 40 bits of a digest. */
export function macFrom(hex: string): string {
  return `02:${hex.slice(-10).match(/../g)!.join(":")}`;
}

/** The link-local address that Linux gives a link with this MAC address (RFC 4291, appendix A). */
export function linkLocalFrom(mac: string): string {
  const [a, b, c, d, e, f] = mac.split(":").map((byte) => parseInt(byte, 16)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const words = [(a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f];
  return parseAddress(`fe80::${words.map((word) => word.toString(16)).join(":")}`)!;
}

/** The name of the host's end of an attachment's veth: 44 bits of its digest, 15 characters long. */
export function vethFrom(hex: string): string {
  return `veth${hex.slice(0, 11)}`;
}

/**
 * A MAC address that depends only on the IP address. When another container gets the address, neighbours that still
 * have the old entry reach it (moby#36069). It contains the address's last 32 bits, so it is unique within an IPv4
 * subnet.
 */
export function macOfAddress(address: string): string {
  const low = toNumber(address) & 0xffffffffn;
  return `02:6f:${low.toString(16).padStart(8, "0").match(/../g)!.join(":")}`;
}
