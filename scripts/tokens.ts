/** A piece of TypeScript that is neither blank nor comment. */
export interface Token {
  readonly kind: "word" | "string" | "other";
  readonly text: string;
  readonly line: number;
}

const blank = /\s+|\/\/[^\n]*|\/\*[^]*?\*\//y;
const string = /"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'/y;
const regex = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/\w*/y;
const word = /[\w$]+/y;
const template = /(?:\\[^]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y;
const other = /[^]/y;

/** After these words a slash starts a regular expression; after any other it divides. */
const operators = [
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "void",
  "delete",
  "await",
  "yield",
  "throw",
  "new",
];

/** Cuts TypeScript into words, strings and signs; of a template only what stands in its holes. */
export function tokens(source: string): Token[] {
  const found: Token[] = [];
  // One entry for every open brace: whether a template goes on after it.
  const braces: boolean[] = [];
  let at = 0;
  let line = 1;

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const text = pattern.exec(source)?.[0];
    at += text?.length ?? 0;
    line += text?.split("\n").slice(1).length ?? 0;
    return text;
  };
  const add = (kind: Token["kind"], text: string | undefined, started: number) => {
    if (text !== undefined) found.push({ kind, text, line: started });
    return text !== undefined;
  };

  while (at < source.length) {
    if (take(blank)) continue;
    const started = line;
    if (add("string", take(string), started) || add("word", take(word), started)) continue;
    if (startsRegex(found.at(-1)) && take(regex)) {
      found.push({ kind: "other", text: "/…/", line: started });
      continue;
    }
    const sign = take(other)!;
    const inTemplate = sign === "`" || (sign === "}" && braces.pop());
    if (sign === "{") braces.push(false);
    if (inTemplate && take(template)?.endsWith("${")) braces.push(true);
    add("other", sign, started);
  }
  return found;
}

function startsRegex(before: Token | undefined): boolean {
  if (!before) return true;
  if (before.kind === "word") return operators.includes(before.text);
  return before.kind === "other" && ![")", "]", "}", "`", "/…/"].includes(before.text);
}
