/** In milliseconds: the time before the next try when a pipe is full. */
const pause = 5;

/**
 * Writes all bytes, also to a non-blocking stream: ssh, Node and expect pass such streams. If a pipe is full, it waits.
 * If the reader is gone, the rest is dropped.
 * @param write returns how many bytes it has written
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
      pauseUntilReady();
    }
  }
}

/**
 * What is written over a file's old content, from its beginning, before the file gets the length of the text: whoever reads
 * it meanwhile finds empty lines at its end, and none that is cut.
 * @param size of the old content, in bytes
 */
export function overOld(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length >= size) return bytes;
  const whole = new Uint8Array(size).fill(10);
  whole.set(bytes);
  return whole;
}

/** Sleeps a moment before a stream that was not ready is tried again. */
export function pauseUntilReady(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
}

/**
 * Standard input, whole. A runtime's state, or a request, is far smaller than what is read at most.
 * @param read the next bytes, or undefined at the end
 * @throws Error if it is longer than 16 MiB
 */
export function wholeInput(read: () => Uint8Array | undefined): string {
  const decoder = new TextDecoder();
  let text = "";
  for (let part = read(); part; part = read()) {
    text += decoder.decode(part, { stream: true });
    if (text.length > 1 << 24) throw new Error("Cannot read standard input: it is longer than 16 MiB");
  }
  return text;
}

/** The names of the streams in messages. */
export const streamNames = { stdout: "standard output", stderr: "standard error" } as const;

/** A text with one character per byte. */
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
