import { oneLine } from "../wire/cni/output.ts";

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
