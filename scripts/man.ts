/** Manual pages, made of the table that the help is made of (src/commands/verbs.ts). */
import {
  headingOf,
  inGroups,
  optionHeading,
  outputHeading,
  outputOptions,
  ownHeading,
  summary,
  wrap,
} from "../src/commands/help.ts";
import { allTopics, topicNamed } from "../src/commands/topics.ts";
import { exampleOf, groups, type Verb, verbs } from "../src/commands/verbs.ts";

/** A page of section 1: its file's name, and what is in it, in man(7)'s macros. */
export interface Page {
  readonly file: string;
  readonly text: string;
}

/** An option with its heading, as it is typed, and what it does. */
type Row = readonly [heading: string, words: string, text: string];

/** All pages: the program's, each group's and each command's. @param date of the pages, as 2026-11-29 */
export function pages(version: string, date: string): readonly Page[] {
  const page = (name: string, body: readonly string[]): Page => ({
    file: `${name}.1`,
    text: `${
      [`.TH ${name.toUpperCase()} 1 ${date} "ocinet ${version}" "ocinet manual"`, ".nh", ".ad l", ...body]
        .join("\n")
    }\n`,
  });
  return [
    page("ocinet", programPage()),
    ...Object.keys(groups).map((group) => page(`ocinet-${group}`, groupPage(group as keyof typeof groups))),
    ...verbs.map((verb) => page(pageName(verb), verbPage(verb))),
  ];
}

function programPage(): readonly string[] {
  const top = [...verbs.filter(({ group }) => group === undefined), ...Object.keys(groups)].map((one) =>
    typeof one === "string"
      ? { name: one, text: groups[one as keyof typeof groups].text }
      : { name: nameOf(one), text: one.text }
  ).toSorted((a, b) => headingOf(a.name).place - headingOf(b.name).place);
  const headings = [...new Set(top.map(({ name }) => headingOf(name).heading))];
  return [
    ...nameSection("ocinet", summary),
    ".SH SYNOPSIS",
    ...synopsis("ocinet", "[options] command [argument...]"),
    ".SH COMMANDS",
    ...headings.flatMap((heading) => [
      `.SS ${quoted(heading.replace(/:$/, ""))}`,
      ...top.filter(({ name }) => headingOf(name).heading === heading).flatMap(({ name, text }) => [
        ".TP",
        `.BR ocinet\\-${escape(name)} (1)`,
        line(sentence(text)),
      ]),
    ]),
    ".SH TOPICS",
    "Each is in",
    ".BR ocinet\\-help (1),",
    "and printed by ocinet help TOPIC.",
    ...definitions(allTopics().map(({ name, text }) => [name, text])),
    ".SH EXIT STATUS",
    ...definitions(topicNamed("exit-codes")!.rows),
    ".SH ENVIRONMENT",
    ...definitions(topicNamed("environment")!.rows),
    ".SH FILES",
    ...definitions(topicNamed("files")!.rows),
    ".SH EXAMPLES",
    ...example("ocinet run -p 8080:80 -- python3 -m http.server 80"),
  ];
}

function groupPage(group: keyof typeof groups): readonly string[] {
  const own = verbs.filter((verb) => verb.group === group);
  return [
    ...nameSection(`ocinet-${group}`, groups[group].text),
    ".SH SYNOPSIS",
    ...synopsis(`ocinet ${group}`, "command [argument...]"),
    ".SH COMMANDS",
    ...own.flatMap((verb) => [
      ".TP",
      `.BR ${escape(pageName(verb))} (1)`,
      line(sentence(verb.text)),
    ]),
    ".SH EXAMPLES",
    ...example(groups[group].example),
    ...seeAlso(["ocinet"]),
  ];
}

function verbPage(verb: Verb): readonly string[] {
  const rows = optionRows(verb);
  const headings = [...new Set(rows.map(([heading]) => heading))];
  const words = verb.usage.split(" ").slice(1).join(" ");
  return [
    ...nameSection(pageName(verb), verb.text),
    ".SH SYNOPSIS",
    ...synopsis(commandOf(verb), `[options] ${words}`),
    ...verb.more === undefined ? [] : [".SH DESCRIPTION", ...paragraphs(verb.more)],
    ".SH OPTIONS",
    ...headings.flatMap((heading) => [
      ...heading === ownHeading ? [] : [`.SS ${quoted(heading.replace(/:$/, ""))}`],
      ...definitions(rows.filter(([own]) => own === heading).map(([, words, text]) => [words, text])),
    ]),
    ".SH EXAMPLES",
    ...example(verb.example),
    ...nameOf(verb) === "help" ? topicSections() : [],
    ...seeAlso(verb.group === undefined ? ["ocinet"] : ["ocinet", `ocinet-${verb.group}`]),
  ];
}

