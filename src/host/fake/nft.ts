/** nft's language, as far as ocinet uses it. One input takes effect completely or not at all. */
import { type FakeElements, type FakeTable, type Namespace, showElement } from "./kernel.ts";
import type { Output } from "../../plan/world.ts";

/** An error at a line of the input; the first line is 1. */
class NftError extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

const [missing, exists] = ["No such file or directory", "File exists"];

/** Runs the input. */
export function runNft(namespace: Namespace, text: string): Output {
  const before = structuredClone(namespace.tables);
  try {
    const said = statements(text).map(({ line, words }) => doStatement(namespace, line, words));
    return { code: 0, stdout: said.join(""), stderr: "" };
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    namespace.tables = before;
    return { code: 1, stdout: "", stderr: `/dev/stdin:${error.line}:1-9: Error: ${error.message}\n` };
  }
}

/** Runs a `list` command. */
export function listNft({ tables }: Namespace, words: readonly string[]): Output {
  const [what, family, name, chain] = words.filter((word) => !word.startsWith("-")).slice(1);
  if (what === "tables") {
    return { code: 0, stdout: Object.keys(tables).map((key) => `table ${key}\n`).join(""), stderr: "" };
  }
  const table = tables[`${family} ${name}`];
  const gone = !table || (what === "chain" && !table.chains[chain!]);
  if (gone) return { code: 1, stdout: "", stderr: `Error: ${missing}\n` };
  return { code: 0, stdout: printTable(`${family} ${name}`, table), stderr: "" };
}

function printTable(name: string, { sets, chains }: FakeTable): string {
  const rows = [
    ...Object.entries(sets).flatMap(([set, { isMap, elements }]) => [
      `\t${isMap ? "map" : "set"} ${set} {`,
      ...Object.keys(elements).length === 0
        ? []
        : [`\t\telements = { ${showElements(elements).join(",\n\t\t\t     ")} }`],
      "\t}",
    ]),
    ...Object.entries(chains).flatMap(([chain, { spec, rules }]) => [
      `\tchain ${chain} {`,
      ...spec === "" ? [] : [`\t\t${spec.slice(1, -1).trim()}`],
      ...rules.map((rule) => `\t\t${rule}`),
      "\t}",
    ]),
  ];
  return `table ${name} {\n${rows.join("\n")}\n}\n`;
}

function showElements(elements: FakeElements): readonly string[] {
  return Object.entries(elements).map(([key, element]) => showElement(key, element));
}

/** Splits the text into statements. They end with the line, or with a semicolon outside of braces. */
function statements(text: string): readonly { readonly line: number; readonly words: readonly string[] }[] {
  return text.split("\n").flatMap((row, i) =>
    splitRow(row).map((part) => ({ line: i + 1, words: part.trim().split(/\s+/) }))
  ).filter(({ words }) => words[0] !== "");
}

function splitRow(row: string): readonly string[] {
  if (!row.includes(";")) return [row];
  const parts = [""];
  let depth = 0;
  for (const letter of row) {
    if (letter === "{") depth++;
    if (letter === "}") depth--;
    if (letter === ";" && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts;
}

function doStatement(namespace: Namespace, line: number, words: readonly string[]): string {
  const [verb, what, family, name] = words as [string, string, string, string];
  const key = `${family} ${name}`;
  if (what === "table") {
    if (verb === "add") namespace.tables[key] ??= { chains: {}, sets: {} };
    else if (verb === "delete" && namespace.tables[key]) delete namespace.tables[key];
    else throw new NftError(line, `Could not process rule: ${missing}`);
    return "";
  }
  if (verb === "list" && what === "chains") return listChains(namespace, family);
  const table = namespace.tables[key];
  if (!table) throw new NftError(line, missing);
  if (verb === "list") return listSet(key, table, { line, set: words[4]! });
  const rest = words.slice(5);
  const own = words[4]!;
  if (what === "element") return doElement(table, { key, line, verb, set: own, text: rest.join(" ") });
  if (what === "chain") return doChain(table, { line, verb, chain: own, spec: rest.join(" ") });
  if (what === "set" || what === "map") {
    table.sets[own] ??= { spec: rest.join(" "), isMap: what === "map", elements: {} };
    return "";
  }
  if (what !== "rule" || !table.chains[own]) throw new NftError(line, `syntax error, unexpected ${what}`);
  table.chains[own].rules.push(rest.join(" "));
  return "";
}

function listChains({ tables }: Namespace, family: string): string {
  return Object.entries(tables).filter(([key]) => key.startsWith(`${family} `)).map(([key, { chains }]) =>
    printTable(key, { chains, sets: {} })
  ).join("");
}

function listSet(key: string, { sets }: FakeTable, { line, set }: { line: number; set: string }): string {
  const found = sets[set];
  if (!found) throw new NftError(line, missing);
  return printTable(key, { chains: {}, sets: { [set]: found } });
}

interface Chain {
  readonly line: number;
  readonly verb: string;
  readonly chain: string;
  readonly spec: string;
}

function doChain(table: FakeTable, { line, verb, chain, spec }: Chain): string {
  const found = table.chains[chain];
  if (verb === "add") table.chains[chain] ??= { spec, rules: [] };
  else if (!found) throw new NftError(line, `Could not process rule: ${missing}`);
  else if (verb === "flush") found.rules = [];
  else if (isLedTo(table, chain)) throw new NftError(line, "Could not process rule: Device or resource busy");
  else delete table.chains[chain];
  return "";
}

function isLedTo({ sets, chains }: FakeTable, chain: string): boolean {
  const ends = (text: string) => new RegExp(`\\b(jump|goto) ${chain}$`).test(text);
  return Object.values(sets).some(({ elements }) =>
    Object.values(elements).some(({ value }) => ends(value))
  ) ||
    Object.values(chains).some(({ rules }) => rules.some(ends));
}

interface Element {
  /** The family and name of its table. */
  readonly key: string;
  readonly line: number;
  readonly verb: string;
  readonly set: string;
  readonly text: string;
}

function doElement(table: FakeTable, { key: named, line, verb, set, text }: Element): string {
  const found = table.sets[set];
  if (!found) throw new NftError(line, missing);
  const [, comment = ""] = / comment "([^"]*)"/.exec(text) ?? [];
  const plain = text.replace(/^\{\s*|\s*\}$/g, "").replace(/ comment "[^"]*"/, "");
  const [key, value = ""] = plain.split(" : ") as [string, string?];
  const there = found.elements[key];
  switch (verb) {
    case "add":
      if (there && there.value !== value) throw new NftError(line, `Could not process rule: ${exists}`);
      found.elements[key] ??= { value, comment };
      return "";
    case "create":
      if (there) throw new NftError(line, `Could not process rule: ${exists}`);
      found.elements[key] = { value, comment };
      return "";
    case "delete":
      if (!there || (value !== "" && there.value !== value)) {
        throw new NftError(line, `Could not process rule: ${missing}`);
      }
      delete found.elements[key];
      return "";
    case "get":
      if (!there) throw new NftError(line, `Could not process rule: ${missing}`);
      return printTable(named, { chains: {}, sets: { [set]: { ...found, elements: { [key]: there } } } });
    default:
      throw new NftError(line, `syntax error, unexpected ${verb}`);
  }
}
