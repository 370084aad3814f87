import { type Processes, type Reading, type Signal, signals } from "../../plan/world.ts";
import { bytesOfText, streamNames, wholeInput, writeAll } from "../output.ts";
import { close, hasLibc, openSigwait } from "./libc.ts";

/** Other processes, and signals. */
export function denoProcesses(world: Pick<Reading, "read">): Processes {
  return {
    exists: (pid) => {
      try {
        // The types know no 0, which only asks.
        Deno.kill(pid, 0 as unknown as Deno.Signal);
        return true;
      } catch (error) {
        return !(error instanceof Deno.errors.NotFound);
      }
    },
    signal,
    onSignals: (names, tell) =>
      names.forEach((name) => {
        if (name === "SIGUSR1" && isBlocked(world)) return void tellBlocked(tell);
        Deno.addSignalListener(name, () => tell(name));
      }),
  };
}

/** See `World.signal`. */
export function signal(pid: number, name: Signal | "SIGKILL"): boolean {
  try {
    Deno.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Whether our launcher has blocked SIGUSR1. */
export function isBlocked(world: Pick<Reading, "read">): boolean {
  const blocked = /^SigBlk:\s*([0-9a-f]+)/m.exec(world.read("/proc/self/status") ?? "")?.[1];
  return (BigInt(`0x${blocked ?? 0}`) >> BigInt(signals.SIGUSR1 - 1) & 1n) === 1n;
}

/** Waits for SIGUSR1 where it is blocked, as sigwait(3) can, but Deno cannot: to listen for it would unblock nothing. */
async function tellBlocked(tell: (name: "SIGUSR1") => void): Promise<void> {
  const { symbols: { sigwait } } = openSigwait();
  const set = new Uint8Array(128);
  set[(signals.SIGUSR1 - 1) >> 3] = 1 << (signals.SIGUSR1 - 1 & 7);
  while (await sigwait(set, new Uint8Array(4)) === 0) tell("SIGUSR1");
}

/** Whether it is 2.0, whose Node layer lacks a little. */
export function isFirstDeno2(): boolean {
  return Deno.version.deno.startsWith("2.0.");
}

/** The file that runs, for which a service may have no more permission than to read it. */
export function ownFile(): string {
  const { mainModule } = Deno;
  return mainModule.startsWith("file://") ? decodeURIComponent(mainModule.slice(7)) : mainModule;
}

/** Prints a text to standard error. */
export function tell(text: string): void {
  printBytes("stderr", new TextEncoder().encode(text));
}

let openFile: Deno.FsFile | undefined;

/**
 * Bytes of the file that runs, as text. The file stays open: a service may need more of it after it was replaced.
 * @param fromEnd the distance of the first byte from the file's end, in bytes
 */
function readFile(fromEnd: number, bytes: number): string {
  openFile ??= Deno.openSync(ownFile());
  openFile.seekSync(Math.max(openFile.statSync().size - fromEnd, 0), Deno.SeekMode.Start);
  const read = new Uint8Array(bytes);
  let size = 0;
  for (let more: number | null = 1; more && size < bytes; size += more ?? 0) {
    more = openFile.readSync(read.subarray(size));
  }
  return new TextDecoder().decode(read.subarray(0, size));
}

const buffer = new Uint8Array(65536);

/** The next bytes of standard input. Without the streams API, whose first use costs 10 ms. */
export function readInput(): Uint8Array | undefined {
  const size = Deno.stdin.readSync(buffer);
  return size === null ? undefined : buffer.slice(0, size);
}

/** Writes all of it, even where standard output does not block. */
export function printBytes(to: "stdout" | "stderr", bytes: Uint8Array): void {
  const stream = to === "stdout" ? standardOutput() : Deno.stderr;
  writeAll(streamNames[to], bytes, (part) => {
    try {
      return stream.writeSync(part);
    } catch (error) {
      isOutputWhole = false;
      throw error;
    }
  });
}

let pipe: Deno.FsFile | undefined;
let isOutputWhole = true;

/**
 * Deno has a buffer before its standard output, so that of a write which fails because the caller's pipe is full and does
 * not block it is not known how much was taken (2.9.5). The same pipe, opened anew, blocks.
 */
function standardOutput(): Pick<Deno.FsFile, "writeSync"> {
  try {
    const path = "/proc/self/fd/1";
    if (Deno.statSync(path).isFifo) return pipe ??= Deno.openSync(path, { write: true });
  } catch { /* Of another user's pipe that is not allowed. */ }
  return Deno.stdout;
}

/**
 * Closes what standard output was opened anew as.
 * @returns false if Deno's buffer may keep something that could not be written
 */
export function endOutput(): boolean {
  pipe?.close();
  pipe = undefined;
  return isOutputWhole;
}

/** What a program's entry needs of its process. */
export const denoProcess = {
  args: (): readonly string[] => Deno.args,
  stdin: (): Promise<string> => Promise.resolve(wholeInput(readInput)),
  print: (to: "stdout" | "stderr", text: string): void => printBytes(to, new TextEncoder().encode(text)),
  printBytes: (text: string): void => printBytes("stdout", bytesOfText(text)),
  isWatched: (): boolean => Deno.stderr.isTerminal(),
  columns: (): number | undefined => Deno.stdout.isTerminal() ? Deno.consoleSize().columns : undefined,
  file: ownFile,
  readFile,
  /** Descriptors that were inherited, and would be by all that we start. */
  close: (descriptors: readonly number[]): void => {
    if (hasLibc()) descriptors.forEach(close);
  },
  exit: (code: number): never => Deno.exit(code),
};
