import { parseAddress } from "../../net/address.ts";
import { type Datagrams, openDatagrams } from "./datagrams.ts";

/** A question to one server. */
export interface Asking {
  readonly pool: Pool;
  readonly server: string;
  readonly bytes: Uint8Array;
  isAnswer(answer: Uint8Array): boolean;
  /** Milliseconds. */
  readonly limit: number;
}

interface Waiting {
  readonly server: string;
  isAnswer(answer: Uint8Array): boolean;
  tell(answer: Uint8Array | undefined): void;
}

interface Source {
  readonly socket: Datagrams;
  /** By the id that was sent. */
  readonly waiting: Map<number, Waiting>;
  left: number;
}

/** Sockets to ask from, of each family: a few, for with one for each question Deno loses datagrams among a thousand. */
export type Pool = Map<4 | 6, Promise<Source>[]>;

const size = 16;
/** So many questions, then a source is closed and another port is taken: a forger of answers has to guess port and id. */
const mostUses = 64;

/** @returns the answer of the server that was asked, to what was asked; undefined when it does not come in time */
export async function askByDatagram(
  { pool, server, bytes, isAnswer, limit }: Asking,
): Promise<Uint8Array | undefined> {
  const of = server.includes(":") ? 6 : 4;
  const source = await sourceOf(pool, of).catch(() => undefined);
  if (!source) return undefined;
  const id = freeId(source.waiting);
  const question = bytes.slice();
  question.set([id >> 8, id & 255]);
  return await new Promise((resolve) => {
    const tell = (answer: Uint8Array | undefined) => {
      clearTimeout(timer);
      source.waiting.delete(id);
      closeIfUsed(source);
      resolve(answer);
    };
    const timer = setTimeout(tell, limit, undefined);
    source.waiting.set(id, { server: plain(server), isAnswer, tell });
    source.socket.send(question, { address: server, port: 53 });
  });
}

async function sourceOf(pool: Pool, of: 4 | 6): Promise<Source> {
  const sources = pool.get(of) ?? [];
  pool.set(of, sources);
  const at = random(size);
  const opening = sources[at] ??= open(of);
  const source = await opening.catch((error) => {
    if (sources[at] === opening) delete sources[at];
    throw error;
  });
  if (--source.left === 0) delete sources[at];
  if (source.left >= 0) return source;
  // Others have used it up while it was being opened.
  return await sourceOf(pool, of);
}

async function open(of: 4 | 6): Promise<Source> {
  const waiting = new Map<number, Waiting>();
  const address = of === 4 ? "0.0.0.0" : "::";
  const socket = await openDatagrams({ address, port: 0 }, (answer, from) => {
    if (answer.length < 12 || from.port !== 53) return;
    const found = waiting.get(answer[0]! << 8 | answer[1]!);
    if (found?.server === plain(from.address) && found.isAnswer(answer)) found.tell(answer);
  });
  return { socket, waiting, left: mostUses };
}

function closeIfUsed({ left, waiting, socket }: Source): void {
  if (left <= 0 && waiting.size === 0) socket.close();
}

function plain(address: string): string {
  return parseAddress(address.split("%")[0]!) ?? address;
}

function freeId(waiting: ReadonlyMap<number, unknown>): number {
  for (;;) {
    const id = random(65_536);
    if (!waiting.has(id)) return id;
  }
}

/** A number below another, which cannot be foreseen. */
export function random(below: number): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! % below;
}
