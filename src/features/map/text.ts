import { type Block, blocksOf, type Kind, type Line, plain } from "./blocks.ts";
import { layOut, wrapText } from "./layout.ts";
import type { NetworkMap } from "./model.ts";

/** What a terminal can show. */
export interface Terminal {
  readonly width: number;
  readonly color: boolean;
  /** Whether it has characters that draw boxes. */
  readonly unicode: boolean;
}

/** Below this nothing can be drawn. */
const narrowest = 24;

/** SGR parameters (ECMA-48). */
const colors: Readonly<Partial<Record<Kind, string>>> = {
  name: "1",
  state: "31",
  address: "36",
  port: "32",
  way: "35",
};

/** Strokes of boxes: ── │ ┌ ┐ └ ┘ ├ ┤, and the trunk's. */
const strokes = {
  unicode: { h: "─", v: "│", nw: "┌", ne: "┐", sw: "└", se: "┘", w: "├", e: "┤", branch: "├─┤", last: "└─┤" },
  ascii: { h: "-", v: "|", nw: "+", ne: "+", sw: "+", se: "+", w: "+", e: "+", branch: "+-|", last: "+-|" },
};

type Strokes = typeof strokes.unicode;

/** A map as boxes on a trunk, which is the host. */
export function drawText(map: NetworkMap, { width, color, unicode }: Terminal): string {
  const at = unicode ? strokes.unicode : strokes.ascii;
  const room = Math.max(width, narrowest);
  const blocks = blocksOf(map);
  const title = wrapText(`host ${plain(map.host)}`, room).map((text) => paint({ kind: "name", text }, color));
  if (blocks.length === 0) {
    return [...title, ...wrapText("no container is on any network; --all shows all networks", room), ""].join(
      "\n",
    );
  }
  const drawn = blocks.flatMap((block, i) => {
    const isLast = i === blocks.length - 1;
    return [at.v, ...hang(boxOf(block, room - 2, at, color), at, isLast)];
  });
  return [...title, ...drawn, ""].join("\n");
}

/** A box on the trunk, which goes on unless it is the last. */
function hang(box: readonly string[], at: Strokes, isLast: boolean): readonly string[] {
  const [top, first, ...rest] = box;
  const after = isLast ? "  " : `${at.v} `;
  return [
    `${at.v} ${top}`,
    `${isLast ? at.last : at.branch}${first!.slice(1)}`,
    ...rest.map((line) => after + line),
  ];
}

function boxOf(block: Block, width: number, at: Strokes, color: boolean): readonly string[] {
  const inner = width - 4;
  const title = [block.name, block.detail].filter((word) => word !== "").join(": ");
  const fits = title.length + 2 <= inner;
  const name: Line[] = fits ? [] : wrapText(title, inner).map((text) => ({ kind: "name", text }));
  const { head, rows, cellWidth } = layOut(block, inner);
  const inside = (text: string, length: number) =>
    `${at.v} ${text}${" ".repeat(Math.max(0, inner - length))} ${at.v}`;
  const top = fits
    ? `${at.nw}${at.h} ${paint({ kind: "name", text: title }, color)} ${
      at.h.repeat(width - title.length - 5)
    }${at.ne}`
    : `${at.nw}${at.h.repeat(width - 2)}${at.ne}`;
  const above = [...name, ...head].map((line) => inside(paint(line, color), line.text.length));
  const below = rows.flatMap((row) => rowLines(row, cellWidth, color)).map(({ text, length }) =>
    inside(text, length)
  );
  const between = above.length > 0 && below.length > 0 ? [at.w + at.h.repeat(width - 2) + at.e] : [];
  const content = [...above, ...between, ...below];
  return [
    top,
    ...(content.length > 0 ? content : [inside("", 0)]),
    `${at.sw}${at.h.repeat(width - 2)}${at.se}`,
  ];
}

/** Cells side by side. */
function rowLines(
  row: readonly (readonly Line[])[],
  cellWidth: number,
  color: boolean,
): readonly { readonly text: string; readonly length: number }[] {
  const height = Math.max(...row.map((cell) => cell.length));
  return Array.from({ length: height }, (_, i) => {
    const parts = row.map((cell) => cell[i]);
    const text = parts.map((line) =>
      line ? paint(line, color) + " ".repeat(cellWidth - line.text.length) : " ".repeat(cellWidth)
    ).join("  ");
    return { text, length: parts.length * (cellWidth + 2) - 2 };
  });
}

function paint({ kind, text }: Line, color: boolean): string {
  const code = colors[kind];
  return color && code !== undefined ? `\x1b[${code}m${text}\x1b[0m` : text;
}
