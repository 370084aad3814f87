import type { Adoption } from "../adoption.ts";
import { libcNames } from "./libc.ts";
import { endOutput, readInput } from "./process.ts";

const symbols = {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  dup3: { parameters: ["i32", "i32", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
} as const;

/** System calls that the C library has no function for, or has one only of late; the same on every architecture. */
const [pidfdOpen, pidfdGetfd] = [434n, 438n];

const flags = {
  writeOnly: 1,
  readWrite: 2,
  noControllingTerminal: 0o400,
  nonBlocking: 0o4000,
  closeOnExec: 0o2000000,
};
const setFlags = 4;

type Libc = Deno.StaticForeignLibraryInterface<typeof symbols>;

let opened: Libc | undefined;

function openLibc(): Libc | undefined {
  for (const name of opened ? [] : libcNames()) {
    try {
      return opened = Deno.dlopen(name, symbols).symbols;
    } catch { /* Then by the next name. */ }
  }
  return opened;
}

const buffer = new Uint8Array(65536);

/** See adoption.ts. */
export const denoAdoption: Adoption = {
  // Half a second after its start Deno (2.9.5) installs handlers for these signals.
  installSignalHandlers: () => {
    const pass = () => {};
    for (const name of ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"] as const) {
      Deno.addSignalListener(name, pass);
      Deno.removeSignalListener(name, pass);
    }
  },
  waitForLine: async (fifo) => {
    const file = Deno.openSync(fifo, { read: true, write: true });
    let text = "";
    const decoder = new TextDecoder();
    while (!text.includes("\n")) text += decoder.decode(buffer.subarray(0, await file.read(buffer) ?? 0));
    file.close();
    return text.slice(0, text.indexOf("\n"));
  },
  holdForWriting: (fifo) => {
    const file = Deno.openSync(fifo, { read: true, write: true });
    return {
      write: (text) => void file.writeSync(new TextEncoder().encode(text)),
      letGo: () => file.close(),
    };
  },
  takeStreams: (pid, descriptors) => {
    const libc = openLibc();
    if (!libc) return false;
    const taken: number[] = [];
    descriptors.forEach((descriptor, stream) => {
      const fd = duplicate(libc, pid, descriptor) ?? openAnew(libc, `/proc/${pid}/fd/${descriptor}`, stream);
      if (fd !== undefined) taken.push(fd);
    });
    const isWhole = taken.length === 3;
    taken.forEach((fd, stream) => {
      if (isWhole) libc.dup3(fd, stream, 0);
      libc.close(fd);
    });
    return isWhole;
  },
  leaveStreams: () => {
    const isWhole = endOutput();
    const { open, dup3, close } = openLibc()!;
    const nowhere = open(new TextEncoder().encode("/dev/null\0"), flags.readWrite | flags.closeOnExec, 0);
    [0, 1, 2].forEach((stream) => dup3(nowhere, stream, 0));
    close(nowhere);
    return isWhole;
  },
  take: ({ environment, directory, umask }) => {
    for (const name of Object.keys(Deno.env.toObject())) Deno.env.delete(name);
    for (const [name, value] of Object.entries(environment)) Deno.env.set(name, value);
    Deno.chdir(directory);
    Deno.umask(umask);
  },
  readInput,
  appendFile: (path, bytes) => Deno.writeFileSync(path, bytes, { append: true, mode: 0o600 }),
  moved: (path, to) => {
    try {
      Deno.renameSync(path, to);
      return true;
    } catch {
      return false;
    }
  },
  setModified: (path, at) => Deno.utimeSync(path, at / 1000, at / 1000),
};

/** The very same open file, with its offset and flags. Where the kernel does not let us, undefined. */
function duplicate({ syscall, close }: Libc, pid: number, descriptor: number): number | undefined {
  const process = Number(syscall(pidfdOpen, BigInt(pid), 0n, 0n));
  if (process < 0) return undefined;
  const fd = Number(syscall(pidfdGetfd, BigInt(process), BigInt(descriptor), 0n));
  close(process);
  return fd < 0 ? undefined : fd;
}

/**
 * The file opened once more, for which it must have no offset. Without O_NONBLOCK that would wait where a pipe has no
 * process at its other end.
 */
function openAnew({ open, fcntl }: Libc, path: string, stream: number): number | undefined {
  try {
    const { isFifo, isCharDevice } = Deno.statSync(path);
    if (!isFifo && !isCharDevice) return undefined;
  } catch {
    return undefined;
  }
  const { writeOnly, noControllingTerminal, nonBlocking, closeOnExec } = flags;
  const how = noControllingTerminal | nonBlocking | closeOnExec | (stream === 0 ? 0 : writeOnly);
  const fd = open(new TextEncoder().encode(`${path}\0`), how, 0);
  if (fd < 0) return undefined;
  fcntl(fd, setFlags, 0);
  return fd;
}
