/** Letters that act on a terminal, or turn the direction of what follows them. */
// deno-lint-ignore no-control-regex
const controls = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** Room for what a tool says of a failed batch; not for a configuration that is quoted whole. */
const longest = 3000;

/** How much of a text that is cut short is its end: a tool says why it failed there, behind what it was called with. */
const longestEnd = 2000;

/** A text that may be anybody's, on one line, without letters that act on a terminal, and cut short if it is long. */
export function oneLine(text: string): string {
  const cut = text.length > longest
    ? `${text.slice(0, longest - longestEnd)} ... (${text.length} characters) ... ${text.slice(-longestEnd)}`
    : text;
  return cut.trimEnd().replaceAll(/\s*\n\s*/g, " ").replaceAll(controls, escape);
}

/** JSON for people and programs; by itself JSON leaves some letters as they are that act on a terminal. */
export function printJson(value: unknown, indent = 4): string {
  return JSON.stringify(value, null, indent).replaceAll(/[\x7f-\x9f]/g, escape);
}

function escape(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
