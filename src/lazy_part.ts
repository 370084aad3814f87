/**
 * The half of the program that people type, with its help and its tables, stands at the end of the file in a comment:
 * to parse it would cost every hook and plugin several of the 20 ms in which Deno starts.
 */
export const lazyPartMark = "\n/*ocinet sleeps*/ /*";

/** What the end of a comment is written as inside of one. */
export const escapedEnd = "*\u0001/";

/** Evaluates the sleeping half; its exports are then the global `ocinetLazy`. @param text the whole file */
export function loadLazyPart(text: string): void {
  const start = text.lastIndexOf(lazyPartMark) + lazyPartMark.length;
  const end = text.lastIndexOf("*/");
  // Indirect, so that it is evaluated as a script of its own.
  (0, eval)(text.slice(start, end).replaceAll(escapedEnd, "*/"));
}
