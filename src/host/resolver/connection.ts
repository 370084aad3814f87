import type * as Net from "node:net";
import { builtin } from "../node/builtin.ts";
import { type Asking, random } from "./pool.ts";

/** The same by TCP, one connection for a question. */
export function askByConnection(
  { server, bytes, isAnswer, limit }: Asking,
): Promise<Uint8Array | undefined> {
  const question = bytes.slice();
  const id = random(65_536);
  question.set([id >> 8, id & 255]);
  const socket = builtin<typeof Net>("node:net").connect({ host: server, port: 53 });
  return new Promise((resolve) => {
    const tell = (answer: Uint8Array | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(tell, limit, undefined);
    socket.on("connect", () => socket.write(framed(question))).on("error", () => tell(undefined));
    socket.on("close", () => tell(undefined));
    socket.on(
      "data",
      unframed((answer) =>
        tell(
          answer.length >= 12 && (answer[0]! << 8 | answer[1]!) === id && isAnswer(answer)
            ? answer
            : undefined,
        )
      ),
    );
  });
}

/** A message as it is sent by TCP: behind its length (RFC 1035, 4.2.2). */
export function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(message.length + 2);
  bytes.set([message.length >> 8, message.length & 255]);
  bytes.set(message, 2);
  return bytes;
}

/** Takes messages out of what comes by TCP; no more than one of them is kept. */
export function unframed(hear: (message: Uint8Array) => void): (bytes: Uint8Array) => void {
  let rest = new Uint8Array();
  return (bytes) => {
    const all = new Uint8Array(rest.length + bytes.length);
    all.set(rest);
    all.set(bytes, rest.length);
    let at = 0;
    while (all.length - at >= 2) {
      const end = at + 2 + (all[at]! << 8 | all[at + 1]!);
      if (end > all.length) break;
      hear(all.slice(at + 2, end));
      at = end;
    }
    rest = all.slice(at);
  };
}
