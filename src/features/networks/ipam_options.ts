import {
  addressOf,
  contains,
  family,
  hostLength,
  lastOf,
  lengthOf,
  networkOf,
  parseAddress,
  parseCidr,
  plus,
  toNumber,
} from "../../net/address.ts";

/** A subnet of a network, with what is said of it; `docker network inspect` shows it so. */
export interface IpamConfig {
  readonly Subnet: string;
  readonly IPRange?: string;
  readonly Gateway?: string;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>>;
}

/** What is said of subnets on the command line. */
export interface IpamOptions {
  readonly subnets: readonly string[];
  readonly ranges: readonly string[];
  readonly gateways: readonly string[];
  /** NAME=ADDRESS. */
  readonly auxiliary: readonly string[];
}

/** Subnets in which no container can have an address. */
const useless = [
  ["0.0.0.0/8", "it is reserved"],
  ["127.0.0.0/8", "it is the loopback's"],
  ["224.0.0.0/4", "it is for multicast"],
  ["240.0.0.0/4", "it is reserved"],
  ["::/127", "it is the loopback's"],
  ["fe80::/10", "it is for link-local addresses"],
  ["ff00::/8", "it is for multicast"],
] as const;

/** For a range or a gateway alone; in Docker's words. */
export const noSubnet = "every ip-range or gateway must have a corresponding subnet";

/**
 * Puts each range, gateway and auxiliary address to the subnet that contains it.
 * @throws Error in Docker's words
 */
export function readIpam(options: IpamOptions): readonly IpamConfig[] {
  const subnets = options.subnets.map(checkSubnet);
  if (subnets.length === 0 && options.ranges.length + options.gateways.length > 0) {
    throw new Error(noSubnet);
  }
  subnets.forEach((subnet, i) => {
    if (subnets.some((other, j) => i !== j && overlaps(subnet, other))) {
      throw new Error("multiple overlapping subnet configuration is not supported");
    }
  });
  const ranges = bySubnet(
    subnets,
    "range",
    options.ranges.map((text) => [text, checkPrefix("ip-range", text)]),
  );
  const gateways = bySubnet(
    subnets,
    "gateway",
    options.gateways.map((text) => [text, checkAddress("gateway", text)]),
  );
  const auxiliary = auxiliaryOf(subnets, options.auxiliary);
  return subnets.map((subnet) => {
    const [range, gateway, aux] = [ranges.get(subnet), gateways.get(subnet), auxiliary.get(subnet)];
    if (gateway !== undefined) checkGateway(subnet, gateway, Object.values(aux ?? {}));
    return {
      Subnet: subnet,
      ...(range === undefined ? {} : { IPRange: range }),
      ...(gateway === undefined ? {} : { Gateway: gateway }),
      ...(aux === undefined ? {} : { AuxiliaryAddresses: aux }),
    };
  });
}

/** Whether two subnets have addresses in common. */
export function overlaps(one: string, other: string): boolean {
  return contains(one, addressOf(other)) || contains(other, addressOf(one));
}

function invalid(kind: string, text: string, reason: string): Error {
  return new Error(`invalid network config: invalid ${kind} ${text}: ${reason}`);
}

function checkSubnet(text: string): string {
  const subnet = checkPrefix("subnet", text);
  const found = useless.find(([other]) => overlaps(subnet, other));
  if (found) throw invalid("subnet", text, found[1]);
  if (lengthOf(subnet) === hostLength(subnet)) {
    throw invalid("subnet", text, "it has no address for a container");
  }
  return subnet;
}

function checkPrefix(kind: "subnet" | "ip-range", text: string): string {
  const parsed = parseCidr(text);
  if (!parsed) {
    throw invalid(kind, JSON.stringify(text), "it is not ADDRESS/LENGTH");
  }
  const network = networkOf(`${parsed.address}/${parsed.length}`);
  if (addressOf(network) === parsed.address) return network;
  throw invalid(kind, text, `it should be ${network}`);
}

function checkGateway(subnet: string, gateway: string, taken: readonly string[]): void {
  const [at, first, last] = [gateway, firstOf(subnet), lastHostOf(subnet)].map(toNumber) as [
    bigint,
    bigint,
    bigint,
  ];
  if (at >= first && at <= last && !taken.includes(gateway)) return;
  const reason = taken.includes(gateway) ? "an auxiliary address" : "no address of a host";
  throw invalid("gateway", gateway, `it is ${reason} in ${subnet}`);
}

