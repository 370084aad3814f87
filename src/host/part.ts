import { ownProcess } from "./runtime.ts";

/** The functions that a part exports. */
type Exports = Readonly<Record<string, (...all: unknown[]) => unknown>>;

/** What the linker inserts (scripts/link.ts): the id of this build. */
declare const ocinetBuild: string;
/** Where the other parts are: how many bytes before the file's end each begins, and how many it has. */
declare const ocinetParts: Readonly<Record<string, readonly [fromEnd: number, bytes: number]>>;
/** The exports of the eager part. */
declare const ocinetEager: () => Exports;

const loaded = new Map<string, Exports>();

/**
 * Evaluates a part of the running file at its first use, and returns its exports. The bundler generates the calls
 * (scripts/bundle.ts). All parts but the eager one are comments in the file. Parsing them would cost every hook and
 * plugin several of the 20 ms in which Deno starts.
 * @throws Error if the file has been replaced since the start
 */
export function load(name: string): Exports {
  const known = loaded.get(name);
  if (known) return known;
  const exports = name === "eager" ? ocinetEager() : evaluate(name);
  loaded.set(name, exports);
  return exports;
}

function evaluate(name: string): Exports {
  const path = ownProcess.file();
  const found = readPart(ownProcess.readFile(...ocinetParts[name]!), ocinetBuild, name);
  if (!found) {
    throw new Error(
      `Cannot go on: ${path} is not the file that was started, but was replaced meanwhile; call it again`,
    );
  }
  return (0, eval)(scriptOf(found, path))(load);
}

/** The id of this build: of all that this file does. */
export function buildId(): string {
  return ocinetBuild;
}

/** The function in the eager part that stands for a function of another part. */
export function stub(part: string, name: string): (...all: unknown[]) => unknown {
  return (...all) => load(part)[name]!(...all);
}

/**
 * A part as a script whose value is a function. Its line numbers are those of the file, which the source map uses. The
 * function is in parentheses, because V8 then compiles it at once. Otherwise V8 would first parse it just to find its
 * end.
 */
function scriptOf({ code, line }: { readonly code: string; readonly line: number }, path: string): string {
  return `${"\n".repeat(line - 1)}($part=>{"use strict";${builtins}\n${code}})\n//# sourceURL=${path}`;
}

/**
 * Functions of the language that are called often, by the short names that the bundler gives them. A minifier never makes
 * a name of four characters: it has enough shorter ones.
 */
export const builtins =
  "const $str=JSON.stringify,$par=JSON.parse,$ent=Object.entries,$fro=Object.fromEntries,$key=Object.keys," +
  "$own=Object.hasOwn,$arr=Array.isArray,$max=Math.max,$min=Math.min;";

/** The text before a part's code in the file. @param line the number of the code's first line, from 0 */
export function partMark(build: string, name: string, line: number): string {
  return `/*ocinet ${build} ${name} ${line}\n`;
}

/**
 * Replaces the end of a comment inside a part. It has the same length, so that columns in the source map stay right.
 */
const escapedEnd = "*\u0001";

/** Escapes code for a comment. @throws Error if the code contains the replacement itself */
export function escapePart(code: string): string {
  if (!code.includes(escapedEnd)) return code.replaceAll("*/", escapedEnd);
  throw new Error("Cannot put code into a comment: it has an asterisk and the control character 1 in it");
}

/** A part's code, and the line of the file that it begins on; undefined if the text is no part of this build. */
export function readPart(
  text: string,
  build: string,
  name: string,
): { readonly code: string; readonly line: number } | undefined {
  const [, line, code] = /^\/\*ocinet \S+ \S+ (\d+)\n([^]*)\n\*\/\n$/.exec(text) ?? [];
  if (code === undefined || !text.startsWith(partMark(build, name, Number(line)))) return undefined;
  return { code: code.replaceAll(escapedEnd, "*/"), line: Number(line) };
}
