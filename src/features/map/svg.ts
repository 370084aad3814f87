import { type Block, blocksOf, type Line } from "./blocks.ts";
import { layOut, wrapText } from "./layout.ts";
import { count, escaped, palette, summary } from "./markup.ts";
import type { NetworkMap } from "./model.ts";
import { columns, rowsOf } from "./table.ts";

/** Pixels that a character takes at most, and a line; between things, and beside the trunk. */
const [letter, height, pad, trunk] = [7.4, 18, 12, 28];
/** Columns of text in a network's box. */
const [few, many] = [78, 150];

const style = `${palette}svg{background:var(--back)}text{font:12px ui-monospace,monospace;fill:var(--text);` +
  "white-space:pre}rect{fill:var(--box);stroke:var(--line)}.cell{fill:var(--back)}path{stroke:var(--line);" +
  "fill:none;stroke-width:2}.name{font-weight:700}.address{fill:var(--address)}.port{fill:var(--port)}" +
  ".way{fill:var(--way)}.state{fill:var(--state)}g:focus{outline:none}" +
  "g:focus>rect:first-of-type{stroke:var(--focus);stroke-width:3}";

/** A map as one SVG file that needs nothing else. */
export function drawSvg(map: NetworkMap): string {
  const blocks = blocksOf(map);
  const inner = map.containers.length > 12 ? many : few;
  const width = Math.ceil(inner * letter + 4 * pad + trunk);
  const { parts, bottom } = blocks.length === 0 ? nothing() : stack(blocks, inner, width);
  const name = `host ${map.host}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${bottom}" viewBox="0 0 ${width} ${bottom}" ` +
    `role="group" aria-labelledby="title" aria-describedby="table">`,
    `<title id="title">${escaped(`Networks of ${name}: ${summary(map)}`)}</title>`,
    `<desc id="table">${tableText(map)}</desc>`,
    `<style>${style}</style>`,
    textAt(pad, pad + height - 4, { kind: "name", text: name }),
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** Where the first box begins, below the host's name. */
const start = 2 * pad + height;

function nothing(): Drawn {
  const line: Line = { kind: "plain", text: "no container is on any network" };
  return { parts: [textAt(pad, start + height - 4, line)], bottom: start + height + pad };
}

/** What is drawn, and where it ends. */
interface Drawn {
  readonly parts: readonly string[];
  readonly bottom: number;
}

/** Boxes below each other, on the trunk. */
function stack(blocks: readonly Block[], inner: number, width: number): Drawn {
  let y = start;
  const middles: number[] = [];
  const boxes = blocks.flatMap((block) => {
    const { parts, bottom } = boxAt(block, y, inner, width);
    middles.push(y + height);
    y = bottom + pad;
    return parts;
  });
  const branches = middles.map((at) => `M${pad + 8} ${at}H${pad + trunk}`).join("");
  const path = `<path d="M${pad + 8} ${pad + height + 4}V${middles.at(-1)}${branches}"/>`;
  return { parts: [path, ...boxes], bottom: y };
}

/** The text alternative: a line a row. */
function tableText(map: NetworkMap): string {
  return [columns, ...rowsOf(map)].map((row) => row.map(escaped).join(" | ")).join("\n");
}

function boxAt(block: Block, top: number, inner: number, width: number): Drawn {
  const { head, rows, cellWidth } = layOut(block, inner);
  const left = pad + trunk;
  const title = [block.name, block.detail].filter((word) => word !== "").join(": ");
  const titles = wrapText(title, inner).map((text): Line => ({ kind: "name", text }));
  let y = top + pad / 2;
  const above = [...titles, ...head].map((line) => textAt(left + pad, (y += height) - 4, line));
  y += pad / 2;
  const cells = rows.flatMap((row) => {
    const tall = Math.max(...row.map((cell) => cell.length)) * height + pad;
    const drawn = row.map((cell, i) =>
      cellAt(cell, left + pad / 2 + i * (cellWidth + 2) * letter, y, cellWidth, tall)
    );
    y += tall + pad / 2;
    return drawn;
  });
  const bottom = y + pad / 2;
  const label = escaped(`network ${title}, ${count(block.cells.length, "container")}`);
  const frame = `<rect x="${left}" y="${top}" width="${width - left - pad}" height="${
    bottom - top
  }" rx="6"/>`;
  return {
    parts: [`<g role="group" tabindex="0" aria-label="${label}">`, frame, ...above, ...cells, "</g>"],
    bottom,
  };
}

function cellAt(cell: readonly Line[], x: number, y: number, cellWidth: number, tall: number): string {
  const label = cell.map(({ text }) => text.trim()).join(", ");
  const width = round(cellWidth * letter + pad);
  const texts = cell.map((line, i) => textAt(round(x + pad / 2), y + (i + 1) * height, line));
  return `<g role="img" aria-label="${escaped(label)}">` +
    `<rect class="cell" x="${round(x)}" y="${y}" width="${width}" height="${tall}" rx="4"/>${
      texts.join("")
    }</g>`;
}

function textAt(x: number, y: number, { kind, text }: Line): string {
  return `<text class="${kind}" xml:space="preserve" x="${x}" y="${y}">${escaped(text)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
