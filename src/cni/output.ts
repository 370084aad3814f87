/** Letters that act on a terminal. */
// deno-lint-ignore no-control-regex
const controls = /[\0-\x1f\x7f-\x9f]/g;

/** A text that may be anybody's, on one line, and without letters that act on a terminal. */
export function oneLine(text: string): string {
  return text.trimEnd().replaceAll(/\s*\n\s*/g, " ").replaceAll(controls, escape);
}

/** JSON for people and programs; by itself JSON leaves some letters as they are that act on a terminal. */
export function printJson(value: unknown, indent = 4): string {
  return JSON.stringify(value, null, indent).replaceAll(/[\x7f-\x9f]/g, escape);
}

function escape(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
