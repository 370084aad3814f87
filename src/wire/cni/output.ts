/** Characters that control a terminal or change the direction of text. */
// deno-lint-ignore no-control-regex
const controls = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * The longest text that is shown whole, in characters. A tool's errors for a failed batch fit; a quoted configuration
 * does not.
 */
const longest = 3000;

/**
 * How many of the `longest` characters come from the end of the text. A tool prints the reason at the end, after its
 * input.
 */
const longestEnd = 2000;

/** An untrusted text for output: on one line, without characters that control a terminal, shortened if it is long. */
export function oneLine(text: string): string {
  const cut = text.length > longest
    ? `${text.slice(0, longest - longestEnd)} ... (${text.length} characters) ... ${text.slice(-longestEnd)}`
    : text;
  return cut.trimEnd().replaceAll(/\s*\n\s*/g, " ").replaceAll(controls, escape);
}

/** JSON for people and programs. JSON.stringify leaves some characters that control a terminal; this escapes them. */
export function printJson(value: unknown, indent = 4): string {
  return JSON.stringify(value, null, indent).replaceAll(/[\x7f-\x9f]/g, escape);
}

function escape(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
