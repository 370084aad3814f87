import type { Socket } from "node:net";
import { concat } from "./frames.ts";

/** The longest line in bytes. */
const longest = 4096;

/**
 * Reads the first line from a socket, without the newline. The rest stays in the socket, which is paused.
 * @returns undefined if the socket ends before, or if the line is too long
 */
export function firstLine(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    let head: Uint8Array = new Uint8Array(0);
    const settle = (line: string | undefined) => {
      socket.off("data", take).off("end", end).off("close", end).pause();
      resolve(line);
    };
    const end = () => settle(undefined);
    const take = (part: Uint8Array) => {
      head = concat(head, part);
      const at = head.indexOf(10);
      if (at < 0) return head.length > longest ? end() : undefined;
      settle(new TextDecoder().decode(head.subarray(0, at)));
      if (at + 1 < head.length) socket.unshift(head.subarray(at + 1));
    };
    socket.on("data", take).on("end", end).on("close", end);
  });
}
