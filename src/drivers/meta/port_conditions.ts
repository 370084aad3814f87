import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { family, networkOf, parseAddress, parseCidr, toNumber } from "../../net/address.ts";
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
 * Reads `conditionsV4` and `conditionsV6`, whose words are nft's, or those of iptables that can be said in nft's.
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
  const parts = words.flatMap(separated);
  const matches: string[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    const not = parts[i] === "!";
    if (not) i++;
    matches.push(...translateMatch({ option: parts[i], value: parts[i + 1], not, key, of }));
  }
  return matches.join(" ");
}

/** iptables takes an option's value in the same word, too: `--src=192.0.2.1`, `-s192.0.2.1`. */
function separated(word: string): readonly string[] {
  const [, option, value] = /^(--[a-z-]+)=(.*)$/.exec(word) ?? /^(-[sdiom])(.+)$/.exec(word) ?? [];
  return option === undefined ? [word] : [option, value!];
}

/** One match of iptables. */
interface Match {
  readonly option: string | undefined;
  readonly value: string | undefined;
  readonly not: boolean;
  readonly key: string;
  readonly of: 4 | 6;
}

/** What each option of iptables is in nft's words. Those of the modules are as in iptables-extensions(8). */
const options: Readonly<Record<string, (match: Match) => string>> = {
  "--source": (match) => `${ipOf(match)} saddr ${addressesOf(match)}`,
  "--destination": (match) => `${ipOf(match)} daddr ${addressesOf(match)}`,
  "--in-interface": (match) => `iifname ${linkOf(match)}`,
  "--out-interface": (match) => `oifname ${linkOf(match)}`,
  "--comment": () => "",
  "--src-type": (match) => `fib saddr type ${typesOf(match)}`,
  "--dst-type": (match) => `fib daddr type ${typesOf(match)}`,
  "--source-port": (match) => `th sport ${portsOf(match)}`,
  "--ctstate": (match) => `ct state ${statesOf(match)}`,
  "--mark": markOf,
};

/** Other spellings of them. */
const spellings: Readonly<Record<string, string>> = {
  ...{ "-s": "--source", "--src": "--source", "-d": "--destination", "--dst": "--destination" },
  ...{ "-i": "--in-interface", "-o": "--out-interface", "--sport": "--source-port", "--state": "--ctstate" },
};

/** Modules whose options are known, and what each says by being named. */
const modules: Readonly<Record<string, string>> = {
  ...{ comment: "", addrtype: "", mark: "", conntrack: "", state: "" },
  ...{ tcp: "meta l4proto tcp", udp: "meta l4proto udp", sctp: "meta l4proto sctp" },
};

function translateMatch(match: Match): readonly string[] {
  const { option = "!", value, not, key } = match;
  if (option === "-m" || option === "--match") return moduleOf(match);
  const name = spellings[option] ?? option;
  if (!Object.hasOwn(options, name)) {
    throw refuse(
      `Cannot use ${JSON.stringify(option)} of "${key}": of iptables' words only ! and ` +
        `${[...Object.keys(options), "-m"].join(", ")} are known; say it in nft's`,
    );
  }
  if (value === undefined) throw refuse(`Cannot use "${option}" of "${key}": it has no value`);
  if (not && name === "--comment") {
    throw refuse(`Cannot use "! ${option}" of "${key}": a comment matches all`);
  }
  const translated = options[name]!(match);
  return translated === "" ? [] : [translated];
}

function moduleOf({ value = "", not, key }: Match): readonly string[] {
  if (not || !Object.hasOwn(modules, value)) {
    throw refuse(
      `Cannot use ${
        JSON.stringify(`${not ? "! " : ""}-m ${value}`)
      } of "${key}": of iptables' modules only ` +
        `${Object.keys(modules).join(", ")} are known; say it in nft's words`,
    );
  }
  return modules[value] === "" ? [] : [modules[value]!];
}

function ipOf({ of }: Match): string {
  return of === 4 ? "ip" : "ip6";
}

/** Several values of a match are a set. */
function anyOf({ not }: Match, values: readonly string[]): string {
  return `${not ? "!= " : ""}${values.length === 1 ? values[0]! : `{ ${values.join(", ")} }`}`;
}

function addressesOf(match: Match): string {
  const { value = "", key, of } = match;
  const all = value.split(",").map((text) => {
    const address = parseAddress(text) ?? networkIn(withLength(text));
    if (address && family(address) === of) return address;
    throw refuse(`Cannot use ${JSON.stringify(text)} of "${key}": it is no IPv${of} address or prefix`);
  });
  return anyOf(match, all);
}

function networkIn(text: string): string | undefined {
  return parseCidr(text) && networkOf(text);
}

/** iptables takes a mask for a length: 192.0.2.0/255.255.255.0. */
function withLength(text: string): string {
  const [address, mask = ""] = text.split("/");
  const parsed = mask.includes(".") ? parseAddress(mask) : undefined;
  if (parsed === undefined) return text;
  const [, ones, zeros] = /^(1*)(0*)$/.exec(toNumber(parsed).toString(2).padStart(32, "0")) ?? [];
  return zeros === undefined ? text : `${address}/${ones!.length}`;
}

/** iptables' "eth+" is nft's "eth*". */
function linkOf(match: Match): string {
  const { value = "", key } = match;
  const name = value.replace(/\+$/, "");
  const problem = linkNameProblem(name);
  if (problem !== undefined) {
    throw refuse(`Cannot use ${JSON.stringify(value)} of "${key}": ${problem}`);
  }
  return anyOf(match, [`"${name === value ? name : `${name}*`}"`]);
}

const addressTypes = ["unspec", "unicast", "local", "broadcast", "anycast", "multicast"];

function typesOf(match: Match): string {
  return anyOf(match, wordsOf(match, [...addressTypes, "blackhole", "unreachable", "prohibit"]));
}

function statesOf(match: Match): string {
  return anyOf(match, wordsOf(match, ["invalid", "new", "established", "related", "untracked"]));
}

function wordsOf({ option, value = "", key }: Match, known: readonly string[]): readonly string[] {
  const words = value.toLowerCase().split(",");
  const odd = words.find((word) => !known.includes(word));
  if (odd === undefined) return words;
  throw refuse(
    `Cannot use "${option} ${value}" of "${key}": ${JSON.stringify(odd)} is none of ${known.join(", ")}`,
  );
}

function portsOf(match: Match): string {
  const { option, value = "", key } = match;
  const [, first, last = first] = /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(value) ?? [];
  if (first === undefined || Number(first) > Number(last) || Number(last) > 65535) {
    throw refuse(`Cannot use "${option} ${value}" of "${key}": it is no port, or range as 1024:65535`);
  }
  return anyOf(match, [last === first ? first : `${first}-${last}`]);
}

/** VALUE, or VALUE/MASK, each in decimal or in hexadecimal. */
function markOf({ option, value = "", not, key }: Match): string {
  const numbers = value.split("/").map((text) => /^(0x[0-9a-f]+|[0-9]+)$/i.test(text) ? Number(text) : NaN);
  if (numbers.length > 2 || !numbers.every((number) => number <= 0xffffffff)) {
    throw refuse(`Cannot use "${option} ${value}" of "${key}": it is no mark, or mark and mask as 0x1/0xff`);
  }
  const [mark, mask = 0xffffffff] = numbers;
  return `meta mark & ${mask} ${not ? "!=" : "=="} ${mark}`;
}
