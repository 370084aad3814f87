import type * as Fs from "node:fs";
import { checkFile, temporaryName } from "../../plan/files.ts";
import type { Owner, Pinned, Reading, Stat, Writing } from "../../plan/world.ts";
import { overOld } from "../output.ts";
import { builtin, codeOf, orUndefined } from "./builtin.ts";

/** What Node reads of the file system. */
export function nodeReading(): Reading {
  const fs = builtin<typeof Fs>("node:fs");
  return {
    read: (path) => orUndefined(() => fs.readFileSync(checked(path), "utf8")),
    readBytes: (path) => orUndefined(() => fs.readFileSync(checked(path), "latin1")),
    readStart: (path, bytes) => orUndefined(() => readStart(path, bytes)),
    list: (path) => orUndefined(() => fs.readdirSync(path)) ?? [],
    stat: (path, link) => orUndefined(() => toStat(link ? fs.lstatSync(path) : fs.statSync(path))),
    readLink: (path) => orUndefined(() => fs.readlinkSync(path)),
    pin,
  };
}

/** What Node changes in the file system. */
export function nodeWriting(): Writing {
  const fs = builtin<typeof Fs>("node:fs");
  return {
    write: (path, text, mode = 0o600, owner) => {
      const temporary = writeTemporary(path, text, mode, owner);
      try {
        fs.renameSync(temporary, path);
      } catch (error) {
        fs.rmSync(temporary, { force: true });
        throw error;
      }
    },
    create: (path, text, mode = 0o600) => {
      const temporary = writeTemporary(path, text, mode);
      try {
        fs.linkSync(temporary, path);
        return true;
      } catch (error) {
        if (codeOf(error) === "EEXIST") return false;
        throw error;
      } finally {
        fs.unlinkSync(temporary);
      }
    },
    append: (path, text) => {
      const fd = orUndefined(() => fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_APPEND));
      if (fd === undefined) return;
      try {
        fs.writeFileSync(fd, text);
      } finally {
        fs.closeSync(fd);
      }
    },
    put: (path, text) => {
      const fd = fs.openSync(path, fs.constants.O_WRONLY);
      try {
        const bytes = new TextEncoder().encode(text);
        const whole = overOld(bytes, fs.fstatSync(fd).size);
        fs.writeFileSync(fd, whole);
        if (whole !== bytes) fs.ftruncateSync(fd, bytes.length);
      } finally {
        fs.closeSync(fd);
      }
    },
    symlink: (target, path) => fs.symlinkSync(target, path),
    makeDirectory,
    remove: (path) => fs.rmSync(path, { recursive: true, force: true }),
    removeEmpty: (path) => {
      try {
        fs.rmdirSync(path);
      } catch { /* It is not there, or not empty: both are fine. */ }
    },
  };
}

/** With those above it. Node's own way to do that never ends where a file system makes none, such as /proc (20.20). */
export function makeDirectory(path: string, mode = 0o700, isSecondTry = false): void {
  const fs = builtin<typeof Fs>("node:fs");
  try {
    unmasked(() => fs.mkdirSync(path, { mode }));
  } catch (error) {
    if (codeOf(error) === "EEXIST" && fs.statSync(path).isDirectory()) return;
    const above = path.slice(0, path.lastIndexOf("/"));
    if (codeOf(error) !== "ENOENT" || above === "" || isSecondTry) throw error;
    // Another process may have made it since.
    if (!fs.existsSync(above)) makeDirectory(above, mode);
    makeDirectory(path, mode, true);
  }
}

/** Makes something with the mode that is given, whatever the umask: one that takes from the owner would shut us out. */
export function unmasked<T>(make: () => T): T {
  const umask = process.umask(0);
  try {
    return make();
  } finally {
    process.umask(umask);
  }
}

/** What `World.pin` says. */
export function pin(path: string, link?: "follow"): Pinned | undefined {
  const fs = builtin<typeof Fs>("node:fs");
  // Node has no name for O_PATH; it is the same number on every architecture that Node runs on.
  const flags = 0o10000000 | (link ? 0 : fs.constants.O_NOFOLLOW);
  const fd = orUndefined(() => fs.openSync(path, flags));
  if (fd === undefined) return undefined;
  const stats = fs.fstatSync(fd);
  return {
    // The number that /proc has for us need not be that of our own pid namespace.
    path: `/proc/${fs.readlinkSync("/proc/self")}/fd/${fd}`,
    stat: {
      ...toStat(stats),
      ...{ gid: stats.gid, links: stats.nlink, isLink: stats.isSymbolicLink() },
    },
    release: () => fs.closeSync(fd),
  };
}

/**
 * Writes a new file beside the one of a path. Its name cannot be foreseen, and O_EXCL neither follows a link nor takes a
 * file that others have put there; owner and mode are set by descriptor.
 * @returns its path
 */
export function writeTemporary(path: string, text: string, mode: number, owner?: Owner): string {
  const fs = builtin<typeof Fs>("node:fs");
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const temporary = temporaryName(path, process.pid);
  const fd = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, owner ? 0o600 : mode);
  try {
    fs.writeFileSync(fd, text);
    // Whatever the umask is: a container's users read some of these files.
    if (owner) setOwner(fd, owner, mode);
    else fs.fchmodSync(fd, mode);
    return temporary;
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    // Of a descriptor it does not name the file.
    if (codeOf(error) !== undefined) (error as Error).message += ` '${path}'`;
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** The mode last: a change of owner takes bits away. */
function setOwner(fd: number, { uid, gid }: Owner, mode: number): void {
  const fs = builtin<typeof Fs>("node:fs");
  const now = fs.fstatSync(fd);
  if (now.uid !== uid || now.gid !== gid) fs.fchownSync(fd, uid, gid);
  fs.fchmodSync(fd, mode);
}

/** Looked at before it is opened, which of a pipe would block. */
function checked(path: string, most?: number): string {
  return checkFile(path, builtin<typeof Fs>("node:fs").statSync(path), most);
}

function readStart(path: string, bytes: number): string {
  const fs = builtin<typeof Fs>("node:fs");
  const [buffer, file] = [new Uint8Array(bytes), fs.openSync(checked(path, Infinity), "r")];
  try {
    let length = 0;
    for (let read = 1; read > 0 && length < bytes; length += read) {
      read = fs.readSync(file, buffer, length, bytes - length, null);
    }
    return new TextDecoder().decode(buffer.subarray(0, length));
  } finally {
    fs.closeSync(file);
  }
}

function toStat(stats: Fs.Stats): Stat {
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSocket() ? "socket" : "other",
    identity: `${stats.dev}:${stats.ino}`,
    uid: stats.uid,
    modified: stats.mtimeMs,
    mode: stats.mode & 0o7777,
  };
}