function checkAddress(kind: string, text: string): string {
  const address = parseAddress(text);
  if (address === undefined) {
    throw invalid(kind, JSON.stringify(text), "it is not an IP address");
  }
  return address;
}

function bySubnet(
  subnets: readonly string[],
  kind: "range" | "gateway",
  values: readonly (readonly [string, string])[],
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [text, value] of values) {
    const subnet = subnetOf(subnets, kind, text, value);
    const other = found.get(subnet);
    if (other !== undefined) {
      throw new Error(
        `cannot configure multiple ${kind}s (${text}, ${other}) on the same subnet (${subnet})`,
      );
    }
    if (kind === "range" && lengthOf(value) < lengthOf(subnet)) {
      throw invalid("ip-range", text, `CIDR block is bigger than its parent subnet ${subnet}`);
    }
    found.set(subnet, value);
  }
  return found;
}

function subnetOf(subnets: readonly string[], kind: string, text: string, value: string): string {
  const subnet = subnets.find((one) => contains(one, addressOf(value)));
  if (subnet === undefined) throw new Error(`no matching subnet for ${kind} ${text}`);
  return subnet;
}

function auxiliaryOf(
  subnets: readonly string[],
  values: readonly string[],
): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const found = new Map<string, Record<string, string>>();
  for (const value of values) {
    const at = value.indexOf("=");
    if (at <= 0) {
      throw invalid("auxiliary address", value, "it is not NAME=ADDRESS");
    }
    const address = checkAddress("auxiliary address", value.slice(at + 1));
    const subnet = subnetOf(subnets, "aux-address", value.slice(at + 1), address);
    if (Object.values(found.get(subnet) ?? {}).includes(address)) {
      throw invalid("auxiliary address", value, "it has another name");
    }
    found.set(subnet, { ...found.get(subnet), [value.slice(0, at)]: address });
  }
  return found;
}

/** The gateway that a subnet has if none is named: the first address of the range, or of the subnet. */
export function usualGateway({ Subnet, IPRange, AuxiliaryAddresses = {} }: IpamConfig): string {
  const [first, taken] = [firstOf(Subnet), Object.values(AuxiliaryAddresses)];
  const start = IPRange === undefined ? first : addressOf(IPRange);
  let address = toNumber(start) < toNumber(first) ? first : start;
  while (taken.includes(address)) address = plus(address, 1n);
  return address;
}

/** A part of a subnet from which host-local gives addresses. */
export interface LocalRange {
  readonly subnet: string;
  readonly rangeStart: string;
  readonly rangeEnd: string;
  readonly gateway?: string;
}

/** host-local's ranges of a subnet: the range, or all of it, without the auxiliary addresses. */
export function localRanges(config: IpamConfig): readonly LocalRange[] {
  const { Subnet: subnet, IPRange = subnet, Gateway, AuxiliaryAddresses = {} } = config;
  const [first, last] = [firstOf(subnet), lastHostOf(subnet)];
  let start = later(addressOf(IPRange), first);
  const end = toNumber(lastOf(IPRange)) < toNumber(last) ? lastOf(IPRange) : last;
  const ranges: LocalRange[] = [];
  const add = (rangeStart: string, rangeEnd: string) => {
    if (toNumber(rangeStart) > toNumber(rangeEnd)) return;
    ranges.push({ subnet, rangeStart, rangeEnd, ...(Gateway === undefined ? {} : { gateway: Gateway }) });
  };
  const taken = Object.values(AuxiliaryAddresses)
    .filter((address) => toNumber(address) >= toNumber(start) && toNumber(address) <= toNumber(end))
    .sort((a, b) => toNumber(a) < toNumber(b) ? -1 : 1);
  for (const address of taken) {
    add(start, plus(address, -1n));
    start = plus(address, 1n);
  }
  add(start, end);
  if (ranges.length > 0) return ranges;
  throw invalid("subnet", subnet, "auxiliary addresses leave none for a container");
}

function later(one: string, other: string): string {
  return toNumber(one) < toNumber(other) ? other : one;
}

/** A subnet of two addresses has neither a network's nor a broadcast address (RFC 3021). */
function isPair(subnet: string): boolean {
  return hostLength(subnet) - lengthOf(subnet) < 2;
}

function firstOf(subnet: string): string {
  return isPair(subnet) ? addressOf(subnet) : plus(addressOf(subnet), 1n);
}

function lastHostOf(subnet: string): string {
  return family(subnet) === 6 || isPair(subnet) ? lastOf(subnet) : plus(lastOf(subnet), -1n);
}
