import { ownProcess } from "./runtime.ts";

/** What a part has for others. */
type Exports = Readonly<Record<string, (...all: unknown[]) => unknown>>;

/** Which build this is, and what its eager part has: both are put there by the linker (scripts/link.ts). */
declare const ocinetBuild: string;
declare const ocinetEager: () => Exports;

const loaded = new Map<string, Exports>();
let text: string | undefined;

/**
 * What a part of the running file has, which is evaluated once, at its first use. The bundler makes the calls of
 * this (scripts/bundle.ts). All parts but the eager one are comments, because to parse them would cost every hook and plugin
 * several of the 20 ms in which Deno starts.
 * @throws Error when the file has been replaced since it was started
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
  // All parts are from one reading: a service may use another when the file has been replaced.
  text ??= ownProcess.readFile();
  const found = findPart(text, ocinetBuild, name);
  if (!found) {
    throw new Error(
      `Cannot go on: ${path} is not the file that was started, but was replaced meanwhile; call it again`,
    );
  }
  return (0, eval)(scriptOf(found, path))(load);
}

/** What the eager part has in the place of a function of another. */
export function stub(part: string, name: string): (...all: unknown[]) => unknown {
  return (...all) => load(part)[name]!(...all);
}

/**
 * A part as a script of its own, whose value is a function. Its lines are those of the file, which the source map has.
 * The function is in brackets, because V8 then compiles it at once, and not first just to find its end.
 */
function scriptOf({ code, line }: { readonly code: string; readonly line: number }, path: string): string {
  return `${"\n".repeat(line - 1)}(ocinetPart=>{"use strict";\n${code}})\n//# sourceURL=${path}`;
}

/** What stands before a part's code in the file. @param line the number, from 0, of the line on which that begins */
export function partMark(build: string, name: string, line: number): string {
  return `/*ocinet ${build} ${name} ${line}\n`;
}

/** Stands for the end of a comment inside of one; of the same length, so that the source map's columns hold. */
const escapedEnd = "*\u0001";

/** Code as it can stand in a comment. @throws Error for code that has what the end of a comment is written as */
export function escapePart(code: string): string {
  if (!code.includes(escapedEnd)) return code.replaceAll("*/", escapedEnd);
  throw new Error("Cannot put code into a comment: it has an asterisk and the control character 1 in it");
}

/** A part's code in the text of the file, and the line on which it begins; undefined where there is none of that build. */
export function findPart(
  text: string,
  build: string,
  name: string,
): { readonly code: string; readonly line: number } | undefined {
  const [, before] = /^([^]*) \d+\n$/.exec(partMark(build, name, 0))!;
  const start = text.indexOf(`\n${before} `);
  if (start < 0) return undefined;
  const begin = text.indexOf("\n", start + 1) + 1;
  const code = text.slice(begin, text.indexOf("\n*/", begin)).replaceAll(escapedEnd, "*/");
  return { code, line: Number(text.slice(start + before!.length + 2, begin - 1)) };
}
