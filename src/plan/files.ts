/** What is done with files through a World. */

import type { World } from "./world.ts";

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
  const number = Math.floor(Math.random() * 1e9);
  return `${path.slice(0, at)}.${path.slice(at)}.${pid}.${number}`;
}

/** Removes from a directory what `write` and `create` had begun in processes that were killed over it. */
export function removeAbandoned(world: World, directory: string): void {
  for (const name of world.list(directory)) {
    // Their temporary files are .NAME.PID.NUMBER.
    const pid = /^\..+\.([0-9]+)\.[0-9]+$/.exec(name)?.[1];
    if (pid !== undefined && world.stat(`/proc/${pid}`) === undefined) world.remove(`${directory}/${name}`);
  }
}
