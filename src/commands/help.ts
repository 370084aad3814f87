import type { Help } from "commander";
import type { Option } from "../wire/oci/options.ts";

/** The commands in the order of their help, under what they are for. What is not named comes last of the first group. */
const headings: Readonly<Record<string, readonly string[]>> = {
  "Containers and networks:": ["run", "up", "down", "ls", "map", "inspect", "port", "network"],
  "Container runtimes:": ["inject", "hooks-json", "hook"],
  "Without root:": ["session", "helper"],
  "CNI:": ["cni", "install-plugins"],
  "Engines:": ["docker-plugin", "netavark-plugin"],
  "Several hosts:": ["cluster", "agent"],
  "This machine:": ["doctor", "trace", "top", "gc", "repair", "completion", "help", "version"],
};

/** A command's heading, and its place among all. */
export function headingOf(name: string): { readonly heading: string; readonly place: number } {
  const all = Object.entries(headings);
  const found = all.findIndex(([, names]) => names.includes(name));
  const [heading, names] = all[Math.max(found, 0)]!;
  return { heading, place: Math.max(found, 0) * 100 + (found < 0 ? 99 : names.indexOf(name)) };
}

/** Headings of options in the order of the help, after those that are of a command's own. */
const optionHeadings: Readonly<Record<string, readonly string[]>> = {
  "Network:": ["net", "net-dir"],
  "Ports:": ["publish", "service", "publish-mesh", "affinity", "proxy-protocol"],
  "Names:": ["dns", "dns-search", "dns-opt", "dns-domain", "hosts-entry", "hostname"],
  "Limits:": ["egress", "rate-in", "rate-out"],
  "Without root:": ["uplink", "port-driver"],
};

/** The heading of options that are of a command's own. */
export const ownHeading = "Options:";

/** What an option is for; most are of a command's own. */
export function optionHeading({ name }: Pick<Option, "name">): string {
  return Object.entries(optionHeadings).find(([, names]) => names.includes(name))?.[0] ?? ownHeading;
}

/** Options in the order of their headings. */
export function inGroups(options: readonly Option[]): readonly Option[] {
  const places = [ownHeading, ...Object.keys(optionHeadings)];
  const placeOf = (option: Option) => places.indexOf(optionHeading(option));
  return options.toSorted((a, b) => placeOf(a) - placeOf(b));
}

/** What ocinet is, in one sentence. */
export const summary =
  "A network for any OCI container, root or rootless: a hook for runc, crun and podman, and a command";

/** The heading of what every command has. */
export const outputHeading = "Output:";

/** A command, as far as its output is concerned. */
interface Answering {
  readonly runs?: boolean;
  readonly plain?: boolean;
  readonly formats?: boolean;
  readonly changes?: boolean;
  readonly options?: readonly Option[];
  readonly flags?: Readonly<Record<string, string>>;
}

/** The options of a command's output, in Commander's notation, but for those that it has of its own. */
export function outputOptions(
  { runs = false, plain = runs, formats = !plain, changes = false, options = [], flags = {} }: Answering,
): readonly (readonly [words: string, text: string])[] {
  const hasFormat = options.some(({ name }) => name === "format");
  return [
    ...runs ? [] : [["--json", "print JSON"] as const],
    ...!formats || hasFormat ? [] : [
      [
        "--format <template>",
        "print a Go template, filled with the keys of --json, for each item of a list",
      ] as const,
    ],
    ...plain || "q, quiet" in flags ? [] : [["-q, --quiet", "print errors and warnings only"] as const],
    ...changes ? [["--dry-run", "print what would be done, without doing it"] as const] : [],
    ["--log-level <level>", "error, or debug to print every program that is run"],
  ];
}

/** How Commander lays help out: names alone in the list of commands, and in a narrow terminal texts below their words. */
export const helpLayout: Partial<Help> = {
  minWidthToWrap: 20,
  subcommandTerm: (command) => command.name(),
  formatItem(term, termWidth, description, helper) {
    const width = helper.helpWidth ?? 80;
    const room = width - termWidth - 4;
    const isNarrow = room < 30;
    const text = wrap(description, isNarrow ? width - 6 : room);
    const lines = text.split("\n");
    if (description === "") return `  ${term}`;
    if (isNarrow) return [`  ${term}`, ...lines.map((line) => `      ${line}`)].join("\n");
    return lines.map((line, i) => `  ${(i === 0 ? term : "").padEnd(termWidth)}  ${line}`).join("\n");
  },
};

/** Paragraphs in lines of a width at most, where their words allow that; lines that begin with blanks stay as they are. */
export function wrap(text: string, width: number): string {
  const parts: string[] = [];
  let isOpen = false;
  for (const line of text.split("\n")) {
    const isPlain = /^\S/.test(line);
    if (isPlain && isOpen) parts[parts.length - 1] += ` ${line}`;
    else parts.push(line);
    isOpen = isPlain;
  }
  return parts.map((part) => /^\S/.test(part) ? fill(part, width) : part).join("\n");
}

function fill(text: string, width: number): string {
  const lines: string[] = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.join("\n");
}
