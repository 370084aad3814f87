/**
 * Has the functions of a script compiled together with it. V8 compiles a function when it is first called, unless it stands
 * in parentheses as it is made. What is compiled with the script is in what Deno keeps of it, so that a hook does not
 * compile its functions again each time: an eighth of its time.
 */
import { type BlockStatement, type FunctionDeclaration, parse } from "@swc/core";
import { type Mapping, readMap, type Segment, writeMap } from "./source_map.ts";

/** A minified script of ASCII, with its source map as JSON. */
interface Script {
  readonly text: string;
  readonly map: string;
}

/** Shorter ones are compiled in less time than it takes to read them compiled. */
const shortest = 80;

/** A part of the script that stays as it is, by the places of its characters, or new text. */
type Piece = readonly [from: number, to: number] | string;

/** @throws Error for a script that is not of ASCII alone, whose places swc counts otherwise */
export async function compileEagerly({ text, map }: Script): Promise<Script> {
  // deno-lint-ignore no-control-regex
  if (/[^\x00-\x7f]/.test(text)) throw new Error("Cannot place functions in a script that is not ASCII");
  const { body, span } = await parse(text, { syntax: "ecmascript", target: "es2022" });
  const place = ({ start, end }: Span) => [start - span.start, end - span.start] as const;
  const declared = body.filter((one) =>
    one.type === "FunctionDeclaration" && !one.generator
  ) as FunctionDeclaration[];
  const marks = functionsIn(body).map(place).filter(([from, to]) => to - from >= shortest)
    .flatMap(([from, to]) => [[from, "("], [to, ")"]] as const)
    // What ends comes before what begins.
    .toSorted(([a, x], [b, y]) => a - b || (x === y ? 0 : x === ")" ? -1 : 1));
  const copy = (from: number, to: number) => marked(marks, from, to);
  // They are there from the start, as declarations are.
  const pieces: Piece[] = declared.flatMap((one, i) => [
    i === 0 ? "let " : ",",
    ...asValue(one, text, place, copy),
  ]);
  if (declared.length > 0) pieces.push(";");
  let at = 0;
  for (const one of declared) {
    const [from, to] = place(one.span);
    pieces.push(...copy(at, from));
    at = to;
  }
  pieces.push(...copy(at, text.length));
  return assemble(text, readMap(map), pieces);
}

/** What stands from one place to another, with the marks in it; one at either end belongs to what it marks. */
function marked(
  marks: readonly (readonly [place: number, sign: string])[],
  from: number,
  to: number,
): readonly Piece[] {
  const pieces: Piece[] = [];
  let at = from;
  for (const [mark, sign] of marks) {
    const isIn = sign === "(" ? mark >= from && mark < to : mark > from && mark <= to;
    if (!isIn) continue;
    pieces.push([at, mark], sign);
    at = mark;
  }
  return [...pieces, [at, to]];
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * A declared function as the value of its name: an arrow function where that means the same, which is shorter. Of an async
 * one V8 does not see that it stands in parentheses.
 */
function asValue(
  { identifier, params, body, async, span }: FunctionDeclaration,
  text: string,
  place: (span: Span) => readonly [number, number],
  copy: (from: number, to: number) => readonly Piece[],
): readonly Piece[] {
  const name = identifier.value;
  const [from, to] = place(span);
  const head = new RegExp(`^(async )?function ${name.replaceAll("$", "\\$")}(?=\\()`).exec(
    text.slice(from, to),
  )?.[0];
  if (head === undefined || !body) throw new Error(`Cannot find function "${name}" where it should be`);
  if (async || usesItself([params.map(({ pat }) => pat), body])) {
    return [`${name}=(${async ? "async " : ""}function`, ...copy(from + head.length, to), ")"];
  }
  const [bodyFrom, bodyTo] = place(body.span);
  const parameters = copy(from + head.length, bodyFrom);
  const value = returned(body);
  if (!value) return [`${name}=(`, ...parameters, "=>", ...copy(bodyFrom, bodyTo), ")"];
  const [valueFrom, valueTo] = place(value.span);
  const [open, close] = text[valueFrom] === "{" || value.type === "SequenceExpression"
    ? ["(", ")"]
    : ["", ""];
  return [`${name}=(`, ...parameters, `=>${open}`, ...copy(valueFrom, valueTo), `${close})`];
}

/** What a function returns that does nothing else. */
function returned({ stmts }: BlockStatement): { readonly type: string; readonly span: Span } | undefined {
  const [only, ...others] = stmts;
  if (only?.type !== "ReturnStatement" || others.length > 0) return undefined;
  // JSX, which swc knows too, has expressions without a span.
  return only.argument as { readonly type: string; readonly span: Span } | undefined;
}

/** Whether a function has a `this` or `arguments` of its own. */
function usesItself(node: unknown): boolean {
  return some(
    node,
    ({ type, value }) =>
      type === "ThisExpression" || type === "Identifier" && value === "arguments" ||
      type === "MetaProperty",
    ({ type }) => type !== "FunctionExpression" && type !== "FunctionDeclaration",
  );
}

interface Node {
  readonly type?: string;
  readonly value?: unknown;
  readonly async?: boolean;
  readonly span?: Span;
}

function some(node: unknown, is: (node: Node) => boolean, enters: (node: Node) => boolean): boolean {
  if (typeof node !== "object" || node === null) return false;
  if (Array.isArray(node)) return node.some((one) => some(one, is, enters));
  if (is(node)) return true;
  return enters(node) && Object.values(node).some((one) => some(one, is, enters));
}

/** The places of all functions that are expressions, but for async arrow functions. */
function functionsIn(node: unknown): readonly Span[] {
  const found: Span[] = [];
  some(node, ({ type, async, span }) => {
    if (type === "ArrowFunctionExpression" && !async || type === "FunctionExpression") found.push(span!);
    return false;
  }, () => true);
  return found;
}

/** The pieces as one script, each with the origins that it had. */
function assemble(text: string, mapping: Mapping, pieces: readonly Piece[]): Script {
  const begins = startsOf(text);
  const segments = mapping.flatMap((line, i) =>
    line.map((one) => ({ ...one, column: begins[i]! + one.column }))
  );
  let made = "";
  const placed: Segment[] = [];
  for (const piece of pieces) {
    if (typeof piece === "string") made += piece;
    else {
      const [from, to] = piece;
      const moved = made.length - from;
      const first = lowerBound(segments, from);
      for (let i = first; i < segments.length && segments[i]!.column < to; i++) {
        placed.push({ ...segments[i]!, column: segments[i]!.column + moved });
      }
      made += text.slice(from, to);
    }
  }
  const lines: Segment[][] = [];
  const starts = startsOf(made);
  let line = 0;
  for (const one of placed) {
    while (line + 1 < starts.length && starts[line + 1]! <= one.column) line++;
    (lines[line] ??= []).push({ ...one, column: one.column - starts[line]! });
  }
  return { text: made, map: writeMap("", Array.from({ length: starts.length }, (_, i) => lines[i] ?? [])) };
}

function lowerBound(segments: readonly Segment[], place: number): number {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle]!.column < place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where each line begins. */
function startsOf(text: string): readonly number[] {
  return [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
}
