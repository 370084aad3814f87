/** Milliseconds until what was full is tried again. */
const pause = 5;

/**
 * Writes all of it, also where the caller has made the stream non-blocking, as ssh, Node and expect do: a pipe that is
 * full is waited for. Of one that nobody reads any more the rest is dropped.
 * @param write gives how many bytes it took
 * @throws Error naming the stream
 */
export function writeAll(stream: string, bytes: Uint8Array, write: (part: Uint8Array) => number): void {
  for (let done = 0; done < bytes.length;) {
    try {
      done += write(bytes.subarray(done));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw new Error(`Cannot write to ${stream}: ${(error as Error).message}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
    }
  }
}

/** The names of the streams, for people. */
export const streamNames = { stdout: "standard output", stderr: "standard error" } as const;

/** A text of which each character is a byte. */
export function textOfBytes(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  }
  return parts.join("");
}

/** The bytes of such a text. */
export function bytesOfText(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
