import type * as Fs from "node:fs";
import type * as Tty from "node:tty";
import type { Processes } from "../../plan/world.ts";
import { bytesOfText, pauseUntilReady, streamNames, wholeInput, writeAll } from "../output.ts";
import { builtin, codeOf } from "./builtin.ts";

/** Other processes, and signals. */
export const nodeProcesses: Processes = {
  exists: (pid) => {
    try {
      return process.kill(pid, 0);
    } catch (error) {
      return codeOf(error) !== "ESRCH";
    }
  },
  signal,
  onSignals: (names, tell) => names.forEach((name) => process.on(name, () => tell(name))),
};

/** See `World.signal`. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Has SIGUSR1 do nothing, where Node otherwise says why it cannot listen for a debugger (src/launcher.sh). */
export function ignoreDebugger(): void {
  process.on("SIGUSR1", () => {});
}

/** Sets the mask for new files' modes. @returns the one before */
export function setUmask(mask: number): number {
  return process.umask(mask);
}

/** Deno 2.0 has no such function, and makes one only while no code is waiting for it. */
export async function provideBuiltins(): Promise<void> {
  const global: { getBuiltinModule?: typeof process.getBuiltinModule } = process;
  if (global.getBuiltinModule) return;
  // Not a name that the bundle would resolve.
  const name = "node:module";
  const { createRequire } = await import(name) as {
    createRequire(path: string): typeof process.getBuiltinModule;
  };
  global.getBuiltinModule = createRequire("/");
}

export function tell(text: string): void {
  nodeProcess.print("stderr", text);
}

function printBytes(to: "stdout" | "stderr", bytes: Uint8Array): void {
  const { writeSync } = builtin<typeof Fs>("node:fs");
  writeAll(streamNames[to], bytes, (part) => writeSync(to === "stdout" ? 1 : 2, part));
}

const buffer = new Uint8Array(65536);

/** The next bytes of standard input, which is waited for where it does not block. */
export function readInput(): Uint8Array | undefined {
  while (true) {
    try {
      const size = builtin<typeof Fs>("node:fs").readSync(0, buffer);
      return size === 0 ? undefined : buffer.slice(0, size);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EOF") return undefined;
      if (code !== "EAGAIN") throw error;
      pauseUntilReady();
    }
  }
}

let ownDescriptor: number | undefined;

/**
 * Bytes of the file that runs, as text. The file stays open: a service may need more of it after it was replaced.
 * @param fromEnd the distance of the first byte from the file's end, in bytes
 */
function readFile(fromEnd: number, bytes: number): string {
  const fs = builtin<typeof Fs>("node:fs");
  ownDescriptor ??= fs.openSync(process.argv[1]!, "r");
  const read = new Uint8Array(bytes);
  let size = 0;
  const begin = Math.max(fs.fstatSync(ownDescriptor).size - fromEnd, 0);
  for (let more = 1; more > 0 && size < bytes; size += more) {
    more = fs.readSync(ownDescriptor, read, size, bytes - size, begin + size);
  }
  return new TextDecoder().decode(read.subarray(0, size));
}

/** What a program's entry needs of its process. */
export const nodeProcess = {
  args: (): readonly string[] => process.argv.slice(2),
  stdin: (): Promise<string> => Promise.resolve(wholeInput(readInput)),
  print: (to: "stdout" | "stderr", text: string): void => printBytes(to, new TextEncoder().encode(text)),
  printBytes: (text: string): void => printBytes("stdout", bytesOfText(text)),
  isWatched: (): boolean => builtin<typeof Tty>("node:tty").isatty(2),
  columns: (): number | undefined =>
    builtin<typeof Tty>("node:tty").isatty(1) ? process.stdout.columns : undefined,
  file: (): string => builtin<typeof Fs>("node:fs").realpathSync(process.argv[1]!),
  readFile,
  close: (descriptors: readonly number[]): void =>
    descriptors.forEach((descriptor) => builtin<typeof Fs>("node:fs").closeSync(descriptor)),
  exit: (code: number): never => process.exit(code),
};

/** What a service that works through Node's layer, which Deno has as well, needs of its process. */
export const service = {
  /** Once no process can write into standard input any more. */
  inputEnds: (): Promise<void> =>
    new Promise((resolve) => {
      process.stdin.on("end", resolve).on("close", resolve).on("error", () => resolve()).resume();
    }),
  ready: (): void => void process.stdout.write("ready\n"),
  tell: (line: string): void => void process.stderr.write(`${line}\n`),
  exit: (code: number): never => process.exit(code),
  /** Messages of the process that started this one, perhaps with a socket. This one ends with it. */
  onMessage: (tell: (message: unknown, socket: unknown) => void): void =>
    void process.on("message", tell).on("disconnect", () => process.exit()),
  send: (message: unknown): void => void process.send!(message),
  /** An unexpected error is told, and ends nothing. */
  survive: (tell: (problem: unknown) => void): void =>
    void process.on("uncaughtException", tell).on("unhandledRejection", tell),
};
