/**
 * The position of a JSON syntax error and what is expected there: `line 1, column 3: a key in double quotes or "}" is
 * expected`.
 */
export function jsonProblem(text: string): string {
  const reader = { text, at: 0 };
  const wanted = text.trim() === "" ? undefined : wantedIn(reader);
  if (text.trim() === "") return "it is empty";
  const before = text.slice(0, reader.at).split("\n");
  const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
  if (wanted === undefined) return `${where}: nothing is expected after its end`;
  return reader.at >= text.length
    ? `it ends at ${where}, where ${wanted} is expected`
    : `${where}: ${wanted} is expected`;
}

interface Reader {
  readonly text: string;
  at: number;
}

// deno-lint-ignore no-control-regex
const string = /"(?:[^"\\\0-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.+-])/y;

/** Reads a value without recursion, because a hostile text may be nested as deep as it is long. */
function wantedIn(reader: Reader): string | undefined {
  const open: ("{" | "[")[] = [];
  for (let isFirst = false;;) {
    const inside = open.at(-1);
    if (isFirst && takes(reader, inside === "{" ? "}" : "]")) open.pop();
    else {
      const problem = inside === "{" ? keyProblem(reader, isFirst) : undefined;
      if (problem) return problem;
      const opened = takes(reader, "{") ? "{" : takes(reader, "[") ? "[" : undefined;
      if (opened) {
        open.push(opened);
        isFirst = true;
        continue;
      }
      if (!matches(reader, string) && !matches(reader, scalar)) {
        return isFirst && inside === "[" ? 'a value or "]"' : "a value";
      }
    }
    isFirst = false;
    while (open.length > 0 && !takes(reader, ",")) {
      const end = open.at(-1) === "{" ? "}" : "]";
      if (!takes(reader, end)) return `"," or "${end}"`;
      open.pop();
    }
    if (open.length === 0) {
      skip(reader);
      return undefined;
    }
  }
}

function keyProblem(reader: Reader, isFirst: boolean): string | undefined {
  if (!matches(reader, string)) return `a key in double quotes${isFirst ? ' or "}"' : ""}`;
  return takes(reader, ":") ? undefined : '":"';
}

function skip(reader: Reader): number {
  while (" \t\r\n".includes(reader.text[reader.at] ?? "x")) reader.at++;
  return reader.at;
}

function takes(reader: Reader, letter: string): boolean {
  if (reader.text[skip(reader)] !== letter) return false;
  reader.at++;
  return true;
}

function matches(reader: Reader, pattern: RegExp): boolean {
  pattern.lastIndex = skip(reader);
  if (!pattern.test(reader.text)) return false;
  reader.at = pattern.lastIndex;
  return true;
}
