import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { family, networkOf, parseAddress, parseCidr } from "../../net/address.ts";
import { linkNameProblem } from "../../net/names.ts";

/** What packets have to be to be led to a port, of each family in nft's words; "" for any. */
export interface Conditions {
  readonly 4: string;
  readonly 6: string;
}

/** The keys, and the family of each. */
const keys = [["conditionsV4", 4], ["conditionsV6", 6]] as const;

/** Either syntax, which the first word tells: that of iptables begins with "-" or "!" (portmap's validateConditions). */
type Syntax = "iptables" | "nftables";

/**
 * Reads `conditionsV4` and `conditionsV6`, whose words are nft's, or of iptables' `-s`, `-d` and `-i`, each maybe after "!".
 * @param backend the syntax that the configuration says it is in
 * @throws CniError for the other one, and for words that are none of these
 */
export function parseConditions(conf: Fields, backend: Syntax | undefined): Conditions {
  const [four, six] = keys.map(([key, of]) => {
    const words = conf.strings(key) ?? [];
    if (words.length === 0) return "";
    const syntax = /^[-!]/.test(words[0]!) ? "iptables" : "nftables";
    if (backend !== undefined && syntax !== backend) {
      throw refuse(
        `${backend} backend was requested but configuration contains ${syntax}-specific options [${key}]`,
      );
    }
    return syntax === "iptables" ? translate(words, key, of) : checked(words, key);
  });
  return { 4: four!, 6: six! };
}

function refuse(problem: string): CniError {
  return new CniError("internal", `failed to parse config: ${problem}`);
}

/** A line of nft must not end in the middle, nor be another. */
function checked(words: readonly string[], key: string): string {
  const odd = words.find((word) => !/^[A-Za-z0-9_.:\/,{}<>=!&|*" +-]+$/.test(word));
  if (odd === undefined) return words.join(" ");
  throw refuse(`Cannot use ${JSON.stringify(odd)} of "${key}": it is no word of a rule`);
}

function translate(words: readonly string[], key: string, of: 4 | 6): string {
  const matches: string[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const not = words[i] === "!";
    if (not) i++;
    matches.push(translateMatch({ option: words[i], value: words[i + 1], not, key, of }));
  }
  return matches.join(" ");
}

/** One match of iptables. */
interface Match {
  readonly option: string | undefined;
  readonly value: string | undefined;
  readonly not: boolean;
  readonly key: string;
  readonly of: 4 | 6;
}

function translateMatch(match: Match): string {
  const ip = match.of === 4 ? "ip" : "ip6";
  const equals = match.not ? "!= " : "";
  switch (match.option) {
    case "-s":
    case "--source":
      return `${ip} saddr ${equals}${addressesOf(match)}`;
    case "-d":
    case "--destination":
      return `${ip} daddr ${equals}${addressesOf(match)}`;
    case "-i":
    case "--in-interface":
      return `iifname ${equals}"${linkOf(match)}"`;
    default:
      throw refuse(
        `Cannot use ${JSON.stringify(match.option ?? "!")} of "${match.key}": of iptables' words ` +
          "only -s, -d, -i and ! are known; say it in nft's",
      );
  }
}

function addressesOf({ value = "", key, of }: Match): string {
  const all = value.split(",").map((text) => {
    const address = parseAddress(text) ?? (parseCidr(text) && networkOf(text));
    if (address && family(address) === of) return address;
    throw refuse(`Cannot use ${JSON.stringify(text)} of "${key}": it is no IPv${of} address or prefix`);
  });
  return all.length === 1 ? all[0]! : `{ ${all.join(", ")} }`;
}

/** iptables' "eth+" is nft's "eth*". */
function linkOf({ value = "", key }: Match): string {
  const name = value.replace(/\+$/, "");
  const problem = linkNameProblem(name);
  if (problem !== undefined) {
    throw refuse(`Cannot use ${JSON.stringify(value)} of "${key}": ${problem}`);
  }
  return name === value ? name : `${name}*`;
}