/** All topics, each below a heading of its own. */
function topicSections(): readonly string[] {
  return allTopics().flatMap(({ name, text, rows, more, examples, of = [] }) => [
    `.SH ${quoted(name.toUpperCase())}`,
    line(sentence(text)),
    ...definitions(rows),
    ...more === undefined ? [] : [".PP", line(more)],
    ".PP",
    ...example((examples ?? of.map(exampleOf)).join("\n")),
  ]);
}

function optionRows(verb: Verb): readonly Row[] {
  const own = inGroups(verb.options ?? []).map((option): Row => [
    optionHeading(option),
    `${option.short ? `-${option.short}, ` : ""}--${option.name} ${
      option.bare ? `[${option.value}]` : option.value
    }`,
    option.text + (option.many ? "; may be repeated" : ""),
  ]);
  const flags = Object.entries(verb.flags ?? {}).map(([name, text]): Row => {
    const [letter, long] = name.split(", ");
    return [ownHeading, long === undefined ? `--${letter}` : `-${letter}, --${long}`, text];
  });
  const output = outputOptions(verb).map(([words, text]): Row => [
    outputHeading,
    words.replace(/<(\w+)>/, (_, value: string) => value.toUpperCase()),
    text,
  ]);
  // Options without a heading come first: they follow .SH OPTIONS itself.
  const all = [...own, ...flags, ...output, [outputHeading, "-h, --help", "print help"] as const];
  return all.toSorted((a, b) => Number(a[0] !== ownHeading) - Number(b[0] !== ownHeading));
}

function nameOf({ usage }: Verb): string {
  return usage.split(" ")[0]!;
}

function commandOf(verb: Verb): string {
  return ["ocinet", ...verb.group === undefined ? [] : [verb.group], nameOf(verb)].join(" ");
}

function pageName(verb: Verb): string {
  return commandOf(verb).replaceAll(" ", "-");
}

function nameSection(name: string, text: string): readonly string[] {
  return [".SH NAME", `${escape(name)} \\- ${line(text)}`];
}

function synopsis(command: string, words: string): readonly string[] {
  return [`.B ${escape(command)}`, line(words)];
}

function seeAlso(names: readonly string[]): readonly string[] {
  return [
    ".SH SEE ALSO",
    ...names.map((name, i) => `.BR ${escape(name)} (1)${i + 1 < names.length ? "," : ""}`),
  ];
}

function definitions(rows: readonly (readonly [string, string])[]): readonly string[] {
  return rows.flatMap(([word, text]) => [".TP", `.B ${escape(word)}`, line(sentence(text))]);
}

function example(text: string): readonly string[] {
  return [".EX", ...text.split("\n").map((one) => line(one.trim())), ".EE"];
}

/** Lines that begin with blanks stay lines; others are filled. */
function paragraphs(text: string): readonly string[] {
  let isOpen = false;
  return wrap(text.trim(), 100).split("\n").flatMap((one) => {
    const isFixed = /^\s+\S/.test(one);
    const before = isFixed === isOpen ? [] : [isFixed ? ".EX" : ".EE"];
    isOpen = isFixed;
    return [...before, one.trim() === "" ? ".PP" : line(isFixed ? one : one.trim())];
  }).concat(isOpen ? [".EE"] : []).filter((one, i, all) =>
    one !== ".PP" || !/^\.(PP|EX|EE)?$/.test(all[i + 1] ?? "")
  );
}

function sentence(text: string): string {
  const first = /^[a-z]+ /.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

function quoted(text: string): string {
  return `"${escape(text)}"`;
}

/** A line of text: one that begins as a request does is none. */
function line(text: string): string {
  return escape(text).replace(/^(?=[.'])/, "\\&");
}

const glyphs: Readonly<Record<string, string>> = {
  ...{
    "\\": "\\e",
    "-": "\\-",
    "~": "\\(ti",
    "^": "\\(ha",
    "`": "\\(ga",
    "'": "\\(aq",
    '"': "\\(dq",
    "…": "...",
  },
};

function escape(text: string): string {
  return text.replace(/[\\\-~^`'"…]/g, (glyph) => glyphs[glyph]!);
}

if (import.meta.main) {
  const [directory = "dist/man/man1"] = Deno.args;
  const { version } = JSON.parse(Deno.readTextFileSync("package.json")) as { version: string };
  const seconds = Number(Deno.env.get("SOURCE_DATE_EPOCH"));
  if (!Number.isInteger(seconds)) throw new Error("SOURCE_DATE_EPOCH is not a number of seconds");
  Deno.mkdirSync(directory, { recursive: true });
  for (const { file, text } of pages(version, new Date(seconds * 1000).toISOString().slice(0, 10))) {
    Deno.writeTextFileSync(`${directory}/${file}`, text);
  }
  // Something in the modules keeps a handle open.
  Deno.exit(0);
}
