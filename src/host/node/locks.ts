import type * as ChildProcess from "node:child_process";
import type * as Fs from "node:fs";
import { needProgram } from "../../plan/programs.ts";
import type { Locking, Surroundings } from "../../plan/world.ts";
import { lockFailed, tellWait } from "../lock.ts";
import { builtin, orUndefined } from "./builtin.ts";
import { makeDirectory, unmasked } from "./files.ts";
import { tell } from "./process.ts";

/** Locks of flock(2), which util-linux's flock takes for us. */
export function nodeLocking(world: Surroundings): Locking {
  const fs = builtin<typeof Fs>("node:fs");
  return {
    lock: async (path) => (await lock(world, path, ["-x"]))!,
    tryLock: (path) => lock(world, path, ["-x", "-n"]),
    share: async (directory) =>
      (await tellWait(world, directory, flock(world, fs.openSync(directory, "r"), ["-s"]), tell))!,
    tryOwn: (directory) => flock(world, fs.openSync(directory, "r"), ["-x", "-n"]),
  };
}

async function lock(
  world: Surroundings,
  path: string,
  how: readonly string[],
): Promise<(() => void) | undefined> {
  const fs = builtin<typeof Fs>("node:fs");
  while (true) {
    // What has its name may be a pipe, which opened for writing alone would block.
    const fd = orUndefined(() => unmasked(() => fs.openSync(path, "a+", 0o600)));
    if (fd === undefined) {
      makeDirectory(path.slice(0, path.lastIndexOf("/")));
      continue;
    }
    const unlock = await tellWait(world, path, flock(world, fd, how), tell);
    if (!unlock) return undefined;
    // The process that had it may have removed the name while we waited; then the lock on this inode is worth nothing.
    if (orUndefined(() => fs.statSync(path))?.ino === fs.fstatSync(fd).ino) {
      return () => {
        fs.unlinkSync(path);
        unlock();
      };
    }
    unlock();
  }
}

/** Node cannot flock(2): util-linux's flock locks our own open file for us, and the lock stays with it. */
function flock(
  world: Surroundings,
  fd: number,
  how: readonly string[],
): Promise<(() => void) | undefined> {
  const fs = builtin<typeof Fs>("node:fs");
  const path = fs.readlinkSync(`/proc/self/fd/${fd}`);
  return new Promise((resolve, reject) => {
    const child = builtin<typeof ChildProcess>("node:child_process").spawn(
      needProgram(world, "flock"),
      [...how, "3"],
      { stdio: ["ignore", "ignore", "ignore", fd] },
    );
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(() => fs.closeSync(fd));
      fs.closeSync(fd);
      // Only one that does not wait may have to go without.
      if (code === 1 && how.includes("-n")) return resolve(undefined);
      reject(lockFailed(path, `flock(1) ended with ${signal ?? `status ${code}`}`));
    });
  });
}
