import type { Block, Line } from "./blocks.ts";

/** A block in lines of a width at most: cells stand side by side as far as there is room. */
export interface Layout {
  readonly head: readonly Line[];
  /** How many columns of text a cell has. */
  readonly cellWidth: number;
  /** Cells, row by row; a cell's lines after the first are indented. */
  readonly rows: readonly (readonly (readonly Line[])[])[];
}

const gap = 2;
/** A cell with longer lines has them wrapped, rather than take the room of others. */
const widest = 37;
const indent = "  ";

/** @param inner columns of text that a block has */
export function layOut({ head, cells }: Block, inner: number): Layout {
  const natural = Math.max(1, ...cells.flatMap(({ lines }) => lines.map(({ text }) => text.length + 2)));
  const wished = Math.min(natural, widest, inner);
  const most = Math.floor((inner + gap) / (wished + gap));
  const columns = Math.max(1, Math.min(most, cells.length));
  const cellWidth = Math.floor((inner + gap) / columns) - gap;
  const all = cells.map(({ lines }) =>
    lines.flatMap((one, i) => wrapped(one, cellWidth, i === 0 ? "" : indent))
  );
  return {
    head: head.flatMap((one) => wrapped(one, inner, "")),
    cellWidth,
    rows: Array.from(
      { length: Math.ceil(all.length / columns) },
      (_, i) => all.slice(i * columns, (i + 1) * columns),
    ),
  };
}

function wrapped({ kind, text }: Line, width: number, before: string): readonly Line[] {
  // What fits is not wrapped for the indentation that only further lines have.
  if (text.length <= width - before.length) return [{ kind, text: before + text }];
  const parts = wrapText(text, width - before.length - indent.length);
  return parts.map((part, i) => ({ kind, text: before + (i === 0 ? "" : indent) + part }));
}

/** Lines of a width at most, broken at blanks where that is possible. */
export function wrapText(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let last = "";
  for (const word of text.split(" ")) {
    if (last !== "" && last.length + 1 + word.length <= width) last += ` ${word}`;
    else {
      if (last !== "") lines.push(last);
      last = word;
    }
    for (; last.length > width; last = last.slice(width)) lines.push(last.slice(0, width));
  }
  return last === "" && lines.length > 0 ? lines : [...lines, last];
}
