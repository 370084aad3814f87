import { fillIn } from "../features/networks/template.ts";
import { oneLine, printJson } from "../wire/cni/output.ts";

/** What a command answers: to a person, and to a program. */
export interface Report {
  readonly text: string;
  /** What a person should know beside it, a line. */
  readonly note?: string;
  /** What a dry run says beside the lines for ip and nft. */
  readonly dryText?: string;
  readonly json: unknown;
  /** The exit status, when it is not 0. */
  readonly code?: number;
}

/** Rows under headings, columns two blanks apart. */
export function tableText(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows].map((row) => row.map(oneLine));
  const widths = headings.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all.map((row) => `${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()}\n`).join("");
}

/**
 * Items by --format, a line for each: `json`, or a template in which `\t` and `\n` mean what they do in Docker's. After
 * `table`, its columns have headings, which are the names of the fields.
 */
export function rowsText(format: string, items: readonly unknown[]): string {
  if (format === "json") return items.map((item) => `${printJson(item, 0)}\n`).join("");
  const plain = format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  const template = plain.replace(/^table\s+/, "");
  const lines = items.map((item) => fillIn(template, item));
  if (template === plain) return lines.map((line) => `${line}\n`).join("");
  const headings = template.split("\t").map((column) =>
    (/\w+(?=\W*\}\})/.exec(column)?.[0] ?? "").toUpperCase()
  );
  return tableText(headings, lines.map((line) => line.split("\t")));
}
