import { checkFile, temporaryName } from "../../plan/files.ts";
import type { Pinned, Reading, Stat, Writing } from "../../plan/world.ts";
import { pin as pinByNode, writeTemporary as writeOwned } from "../node/files.ts";
import { overOld, textOfBytes } from "../output.ts";
import { close, hasLibc, open } from "./libc.ts";

/** What Deno reads of the file system. */
export const denoReading: Reading = {
  read: (path) => orUndefined(() => Deno.readTextFileSync(checked(path))),
  readBytes: (path) => orUndefined(() => textOfBytes(Deno.readFileSync(checked(path)))),
  readStart: (path, bytes) => orUndefined(() => readStart(path, bytes)),
  list: (path) => orUndefined(() => Array.from(Deno.readDirSync(path), (entry) => entry.name)) ?? [],
  stat: (path, link) => orUndefined(() => toStat(link ? Deno.lstatSync(path) : Deno.statSync(path))),
  readLink: (path) => orUndefined(() => Deno.readLinkSync(path)),
  pin: (path, link) => hasLibc() ? orUndefined(() => pin(path, link)) : pinByNode(path, link),
};

/** What Deno changes in the file system. */
export const denoWriting: Writing = {
  write: (path, text, mode = 0o600, owner) => {
    const temporary = owner ? writeOwned(path, text, mode, owner) : writeTemporary(path, text, mode);
    try {
      Deno.renameSync(temporary, path);
    } catch (error) {
      Deno.removeSync(temporary);
      throw error;
    }
  },
  create: (path, text, mode = 0o600) => {
    const temporary = writeTemporary(path, text, mode);
    try {
      Deno.linkSync(temporary, path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    } finally {
      Deno.removeSync(temporary);
    }
  },
  put: (path, text) => {
    const file = Deno.openSync(path, { write: true });
    try {
      const [bytes, { size }] = [new TextEncoder().encode(text), file.statSync()];
      const whole = overOld(bytes, size);
      for (let done = 0; done < whole.length;) done += file.writeSync(whole.subarray(done));
      if (whole !== bytes) file.truncateSync(bytes.length);
    } finally {
      file.close();
    }
  },
  append: (path, text) =>
    void orUndefined(() =>
      Deno.writeFileSync(path, new TextEncoder().encode(text), { append: true, create: false })
    ),
  symlink: (target, path) => Deno.symlinkSync(target, path),
  makeDirectory: (path, mode = 0o700) => unmasked(() => Deno.mkdirSync(path, { recursive: true, mode })),
  remove: (path) => void orUndefined(() => Deno.removeSync(path, { recursive: true })),
  removeEmpty: (path) => {
    try {
      Deno.removeSync(path);
    } catch { /* It is not there, or not empty: both are fine. */ }
  },
};

/** Makes something with the mode that is given, whatever the umask: one that takes from the owner would shut us out. */
export function unmasked<T>(make: () => T): T {
  const umask = Deno.umask(0);
  try {
    return make();
  } finally {
    Deno.umask(umask);
  }
}

/** See node/files.ts: `createNew` is O_EXCL, which follows no link. */
function writeTemporary(path: string, text: string, mode: number): string {
  const temporary = temporaryName(path, Deno.pid);
  try {
    Deno.writeTextFileSync(temporary, text, { mode, createNew: true });
  } catch (error) {
    // What has the name by chance is another's, and stays.
    if (!(error instanceof Deno.errors.AlreadyExists)) orUndefined(() => Deno.removeSync(temporary));
    throw error;
  }
  return temporary;
}

/** Deno has no way to pass flags to open(2) but its Node layer, which would cost a hook ten times as much. */
function pin(path: string, link?: "follow"): Pinned {
  const noFollow = Deno.build.arch === "aarch64" ? 0o100000 : 0o400000;
  const [pathOnly, closeOnExec] = [0o10000000, 0o2000000];
  const fd = open(path, pathOnly | closeOnExec | (link ? 0 : noFollow));
  // Why it could not be opened is in errno, which is out of reach; looking gives the same error, or there was a race.
  if (fd < 0) {
    (link ? Deno.statSync : Deno.lstatSync)(path);
    throw new Deno.errors.NotFound(path);
  }
  const held = `/proc/${Deno.readLinkSync("/proc/self")}/fd/${fd}`;
  const info = Deno.statSync(held);
  return {
    path: held,
    stat: { ...toStat(info), gid: info.gid ?? 0, links: info.nlink ?? 1, isLink: info.isSymlink },
    release: () => close(fd),
  };
}

export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Of a process that ends while its file in /proc is open, reading gives ESRCH, for which Deno has no class. */
function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
    String(error).includes("(os error 3)");
}

/** Looked at before it is opened, which of a pipe would block: Deno has no O_NONBLOCK. */
function checked(path: string, most?: number): string {
  return checkFile(path, Deno.statSync(path), most);
}

function readStart(path: string, bytes: number): string {
  const file = Deno.openSync(checked(path, Infinity));
  try {
    // Deno takes a millisecond to make room for a megabyte, which few files have.
    const [piece, decoder] = [new Uint8Array(Math.min(bytes, 65536)), new TextDecoder()];
    let text = "";
    for (let left = bytes, read; left > 0; left -= read) {
      read = file.readSync(piece.subarray(0, left)) ?? 0;
      if (read === 0) break;
      text += decoder.decode(piece.subarray(0, read), { stream: true });
    }
    return text + decoder.decode();
  } finally {
    file.close();
  }
}

function toStat(info: Deno.FileInfo): Stat {
  return {
    kind: info.isFile ? "file" : info.isDirectory ? "directory" : info.isSocket ? "socket" : "other",
    identity: `${info.dev}:${info.ino}`,
    uid: info.uid ?? 0,
    modified: info.mtime?.getTime() ?? 0,
    mode: (info.mode ?? 0) & 0o7777,
  };
}
