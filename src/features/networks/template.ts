/** Go's templates, as far as people use them with --format: fields, functions, range, if, with, else, end. */

type Scope = {
  readonly dot: unknown;
  readonly root: unknown;
  readonly variables: ReadonlyMap<string, unknown>;
};

type BlockKind = "range" | "if" | "with";

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly words: string }
  | {
    readonly kind: BlockKind;
    readonly words: string;
    readonly body: readonly Node[];
    readonly otherwise: readonly Node[];
  };

/** Fills a template in with a value. @throws Error naming what of the template cannot be read */
export function fillIn(template: string, value: unknown): string {
  return render(nodesOf(template), { dot: value, root: value, variables: new Map([["$", value]]) });
}

/** @throws Error if a block of the template is not as it has to be */
export function checkTemplate(template: string): void {
  nodesOf(template);
}

function nodesOf(template: string): readonly Node[] {
  const trimmed = template.replace(/\s*\{\{- /g, "{{").replace(/ -\}\}\s*/g, "}}");
  const [nodes, rest] = parse(trimmed.split(/(\{\{.*?\}\})/s), false);
  if (rest.length > 0) throw problem(rest[0]!, "there is nothing that it ends");
  return nodes;
}

function problem(words: string, reason: string): Error {
  return new Error(`template parsing error: ${JSON.stringify(words)}: ${reason}`);
}

/** Reads up to the end of a block. @returns what was read, and what comes from the word that ended it on */
function parse(parts: readonly string[], isInside: boolean): readonly [readonly Node[], readonly string[]] {
  const nodes: Node[] = [];
  let rest = parts;
  while (rest.length > 0) {
    const [part, ...others] = rest as [string, ...string[]];
    const words = /^\{\{\s*(.*?)\s*\}\}$/s.exec(part)?.[1];
    if (words === "end" || words === "else") return [nodes, rest];
    if (words === undefined) {
      if (part.includes("{{")) throw problem(part, "unclosed action");
      if (part !== "") nodes.push({ kind: "text", text: part });
      rest = others;
      continue;
    }
    const block = /^(range|if|with)\s+(.*)$/s.exec(words);
    if (!block) {
      nodes.push({ kind: "value", words });
      rest = others;
      continue;
    }
    const [node, after] = parseBlock(block[1] as BlockKind, block[2]!, others);
    nodes.push(node);
    rest = after;
  }
  if (isInside) throw new Error("template parsing error: an {{end}} is missing");
  return [nodes, []];
}

function parseBlock(
  kind: BlockKind,
  words: string,
  parts: readonly string[],
): readonly [Node, readonly string[]] {
  const [body, afterBody] = parse(parts, true);
  if (!/else/.test(afterBody[0] ?? "")) return [{ kind, words, body, otherwise: [] }, afterBody.slice(1)];
  const [otherwise, after] = parse(afterBody.slice(1), true);
  return [{ kind, words, body, otherwise }, after.slice(1)];
}

function render(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => {
    if (node.kind === "text") return node.text;
    if (node.kind === "value") return show(evaluate(node.words, scope));
    return node.kind === "range" ? renderRange(node, scope) : renderIf(node, scope);
  }).join("");
}

type Block = Extract<Node, { readonly kind: BlockKind }>;

function renderIf({ kind, words, body, otherwise }: Block, scope: Scope): string {
  const value = evaluate(words, scope);
  if (isEmpty(value)) return render(otherwise, scope);
  return render(body, kind === "with" ? { ...scope, dot: value } : scope);
}

function renderRange({ words, body, otherwise }: Block, scope: Scope): string {
  const [, first, second, expression] = /^(?:(\$\w+)\s*(?:,\s*(\$\w+))?\s*:=\s*)?(.*)$/s.exec(words)!;
  const list = evaluate(expression!, scope);
  if (isEmpty(list)) return render(otherwise, scope);
  return Object.entries(list as object).map(([key, dot]) => {
    const variables = new Map(scope.variables);
    if (first !== undefined) variables.set(first, second === undefined ? dot : key);
    if (second !== undefined) variables.set(second, dot);
    return render(body, { ...scope, dot, variables });
  }).join("");
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "" || value === false || value === 0 ||
    (typeof value === "object" && Object.keys(value).length === 0);
}

/** As Go's fmt prints it. */
function show(value: unknown): string {
  if (value === undefined || value === null) return "<no value>";
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  return `map[${Object.entries(value).map(([key, one]) => `${key}:${show(one)}`).join(" ")}]`;
}

/** Words, strings, and groups in parentheses that fields may follow. */
const token = /"(?:[^"\\]|\\.)*"|`[^`]*`|\((?:[^()]|\([^()]*\))*\)[.\w]*|[^\s()]+/g;

function evaluate(words: string, scope: Scope): unknown {
  const [stage, ...more] = words.split("|").map((part) => part.trim());
  return more.reduce((value, next) => call(next, scope, [value]), call(stage!, scope, []));
}

const functions: Readonly<Record<string, (...values: readonly unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value),
  len: (value) => Object.keys((value ?? {}) as object).length,
  index: (from, ...keys) => keys.reduce((value, key) => own(value, String(key)), from),
  upper: (value) => String(value).toUpperCase(),
  lower: (value) => String(value).toLowerCase(),
  println: (...values) => `${values.map(show).join(" ")}\n`,
  eq: (value, ...others) => others.includes(value),
  ne: (value, other) => value !== other,
  not: isEmpty,
  join: (list, by) => (list as readonly unknown[]).join(String(by)),
};

function call(words: string, scope: Scope, last: readonly unknown[]): unknown {
  const [name = "", ...rest] = words.match(token) ?? [];
  const known = Object.hasOwn(functions, name) ? functions[name] : undefined;
  if (!known && rest.length + last.length === 0) return operand(name, scope);
  const called = known ?? (name[0] === "." ? operand(name, scope) : undefined);
  if (typeof called === "function") return called(...rest.map((word) => operand(word, scope)), ...last);
  throw problem(words, `function "${name}" not defined`);
}

function operand(word: string, scope: Scope): unknown {
  if (/^["`]/.test(word)) return word.startsWith('"') ? JSON.parse(word) : word.slice(1, -1);
  if (/^-?[0-9]+$/.test(word)) return Number(word);
  const group = /^\((.*)\)((?:\.\w+)*)$/s.exec(word);
  if (group) return fieldOf(evaluate(group[1]!, scope), group[2]!, word);
  const variable = /^(\$\w*)((?:\.\w+)*)$/.exec(word);
  if (variable && scope.variables.has(variable[1]!)) {
    return fieldOf(scope.variables.get(variable[1]!), variable[2]!, word);
  }
  if (word === ".") return scope.dot;
  if (/^(\.\w+)+$/.test(word)) return fieldOf(scope.dot, word, word);
  throw problem(word, `function "${word}" not defined`);
}

function fieldOf(value: unknown, path: string, word: string): unknown {
  return path.split(".").slice(1).reduce((from, key) => {
    if (typeof from !== "object" || from === null || (!Object.hasOwn(from, key) && isObject(from))) {
      throw new Error(`template: can't evaluate field ${key} in ${word}`);
    }
    return own(from, key);
  }, value);
}

/** What Docker shows as a structure has its keys in capitals; of a map, what is missing is empty. */
function isObject(value: object): boolean {
  return Object.keys(value).some((key) => /^[A-Z]/.test(key));
}

function own(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
