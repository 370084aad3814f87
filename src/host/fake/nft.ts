/** nft's language, as far as this program speaks it: what is read at once happens at once or not at all. */
import type { FakeTable, Namespace } from "./kernel.ts";
import type { Output } from "../../plan/world.ts";

/** An error at a line of the input, from 1 on. */
class NftError extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

const [missing, exists] = ["No such file or directory", "File exists"];

/** Does what was read from standard input. */
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

/** Lists what the words name. */
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

function showElements(elements: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(elements).map(([key, value]) => value === "" ? key : `${key} : ${value}`);
}

/** Statements end with the line, or with a semicolon outside of braces. */
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
  const table = namespace.tables[key];
  if (!table) throw new NftError(line, missing);
  const rest = words.slice(5);
  const own = words[4]!;
  if (what === "element") return doElement(table, { line, verb, set: own, text: rest.join(" ") });
  if (what === "chain") return doChain(table, { line, verb, chain: own, spec: rest.join(" ") });
  if (what === "set" || what === "map") {
    table.sets[own] ??= { spec: rest.join(" "), isMap: what === "map", elements: {} };
    return "";
  }
  if (what !== "rule" || !table.chains[own]) throw new NftError(line, `syntax error, unexpected ${what}`);
  table.chains[own].rules.push(rest.join(" "));
  return "";
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
  return Object.values(sets).some(({ elements }) => Object.values(elements).some(ends)) ||
    Object.values(chains).some(({ rules }) => rules.some(ends));
}

interface Element {
  readonly line: number;
  readonly verb: string;
  readonly set: string;
  readonly text: string;
}

function doElement(table: FakeTable, { line, verb, set, text }: Element): string {
  const found = table.sets[set];
  if (!found) throw new NftError(line, missing);
  const [key, value = ""] = text.replace(/^\{\s*|\s*\}$/g, "").split(" : ") as [string, string?];
  const there = found.elements[key];
  switch (verb) {
    case "add":
      if (there !== undefined && there !== value) {
        throw new NftError(line, `Could not process rule: ${exists}`);
      }
      found.elements[key] = value;
      return "";
    case "create":
      if (there !== undefined) throw new NftError(line, `Could not process rule: ${exists}`);
      found.elements[key] = value;
      return "";
    case "delete":
      if (there === undefined || (value !== "" && there !== value)) {
        throw new NftError(line, `Could not process rule: ${missing}`);
      }
      delete found.elements[key];
      return "";
    case "get":
      if (there === undefined) throw new NftError(line, `Could not process rule: ${missing}`);
      return `element ${key}${there === "" ? "" : ` : ${there}`}\n`;
    default:
      throw new NftError(line, `syntax error, unexpected ${verb}`);
  }
}
