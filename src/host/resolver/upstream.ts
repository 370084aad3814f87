import { answersQuestion, rcodeOf, rcodes } from "../../wire/dns/packet.ts";
import { askByDatagram, type Pool } from "./pool.ts";
import { askByConnection } from "./connection.ts";

/** A question for the world. */
export interface Forwarded {
  /** As it came. */
  readonly bytes: Uint8Array;
  readonly question: Uint8Array;
  /** Whom to ask, in this order. */
  readonly servers: readonly string[];
  readonly byConnection: boolean;
}

/** Servers that did not answer, and until when they are asked last, in milliseconds since 1970. */
export type Mute = Map<string, number>;

/** Milliseconds: how long each server may take in the first round and in the next one, and all of them together. */
const timeoutsMs = { first: 700, next: 1500, all: 4500 };
/** Milliseconds that a server which did not answer is asked last. */
const muteTime = 30_000;
/** The most servers of which that is remembered. */
const mostMute = 1000;

/**
 * Asks servers until one of them knows. SERVFAIL and REFUSED are passed on only if no other server says anything else;
 * NXDOMAIN is an answer.
 * @returns what was answered, by the id of the question, or undefined
 */
export async function askWorld(
  pool: Pool,
  mute: Mute,
  asked: Forwarded,
  ask = askOne,
): Promise<Uint8Array | undefined> {
  const until = Date.now() + timeoutsMs.all;
  const isMute = (server: string) => (mute.get(server) ?? 0) > Date.now();
  let refusal: Uint8Array | undefined;
  for (const limit of [timeoutsMs.first, timeoutsMs.next]) {
    // Those that are mute come last.
    const servers = [...asked.servers].sort((a, b) => Number(isMute(a)) - Number(isMute(b)));
    for (const server of servers) {
      const left = Math.min(limit, until - Date.now());
      if (left <= 0) return refusal;
      const answer = await ask(pool, server, asked, left);
      if (!answer) setMute(mute, server);
      else {
        mute.delete(server);
        if (![rcodes.servfail, rcodes.refused].includes(rcodeOf(answer) as 2 | 5)) return answer;
        refusal = answer;
      }
    }
    if (refusal) return refusal;
  }
  return undefined;
}

function setMute(mute: Mute, server: string): void {
  if (mute.size >= mostMute) mute.clear();
  mute.set(server, Date.now() + muteTime);
}

async function askOne(
  pool: Pool,
  server: string,
  { bytes, question, byConnection }: Forwarded,
  limit: number,
): Promise<Uint8Array | undefined> {
  const isAnswer = (answer: Uint8Array) => answersQuestion(answer, question);
  const ask = byConnection ? askByConnection : askByDatagram;
  const answer = await ask({ pool, server, bytes, isAnswer, limit });
  if (!answer) return undefined;
  answer.set(bytes.subarray(0, 2));
  return answer;
}
