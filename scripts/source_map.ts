/** Reads and writes source maps (ECMA-426): which place of a source each place of a bundled text comes from. */

/** Where code comes from; lines and columns are counted from 0. */
export interface Origin {
  readonly source: string;
  readonly line: number;
  readonly column: number;
}

/** The origin of what begins at a column; without one where it is of no source. */
export interface Segment {
  readonly column: number;
  readonly origin?: Origin;
}

/** The segments of each line, by their columns. */
export type Mapping = readonly (readonly Segment[])[];

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Numbers as differences: each has a sign in its lowest bit, and five bits a digit, of which all but the last are marked. */
function decode(text: string): readonly number[] {
  const numbers: number[] = [];
  let [value, shift] = [0, 0];
  for (const letter of text) {
    const digit = digits.indexOf(letter);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return numbers;
}

function encode(numbers: readonly number[]): string {
  return numbers.map((number) => {
    let text = "";
    let rest = number < 0 ? (-number << 1) | 1 : number << 1;
    do {
      text += digits[rest > 31 ? rest & 31 | 32 : rest];
      rest >>= 5;
    } while (rest > 0);
    return text;
  }).join("");
}

/** Reads a map. @param json as esbuild writes it */
export function readMap(json: string): Mapping {
  const { sources, mappings } = JSON.parse(json) as { sources: readonly string[]; mappings: string };
  let [source, line, column] = [0, 0, 0];
  return mappings.split(";").map((text) => {
    let at = 0;
    return text.split(",").filter((one) => one !== "").map((one) => {
      const [along, ofSource, ofLine, ofColumn] = decode(one);
      at += along!;
      if (ofSource === undefined) return { column: at };
      [source, line, column] = [source + ofSource, line + ofLine!, column + ofColumn!];
      return { column: at, origin: { source: sources[source]!, line, column } };
    });
  });
}

/** Writes a map, of a file beside it. */
export function writeMap(file: string, mapping: Mapping): string {
  const origins = mapping.flatMap((segments) => segments.flatMap(({ origin }) => origin ?? []));
  const sources = [...new Set(origins.map(({ source }) => source))].toSorted();
  const numbers = new Map(sources.map((source, i) => [source, i]));
  let [source, line, column] = [0, 0, 0];
  const lines = mapping.map((segments) => {
    let at = 0;
    return segments.map((segment) => {
      const along = segment.column - at;
      at = segment.column;
      if (!segment.origin) return encode([along]);
      const { origin } = segment;
      const number = numbers.get(origin.source)!;
      const text = encode([along, number - source, origin.line - line, origin.column - column]);
      [source, line, column] = [number, origin.line, origin.column];
      return text;
    }).join();
  });
  return JSON.stringify({ version: 3, file, sources, names: [], mappings: lines.join(";") });
}

/** Maps of texts as the one of the text that has them all, each from the start of a line on. */
export function joinMaps(parts: readonly { readonly line: number; readonly mapping: Mapping }[]): Mapping {
  const lines: (readonly Segment[])[] = [];
  for (const { line, mapping } of parts) mapping.forEach((segments, i) => lines[line + i] = segments);
  return Array.from(lines, (segments) => segments ?? []);
}

/** Where a place of the text comes from. Lines and columns are counted from 0. */
export function originOf(mapping: Mapping, line: number, column: number): Origin | undefined {
  return mapping[line]?.findLast((segment) => segment.column <= column)?.origin;
}

/** A stack trace whose places in the text, of lines and columns from 1, are those of its sources. */
export function mapTrace(mapping: Mapping, trace: string): string {
  // Deno puts a word before the line of code that was evaluated.
  return trace.replace(/(?:file:\/\/)?\/[^\s():,]+(?:, <anonymous>)?:(\d+):(\d+)/g, (place, line, column) => {
    const origin = originOf(mapping, Number(line) - 1, Number(column) - 1);
    return origin ? `${origin.source}:${origin.line + 1}:${origin.column + 1}` : place;
  });
}
