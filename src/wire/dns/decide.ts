import { fromNumber, networkOf, parseAddress } from "../../net/address.ts";
import { type Answer, type Query, rcodes, types, type Verdict } from "./packet.ts";
import { addressesOf, idsOf, type Zone, type ZoneMember } from "./zone.ts";

/** What becomes of a question. */
export type Decision = Verdict | "forward";

/** Who asks, and what is known. */
export interface Asker {
  /** The networks that the asker's container is on; first the one that is asked by. */
  readonly zones: readonly Zone[];
  /** Whether an address is in the subnet of any network of ours. */
  isOurs(address: string): boolean;
  /** Whether a container's namespace is still there. */
  isThere(one: Pick<ZoneMember, "link">): boolean;
  /** Chooses one of so many, which then stands first. */
  choose(count: number): number;
}

const nothing: Verdict = { rcode: rcodes.ok, answers: [] };
const unknown: Verdict = { rcode: rcodes.nxdomain, answers: [] };

/** Types that are asked of a single label by who validates signatures, and that are no look-up of a host. */
const zoneTypes: readonly number[] = [types.NS, types.SOA, types.DS, types.DNSKEY];

/**
 * Answers what is a name or an address of a network, and says what is for the world: neither a name without a dot nor
 * NAME.NETWORK ever leaves. A name is looked for on the network that is asked by first. What is there without such a
 * record is there: the answer is empty, and no NXDOMAIN (RFC 2308).
 */
export function decide(query: Query, asker: Asker): Decision {
  const { name, type, isInternet } = query;
  if (!isInternet) return { rcode: rcodes.refused, answers: [] };
  if (/(^|\.)localhost$/.test(name)) return addressAnswers(["127.0.0.1", "::1"], type, asker);
  const reverse = addressOfReverse(name);
  if (reverse !== undefined) return decideReverse(reverse, type, asker);
  for (const zone of asker.zones) {
    for (const one of [name, withoutNetwork(name, zone) ?? ""]) {
      const found = addressesOf(zone, one, asker.isThere);
      if (found.length > 0) return addressAnswers(found, type, asker);
    }
  }
  if (asker.zones.some((zone) => withoutNetwork(name, zone) !== undefined)) return unknown;
  if (name !== "" && !name.includes(".") && !zoneTypes.includes(type)) return unknown;
  return "forward";
}

/** "db" of "db.shop" on network "shop". */
function withoutNetwork(name: string, { network }: Zone): string | undefined {
  const end = `.${network.toLowerCase()}`;
  return name.endsWith(end) ? name.slice(0, -end.length) : undefined;
}

function addressAnswers(
  addresses: readonly string[],
  asked: number,
  { choose }: Pick<Asker, "choose">,
): Verdict {
  const answers = addresses.map((data): Answer => ({ type: data.includes(":") ? "AAAA" : "A", data }))
    .filter(({ type }) => asked === types.ANY || types[type] === asked);
  const first = answers.length > 1 ? choose(answers.length) : 0;
  return { ...nothing, answers: [...answers.slice(first), ...answers.slice(0, first)] };
}

function decideReverse(address: string, type: number, { zones, isOurs, isThere }: Asker): Decision {
  for (const { network, members } of zones) {
    const owner = members.get(address)?.find(isThere);
    if (!owner) continue;
    const isAsked = type === types.PTR || type === types.ANY;
    return isAsked
      ? { ...nothing, answers: [{ type: "PTR", data: `${idsOf(owner.id).at(-1)}.${network}` }] }
      : nothing;
  }
  return isOurs(address) ? unknown : "forward";
}

/** The address that a name below in-addr.arpa or ip6.arpa is of. */
export function addressOfReverse(name: string): string | undefined {
  const v4 = /^((?:[0-9]{1,3}\.){4})in-addr\.arpa$/.exec(name)?.[1];
  if (v4 !== undefined) return parseAddress(v4.split(".").slice(0, 4).reverse().join("."));
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  if (v6 === undefined) return undefined;
  return fromNumber(BigInt(`0x${v6.split(".").slice(0, 32).reverse().join("")}`), 6);
}

/** Whether an address is in one of many subnets, at a cost that grows with the number of their lengths alone. */
export function subnetsOf(cidrs: readonly string[]): (address: string) => boolean {
  const known = new Set(cidrs.map(networkOf));
  const lengths = [...new Set(cidrs.map((cidr) => `${cidr.includes(":")} ${cidr.split("/")[1]}`))]
    .map((text) => text.split(" ") as [string, string]);
  return (address) =>
    lengths.some(([six, length]) =>
      six === String(address.includes(":")) && known.has(networkOf(`${address}/${length}`))
    );
}
