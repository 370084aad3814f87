import { denoAdoption } from "./deno/adoption.ts";
import { nodeAdoption } from "./node/adoption.ts";
import { onDeno, ownProcess } from "./runtime.ts";

/** What a process takes over from another one, beside its standard streams. */
export interface Adopted {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** A path of its working directory. */
  readonly directory: string;
  readonly umask: number;
}

/** What each runtime does of it in its own way. */
export interface Adoption {
  /** Waits until a line can be read from a FIFO. Meanwhile the FIFO is open for writing too, so it does not end. */
  waitForLine(fifo: string): Promise<string>;
  /** Keeps a FIFO open for writing until this process ends, whether it has a reader or not. @returns writes to it */
  holdForWriting(fifo: string): (text: string) => void;
  /**
   * Replaces standard input, output and error by descriptors of another process.
   * @returns false if this cannot be done such that all is as if we had inherited them; then nothing has changed
   */
  takeStreams(pid: number, descriptors: readonly number[]): boolean;
  /** Replaces the environment, the working directory and the mask for new files' modes. */
  take(adopted: Adopted): void;
  /** Reads some bytes of standard input; undefined at its end. */
  readInput(): Uint8Array | undefined;
  appendFile(path: string, bytes: Uint8Array): void;
}

const adoption: Adoption = onDeno ? denoAdoption : nodeAdoption;

export const { waitForLine, holdForWriting, takeStreams } = adoption;

/**
 * Goes on as if this process had been started as the other one was.
 * @param keptInput the file in which everything stays that is read from standard input
 */
export function adopt(adopted: Adopted, keptInput: string): void {
  adoption.take(adopted);
  ownProcess.args = () => adopted.args;
  ownProcess.stdin = () => Promise.resolve(readAll(keptInput));
}

/** Each piece is kept before the next is read: if this process is killed, what it took from a pipe is not lost. */
function readAll(keptInput: string): string {
  const decoder = new TextDecoder();
  let text = "";
  for (let part = adoption.readInput(); part; part = adoption.readInput()) {
    adoption.appendFile(keptInput, part);
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}
