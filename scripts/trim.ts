/** What dist/ocinet leaves out of packages that do more than ocinet needs. */
import { readFileSync } from "node:fs";
import type { Plugin } from "esbuild";

/** A package's file, and what goes of it. */
export interface Trim {
  readonly file: RegExp;
  readonly unused: readonly (readonly [pattern: RegExp, instead: string])[];
}

/** Methods of Commander that neither it nor ocinet calls. */
const uncalled = [
  ...[
    "addCommand",
    "addHelpCommand",
    "allowExcessArguments",
    "allowUnknownOption",
    "combineFlagAndOptionalValue",
    "commandsGroup",
  ],
  ...["executableDir", "getOptionValueSourceWithGlobals", "hook", "optionsGroup", "optsWithGlobals", "parse"],
  ...["requiredOption", "setOptionValue", "showSuggestionAfterError", "storeOptionsAsProperties"],
  // With what is emptied below, no one calls these either.
  ...["_checkForMissingExecutable", "_checkForConflictingLocalOptions", "_conflictingOption"],
  ...["nameFromFilename", "saveStateBeforeParse", "restoreStateBeforeParse"],
];

/** Methods of Commander that it calls for what no option of ocinet's is: bound to a variable, or to another option. */
const idle = ["_checkForConflictingOptions", "_parseOptionsEnv", "_parseOptionsImplied", "_prepareForParse"];

/** Methods that give back what they are given: there are no hooks, and the words are the user's alone, and read once. */
const passing = ["_prepareUserArgs", "_chainOrCallHooks", "_chainOrCallSubCommandHook"];

const method = (name: string) => new RegExp(`\\n {2}${name}\\([^]*?\\n {2}\\}\\n`);

/**
 * Commander starts a program for a command: a method, and a function that only it calls. No command of ocinet's is one.
 */
export const commander: Trim = {
  file: /\/commander\/lib\/command\.js$/,
  unused: [
    [/\n {2}_executeSubCommand\([^]*?\n {2}\}\n/, "\n  _executeSubCommand() {}\n"],
    [/\nfunction incrementNodeInspectorPort\([^]*?\n\}\n/, "\n"],
    ...uncalled.map((name) => [method(name), "\n"] as const),
    ...idle.map((name) => [method(name), `\n  ${name}() {}\n`] as const),
    ...passing.map((name) => [method(name), `\n  ${name}(given) { return given; }\n`] as const),
  ],
};

/** The same of its arguments. */
export const commanderArgument: Trim = {
  file: /\/commander\/lib\/argument\.js$/,
  unused: ["choices", "argRequired", "argOptional"].map((name) => [method(name), "\n"] as const),
};

/** No argument has a description, without which the help shows none. */
export const commanderHelp: Trim = {
  file: /\/commander\/lib\/help\.js$/,
  unused: [
    [method("visibleArguments"), "\n  visibleArguments() { return []; }\n"],
    [method("longestArgumentTermLength"), "\n  longestArgumentTermLength() { return 0; }\n"],
    ...["argumentTerm", "argumentDescription"].map((name) => [method(name), "\n"] as const),
  ],
};

/** The same of its options. */
export const commanderOption: Trim = {
  file: /\/commander\/lib\/option\.js$/,
  unused: [
    [/\nclass DualOptions \{[^]*?\n\}\n/, "\n"],
    [/\nexports\.DualOptions = DualOptions;\n/, "\n"],
    ...["preset", "conflicts", "implies", "env"].map((name) => [method(name), "\n"] as const),
  ],
};

/**
 * dns-packet knows what is in a record of each type. The resolver answers with addresses and names, and of a question it
 * needs EDNS alone; what it hears from other servers it passes on as it came. A record of another type is bytes, as is an option of EDNS.
 */
