/** What a terminal shows, read from standard input, as an SVG file on standard output. */
import { palette } from "../src/features/map/markup.ts";

/** Pixels that a character takes, and a line; beside and above them. */
const [letter, height, pad] = [7.3, 17, 14];

const style =
  `${palette}rect{fill:var(--box);stroke:var(--line)}text{font:12px ui-monospace,monospace;fill:var(--text);` +
  "white-space:pre}.b{font-weight:700}.s{fill:var(--state)}.p{fill:var(--port)}.a{fill:var(--address)}.w{fill:var(--way)}";

/** Classes by the numbers of select graphic rendition (ECMA-48). */
const classes: Readonly<Record<string, string>> = {
  1: "b",
  31: "s",
  32: "p",
  34: "a",
  35: "w",
  36: "a",
  33: "w",
};

// deno-lint-ignore no-control-regex
const rendition = /\x1b\[([0-9;]*)m/;

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;" };

function textOf(part: string): string {
  return part.replaceAll(/[&<]/g, (letter) => entities[letter]!);
}

function lineOf(line: string, i: number): string {
  const parts = line.replace(/\r/g, "").split(rendition);
  const spans = parts.map((text, at) => {
    if (at % 2 === 1 || text === "") return "";
    const kind = at === 0 ? undefined : classes[parts[at - 1]!];
    return kind === undefined ? textOf(text) : `<tspan class="${kind}">${textOf(text)}</tspan>`;
  });
  return `<text xml:space="preserve" x="${pad}" y="${pad + height * (i + 1) - 5}">${spans.join("")}</text>`;
}

const lines = (await new Response(Deno.stdin.readable).text()).trimEnd().split("\n");
const plain = lines.map((line) => line.replace(new RegExp(rendition, "g"), "").trimEnd());
const width = Math.ceil(Math.max(...plain.map((line) => line.length)) * letter + 2 * pad);
const bottom = lines.length * height + 2 * pad;
const title = textOf(Deno.args[0] ?? "A terminal");
console.log(
  [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${bottom}" viewBox="0 0 ${width} ${bottom}" role="img" ` +
    `aria-labelledby="title"><title id="title">${title}</title>`,
    `<style>${style}</style><rect x=".5" y=".5" width="${width - 1}" height="${bottom - 1}" rx="8"/>`,
    ...lines.map(lineOf),
    "</svg>",
  ].join("\n"),
);
