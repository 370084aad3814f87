/** What is done with files through a World. */

import { fileProblem } from "../net/file_problem.ts";
import type { Surroundings, World } from "./world.ts";

/** A file that is there, of which nothing can be made. */
export class DamagedFile extends Error {}

/**
 * Refuses what would block who opens it, or never end: a pipe, a socket, a device, a directory, a file that is too long.
 * /dev/null reads as empty, and files of /proc and /sys are regular.
 * @param most bytes; 16 MiB, unless only a part is read
 * @returns the path
 * @throws DamagedFile
 */
export function checkFile(path: string, { mode, size, rdev }: FileInfo, most = 1 << 24): string {
  if ((mode! & 0o170000) === 0o100000 ? size <= most : rdev === 0x103) return path;
  throw new DamagedFile(fileProblem(path, mode!));
}

/** What stat(2) says; null only where there is no such thing as on Linux. */
interface FileInfo {
  readonly mode: number | null;
  readonly size: number;
  readonly rdev: number | null;
}

/** What is read, or undefined where nothing can be made of the file. */
export function undamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof DamagedFile) return undefined;
    throw error;
  }
}

/** A file's text, where one that cannot be read is to be in the way of nothing. */
export function readUndamagedFile(world: Surroundings, path: string): string | undefined {
  return undamaged(() => world.read(path));
}

/** Where a symbolic link leads to, in its own words; undefined for what is none. */
export function linkTarget(world: Surroundings, path: string): string | undefined {
  try {
    return world.readLink(path);
  } catch {
    // EINVAL: it is there, and no link.
    return undefined;
  }
}

/** A person's path, from the directory that we were called in if it is relative. */
export function absolutePath(world: World, path: string): string {
  const clean = path.replace(/\/+$/, "") || "/";
  return clean.startsWith("/") ? clean : `${world.readLink("/proc/self/cwd")}/${clean}`;
}

/**
 * Does something with a file whose directory may be missing, or vanish: the process that gives up the last file in it
 * takes it along. Whether it is there a moment later says nothing, a rival may have made it anew; the error says it.
 */
export function withDirectory<T>(world: World, path: string, mode: number, act: () => T): T {
  const directory = path.slice(0, path.lastIndexOf("/"));
  for (let tries = 0;; tries++) {
    try {
      if (tries > 0) world.makeDirectory(directory, mode);
      return act();
    } catch (error) {
      if (tries === 1000 || (error as { code?: string }).code !== "ENOENT") throw error;
    }
  }
}

/** Makes a file whole, and its directory if it has none, or answers false because the name is taken. */
export function createWithDirectory(world: World, path: string, text: string): boolean {
  return withDirectory(world, path, 0o755, () => world.create(path, text));
}

/** A name beside a file that cannot be foreseen, for what `write` and `create` begin: .NAME.PID.NUMBER. */
export function temporaryName(path: string, pid: number): string {
  const at = path.lastIndexOf("/") + 1;
  const [number] = crypto.getRandomValues(new Uint32Array(1));
  return `${path.slice(0, at)}.${path.slice(at)}.${pid}.${number}`;
}

/**
 * Removes from a directory what `write` and `create` had begun in processes that were killed over it.
 * @returns the names that the directory had
 */
export function removeAbandoned(world: World, directory: string): readonly string[] {
  const names = world.list(directory);
  for (const name of names) {
    // Their temporary files are .NAME.PID.NUMBER.
    const pid = /^\..+\.([0-9]+)\.[0-9]+$/.exec(name)?.[1];
    if (pid !== undefined && world.stat(`/proc/${pid}`) === undefined) world.remove(`${directory}/${name}`);
  }
  return names;
}
