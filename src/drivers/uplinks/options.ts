import { identifierProblem, linkNameProblem } from "../../net/names.ts";
import { type Cidr, networkOf, parseAddress, parseCidr } from "../../net/address.ts";

/** The options of an uplink; they are the same for all uplinks. */
export interface UplinkOptions {
  /** The IPv4 network that the container sees; absent: one that the host has no route to. */
  readonly cidr?: Cidr;
  readonly mtu: number;
  /** The MAC address of the container's interface; absent: a random one. */
  readonly mac?: string;
  readonly ipv6: boolean;
  /** Whether the container may use the host's DNS resolver. */
  readonly dns: boolean;
  /** Whether the container's gateway is the host's loopback, with all services there. */
  readonly hostLoopback: boolean;
  /** The address or the link of the host that outgoing connections use. */
  readonly outbound4?: string;
  readonly outbound6?: string;
  readonly sandbox: boolean;
  readonly seccomp: boolean;
  /** The name of a network of root's service; absent: the first that is granted. */
  readonly network?: string;
  /** The name of a bridge of root's; absent: the first granted one that exists, preferably with a DHCP server. */
  readonly bridge?: string;
}

/** The defaults. A larger MTU is two to three times as fast; slirp4netns allows at most 65521. */
const defaults: UplinkOptions = {
  ...{ mtu: 65520, ipv6: true, dns: true, hostLoopback: false },
  ...{ sandbox: true, seccomp: true },
};

type Reader = (value: string) => Partial<UplinkOptions>;

const readers = {
  cidr: (value) => ({ cidr: readCidr(value) }),
  mtu: (value) => ({ mtu: readMtu(value) }),
  mac: (value) => ({ mac: readMac(value) }),
  ipv6: (value) => ({ ipv6: readBoolean(value) }),
  dns: (value) => ({ dns: readBoolean(value) }),
  "host-loopback": (value) => ({ hostLoopback: readBoolean(value) }),
  "outbound-addr": (value) => ({ outbound4: readOutbound(value, 4) }),
  "outbound-addr6": (value) => ({ outbound6: readOutbound(value, 6) }),
  sandbox: (value) => ({ sandbox: readBoolean(value) }),
  seccomp: (value) => ({ seccomp: readBoolean(value) }),
  network: (value) => ({ network: readName(value) }),
  bridge: (value) => ({ bridge: readBridge(value) }),
} satisfies Record<string, Reader>;

/** An option's name. */
export type Key = keyof typeof readers;

/**
 * Reads `KEY=VALUE,…`.
 * @param keys the options that the uplink supports
 * @throws Error giving the reason, starting with the option's name
 */
export function parseOptions(text: string, keys: readonly Key[]): UplinkOptions {
  const pairs = text.split(",").filter((pair) => pair !== "").map((pair) => readPair(pair, keys));
  return Object.assign({}, defaults, ...pairs);
}

function readPair(pair: string, keys: readonly Key[]): Partial<UplinkOptions> {
  const at = pair.indexOf("=");
  if (at < 0) throw new Error(`"${pair}" is not KEY=VALUE`);
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
  const key = keys.find((key) => key === name);
  if (!key) throw new Error(`it has no option "${name}", but ${keys.join(", ")}`);
  try {
    return readers[key](value);
  } catch (error) {
    throw new Error(`${key} "${value}" ${(error as Error).message}`);
  }
}

/** The given options that weaken the isolation of the container from the host. */
export function loosened({ hostLoopback, sandbox, seccomp }: UplinkOptions): readonly Key[] {
  return [
    ...(hostLoopback ? ["host-loopback"] as const : []),
    ...(sandbox ? [] : ["sandbox"] as const),
    ...(seccomp ? [] : ["seccomp"] as const),
  ];
}

/** slirp4netns allows prefixes up to /25, because its guest's address is number 100. */
function readCidr(value: string): Cidr {
  const parsed = parseCidr(value);
  if (!parsed || parsed.address.includes(":")) throw new Error("is not an IPv4 network such as 10.0.2.0/24");
  if (parsed.length < 1 || parsed.length > 25) throw new Error("has a length that is not 1 to 25");
  if (networkOf(value) !== `${parsed.address}/${parsed.length}`) {
    throw new Error(`has bits beyond its length; the network is ${networkOf(value)}`);
  }
  return networkOf(value);
}

/** IPv6 needs at least 1280 (RFC 8200). */
function readMtu(value: string): number {
  const mtu = Number(value);
  if (/^[0-9]+$/.test(value) && mtu >= 1280 && mtu <= 65521) return mtu;
  throw new Error("is not a number from 1280 to 65521");
}

function readMac(value: string): string {
  if (/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(value) && !/^[0:]+$/.test(value)) {
    return value.toLowerCase();
  }
  throw new Error("is not the MAC address of one link, such as 02:00:00:00:00:01");
}

function readBoolean(value: string): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw new Error("is neither true nor false");
}

function readName(value: string): string {
  const problem = identifierProblem(value);
  if (problem !== undefined) throw new Error(`is not the name of a network: ${problem}`);
  return value;
}

function readBridge(value: string): string {
  const problem = linkNameProblem(value);
  if (problem !== undefined) throw new Error(`is not the name of a bridge: ${problem}`);
  return value;
}

/** A valid name of a link, which also cannot be read as an option. */
function readOutbound(value: string, family: 4 | 6): string {
  const address = parseAddress(value);
  if (address !== undefined && address.includes(":") === (family === 6)) return address;
  if (address === undefined && /^[A-Za-z0-9_.][A-Za-z0-9_.@-]{0,14}$/.test(value)) return value;
  throw new Error(`is neither an IPv${family} address nor the name of a link`);
}
