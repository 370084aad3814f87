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

/** A FIFO that is open for writing. */
export interface HeldFifo {
  write(text: string): void;
  letGo(): void;
}

/** What each runtime does of it in its own way. */
export interface Adoption {
  /** Waits until a line can be read from a FIFO. Meanwhile the FIFO is open for writing too, so it does not end. */
  waitForLine(fifo: string): Promise<string>;
  /** Keeps a FIFO open for writing until it is let go or this process ends, whether it has a reader or not. */
  holdForWriting(fifo: string): HeldFifo;
  /**
   * Replaces standard input, output and error by descriptors of another process.
   * @returns false if this cannot be done such that all is as if we had inherited them; then nothing has changed
   */
  takeStreams(pid: number, descriptors: readonly number[]): boolean;
  /** Installs at once the signal handlers that the runtime would only install some time after its start. */
  installSignalHandlers(): void;
  /** Replaces standard input, output and error by /dev/null. @returns false if what was not written may come later */
  leaveStreams(): boolean;
  /** Replaces the environment, the working directory and the mask for new files' modes. */
  take(adopted: Adopted): void;
  /** Reads some bytes of standard input; undefined at its end. */
  readInput(): Uint8Array | undefined;
  appendFile(path: string, bytes: Uint8Array): void;
  /** Gives a file another name. @returns false if it is not there: of several that try, one does it */
  moved(path: string, to: string): boolean;
  /** Sets when a file was changed last. @param at milliseconds since 1970 */
  setModified(path: string, at: number): void;
}

const adoption: Adoption = onDeno ? denoAdoption : nodeAdoption;

export const { installSignalHandlers, waitForLine, holdForWriting, takeStreams, moved, setModified } =
  adoption;

/** What this process has of its own: no arguments, its environment, the root directory, and a mask that shuts out others. */
export function ownPlace(environment: Readonly<Record<string, string>>): Adopted {
  return { args: [], environment, directory: "/", umask: 0o077 };
}

/**
 * Gives back what was adopted. Pipes of the caller's end only once no process has them any more.
 * @returns false if what the caller did not take may be written to the next one's streams
 */
export function leave(own: Adopted): boolean {
  const isDone = adoption.leaveStreams();
  adoption.take(own);
  return isDone;
}

/**
 * Goes on as if this process had been started as the other one was.
 * @param keptInput the file in which everything stays that is read from standard input
 */
export function adopt(adopted: Adopted, keptInput: string): void {
  adoption.take(adopted);
  ownProcess.args = () => adopted.args;
  ownProcess.stdin = () => Promise.resolve(readAll(keptInput));
}

/**
 * Each piece is kept before the next is read: if this process is killed, what it took from a pipe before is not lost. Only
 * a piece is lost that arrives just when it is killed.
 */
function readAll(keptInput: string): string {
  const decoder = new TextDecoder();
  let text = "";
  for (let part = adoption.readInput(); part; part = adoption.readInput()) {
    adoption.appendFile(keptInput, part);
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}
