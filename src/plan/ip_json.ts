/** A row of `ip -json` output. */
export type Row = Readonly<Record<string, unknown>>;

/**
 * Reads the rows that `ip -json` prints: one array per line, for each command of a batch. Unreadable rows are skipped.
 * iproute2 leaves most control characters unescaped, which JSON forbids. A command that fails, e.g. for a missing
 * address family, may leave a lone "[".
 */
export function readRows(text: string): readonly Row[] {
  return text.split("\n").filter((line) => line !== "").flatMap((line) => {
    // deno-lint-ignore no-control-regex
    const valid = line.replaceAll(/[\0-\x1f]/g, escape).replace(/^\[+/, "[");
    return parseRows(valid) ?? readSingly(valid);
  });
}

function escape(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * Reads a line row by row, so that one row that is not JSON loses no others. Quotes inside a JSON string are escaped,
 * so they cannot look like the end of a row.
 */
function readSingly(line: string): readonly Row[] {
  const parts = line.replace(/^\[/, "").replace(/\]$/, "").split(/,(?=\{"ifindex":)/);
  return parts.flatMap((part) => parseRows(`[${part}]`) ?? []);
}

function parseRows(text: string): readonly Row[] | undefined {
  try {
    return JSON.parse(text) as readonly Row[];
  } catch {
    return undefined;
  }
}