export const dnsPacket: Trim = {
  file: /\/dns-packet\/index\.js$/,
  unused: [
    [/\nconst rtxt = [^]*?(?=\nconst rnull = )/, "\n"],
    [/\nconst rhinfo = [^]*?(?=\nconst rptr = )/, "\n"],
    [/\nconst rsrv = [^]*?(?=\nconst ra = )/, "\n"],
    [/\nconst rdnskey = [^]*?(?=\nconst renc = )/, "\n"],
    [/\nconst optioncodes = .*/, "\n"],
    [/\nroption\.encode = [^]*?(?=\nroption\.decode = )/, "\n"],
    [/\n {2}option\.type = .*/, "\n"],
    [/(?<=\n {2}option\.data = .*)\n {2}switch \(option\.code\) \{[^]*?\n {2}\}(?=\n)/, "\n"],
    [/\nroption\.encodingLength = [^]*?(?=\nconst ropt = )/, "\n"],
    [/\nropt\.encode = [^]*?(?=\nropt\.decode = )/, "\n"],
    [/\nropt\.encodingLength = [^]*?\n\}(?=\n)/, "\n"],
    [/\nexports\.streamEncode = [^]*?(?=\nfunction encodingLengthList )/, "\n"],
    [
      /\n {4}case '(TXT|HINFO|SRV|CAA|MX|DNSKEY|RRSIG|RP|NSEC3?|SSHFP|DS|NAPTR|TLSA)': return r\w+(?=\n)/g,
      "\n",
    ],
  ],
};

/**
 * ipaddr.js also knows special ranges and masks, and reads prefixes, IPv4 in other forms than four numbers, and IPv4 in
 * IPv6, which address.ts does by its own rules. Of IPv6's ranges it needs that of IPv4-mapped addresses itself.
 */
export const ipaddr: Trim = {
  file: /\/ipaddr\.js\/lib\/ipaddr\.js$/,
  unused: [
    [/\n( {8})IPv4\.prototype\.SpecialRanges = [^]*?\n\1\};(?=\n)/, "\n"],
    [/(?<=\n {8}IPv6\.prototype\.SpecialRanges = \{)\n[^]*?(?=\n +ipv4Mapped: )/, "\n"],
    [/(?<=\n +ipv4Mapped: .*)\n[^]*?(?=\n {8}\};\n)/, "\n"],
    [/\n( {8})IPv4\.prototype\.(match|range|toIPv4MappedAddress) = [^]*?\n\1\};(?=\n)/g, "\n"],
    [/\n {4}const octalRegex = .*\n {4}const hexRegex = .*/, "\n"],
    [/\n {4}function parseIntAuto [^]*?\n {4}\}(?=\n)/, "\n"],
    [/parseIntAuto\(part\)/, "parseInt(part, 10)"],
    [/\n {8}threeOctet: [^]*? {8}longValue: .*(?=\n)/, "\n"],
    [
      /\n {8}\} else if \(\(match = string\.match\(ipv4Regexes\.longValue\)\)\) \{[^]*?(?=\n {8}\} else \{\n {12}return null;)/,
      "\n",
    ],
    [
      /\n {8}if \(\(match = string\.match\(ipv6Regexes\.deprecatedTransitional\)\)\) \{[^]*?\n {8}\}(?=\n)/,
      "\n",
    ],
    [/\n {8}if \(\(match = string\.match\(ipv6Regexes\.transitional\)\)\) \{[^]*?\n {8}\}(?=\n)/, "\n"],
    [/\n {8}deprecatedTransitional: [^]*? {8}transitional: .*(?=\n)/, "\n"],
    [/\n( {8})IPv6\.prototype\.toFixedLengthString = [^]*?\n\1\};(?=\n)/, "\n"],
    [/\n( {8})IPv[46]\.prototype\.prefixLengthFromSubnetMask = [^]*?\n\1\};(?=\n)/g, "\n"],
    [
      /\n( {4})ipaddr\.(IPv[46]\.)?(broadcast|network|subnetMask|parseCIDR|isValidCIDR)\w* = [^]*?\n\1\};(?=\n)/g,
      "\n",
    ],
  ],
};

/** The source without it; its lines stay where they are. @throws Error if it is not as it is known */
export function trimmed(source: string, { file, unused }: Trim): string {
  const lines = (part: string) => part.split("\n").length;
  return unused.reduce((text, [pattern, instead]) => {
    if (text.search(pattern) < 0) throw new Error(`Cannot leave out what is not in ${file}: ${pattern}`);
    return text.replace(pattern, (found) => instead + "\n".repeat(lines(found) - lines(instead)));
  }, source);
}

/** Bundles them so. */
export const trim: Plugin = {
  name: "trim",
  setup: ({ onLoad }) =>
    [commander, commanderOption, commanderArgument, commanderHelp, dnsPacket, ipaddr].forEach((one) =>
      onLoad({ filter: one.file }, ({ path }) => ({ contents: trimmed(readFileSync(path, "utf8"), one) }))
    ),
};
