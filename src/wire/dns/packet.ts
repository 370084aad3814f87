import { Buffer } from "node:buffer";
import * as packets from "dns-packet";

/** A question, as far as it matters who answers it. */
export interface Query {
  readonly id: number;
  /** In lower case, without the final dot; "" is the root. */
  readonly name: string;
  /** The number of the type (RFC 1035, 3.2.2). */
  readonly type: number;
  readonly isInternet: boolean;
  readonly recursionDesired: boolean;
  /** The bytes of the question as they came: an answer repeats them, with the asker's spelling. */
  readonly question: Uint8Array;
  /** The longest answer by UDP, in bytes: that the asker takes, and that we send. */
  readonly said: number;
  readonly longest: number;
  readonly hasEdns: boolean;
}

/** What a packet is if it is no question: `formerr` is answered so, `ignored` is not answered at all. */
export type NoQuery = { readonly problem: "formerr" | "notimp"; readonly id: number } | {
  readonly problem: "ignored";
};

/** Numbers of types. */
export const types = { A: 1, NS: 2, SOA: 6, PTR: 12, AAAA: 28, DS: 43, DNSKEY: 48, ANY: 255 } as const;

/** Numbers of response codes. */
export const rcodes = { ok: 0, formerr: 1, servfail: 2, nxdomain: 3, notimp: 4, refused: 5 } as const;

/** A record of an answer; its name is that of the question. */
export type Answer = { readonly type: "A" | "AAAA" | "PTR"; readonly data: string };

const headerLength = 12;
/** Without EDNS (RFC 1035, 4.2.1). */
const usualLongest = 512;
/** With EDNS: what passes everywhere without fragments. */
const ednsLongest = 1232;

/**
 * Reads a question. Where more follows it, dns-packet decodes the whole packet, which shows what is malformed, and finds
 * EDNS; the lengths of the labels are checked before, because it takes such of 64 bytes.
 */
export function readQuery(bytes: Uint8Array): Query | NoQuery {
  if (bytes.length < headerLength || (bytes[2]! & 0x80) !== 0) return { problem: "ignored" };
  const id = number16(bytes, 0);
  if ((bytes[2]! & 0x78) !== 0) return { problem: "notimp", id };
  const malformed = { problem: "formerr", id } as const;
  const end = number16(bytes, 4) === 1 ? endOfName(bytes, headerLength) : undefined;
  if (end === undefined || end + 4 > bytes.length) return malformed;
  const isAlone = end + 4 === bytes.length && [6, 8, 10].every((at) => number16(bytes, at) === 0);
  const edns = isAlone ? 0 : udpSize(bytes);
  if (edns === undefined) return malformed;
  const said = edns === 0 ? usualLongest : Math.max(edns, usualLongest);
  return {
    ...{ id, name: nameAt(bytes, headerLength), type: number16(bytes, end) },
    isInternet: [1, 255].includes(number16(bytes, end + 2)),
    recursionDesired: (bytes[2]! & 1) !== 0,
    question: bytes.slice(headerLength, end + 4),
    ...{ said, longest: Math.min(said, ednsLongest) },
    hasEdns: edns > 0,
  };
}

/** The size that the EDNS record tells, 0 without one, undefined where the packet is malformed. */
function udpSize(bytes: Uint8Array): number | undefined {
  try {
    const { additionals = [] } = packets.decode(Buffer.from(bytes));
    const opt = additionals.find(({ type }) => type === "OPT") as { udpPayloadSize?: number } | undefined;
    return opt ? Math.max(1, opt.udpPayloadSize ?? 0) : 0;
  } catch {
    return undefined;
  }
}

/** Where what follows a name begins, or undefined for one that is malformed; a question's is not compressed. */
function endOfName(bytes: Uint8Array, start: number): number | undefined {
  for (let at = start; at < bytes.length; at += 1 + bytes[at]!) {
    if (bytes[at] === 0) return at + 1 - start > 255 ? undefined : at + 1;
    if (bytes[at]! > 63) return undefined;
  }
  return undefined;
}

/** A character for each byte; a dot within a label, which no name of ours has, is written so that it is told apart. */
function nameAt(bytes: Uint8Array, start: number): string {
  const labels: string[] = [];
  for (let at = start; bytes[at]! > 0; at += 1 + bytes[at]!) {
    const label = String.fromCharCode(...bytes.subarray(at + 1, at + 1 + bytes[at]!));
    labels.push(label.replaceAll(".", "\\."));
  }
  return labels.join(".").replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function number16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

/** What an answer says beside its records. */
export interface Verdict {
  readonly rcode: number;
  readonly answers: readonly Answer[];
}

/**
 * Writes an answer. What is longer than it may be is cut, and says so.
 * @param longest bytes
 */
export function writeAnswer(query: Query, { rcode, answers }: Verdict, longest: number): Uint8Array {
  const { id, question, hasEdns, recursionDesired } = query;
  const extra = hasEdns ? [0, 0, 41, ednsLongest >> 8, ednsLongest & 255, 0, 0, 0, 0, 0, 0] : [];
  const records: Uint8Array[] = [];
  let length = headerLength + question.length + extra.length;
  for (const answer of answers) {
    const record = recordOf(answer);
    if (length + record.length > longest) break;
    records.push(record);
    length += record.length;
  }
  const isCut = records.length < answers.length;
  // Response, authoritative, recursion available.
  const flags = 0x8480 | (isCut ? 0x200 : 0) | (recursionDesired ? 0x100 : 0) | rcode;
  return joined([
    header(id, flags, [1, records.length, 0, hasEdns ? 1 : 0]),
    question,
    ...records,
    extra,
  ], length);
}

function joined(parts: readonly ArrayLike<number>[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** An answer to what cannot be read as a question. */
export function writeRefusal({ problem, id }: Exclude<NoQuery, { problem: "ignored" }>): Uint8Array {
  return Uint8Array.from(header(id, 0x8080 | rcodes[problem], [0, 0, 0, 0]));
}

function header(id: number, flags: number, counts: readonly number[]): readonly number[] {
  return [id, flags, ...counts].flatMap((word) => [word >> 8, word & 255]);
}

/** Records that were written before, by their type and data, and how many are kept. */
const written = new Map<string, Uint8Array>();
const mostWritten = 10_000;

/** Its name is a pointer to the question's, 12 bytes from the beginning; it may not be kept (TTL 0). */
function recordOf({ type, data }: Answer): Uint8Array {
  const key = `${type} ${data}`;
  const known = written.get(key);
  if (known) return known;
  const whole = packets.encode({ type: "response", answers: [{ type, name: ".", data, ttl: 0 }] });
  // Behind the header and the root's one byte.
  const record = Uint8Array.from([0xc0, headerLength, ...whole.subarray(headerLength + 1)]);
  if (written.size >= mostWritten) written.clear();
  written.set(key, record);
  return record;
}

/** The response code of a packet of at least a header. */
export function rcodeOf(bytes: Uint8Array): number {
  return bytes[3]! & 15;
}

/** Whether a packet is a response to the question of another, whatever its id. */
export function answersQuestion(answer: Uint8Array, question: Uint8Array): boolean {
  const end = headerLength + question.length;
  if (answer.length < headerLength || (answer[2]! & 0x80) === 0) return false;
  // Some say no more than that they refuse.
  if (number16(answer, 4) === 0) return rcodeOf(answer) !== rcodes.ok;
  if (answer.length < end) return false;
  return question.every((byte, i) => lower(byte) === lower(answer[headerLength + i]!));
}

function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}
