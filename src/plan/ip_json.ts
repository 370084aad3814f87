/** A row of what `ip -json` prints. */
export type Row = Readonly<Record<string, unknown>>;

/**
 * The rows that `ip -json` prints: an array a line for each command of a batch. What cannot be read is passed over.
 * iproute2 leaves most control characters as they are, which JSON forbids in a string; and of a command that fails, as
 * those of a family do that the kernel has not, there may be a lone "[".
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

/** One link whose description is not JSON leaves the others. In a text, the quotes would have backslashes. */
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
