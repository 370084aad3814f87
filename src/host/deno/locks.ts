import type { Locking, Surroundings } from "../../plan/world.ts";
import { lockFailed, tellWait } from "../lock.ts";
import { denoWriting, orUndefined, unmasked } from "./files.ts";
import { tell } from "./process.ts";
import { run } from "./programs.ts";

/** Locks of flock(2). */
export function denoLocking(world: Surroundings): Locking {
  return {
    lock: async (path) => (await lock(world, path, "wait"))!,
    tryLock: (path) => lock(world, path, "try"),
    share: async (directory) => {
      const file = Deno.openSync(directory);
      await lockFile(world, directory, file, false);
      return () => file.close();
    },
    tryOwn: async (directory) => {
      const file = Deno.openSync(directory);
      if (await tryFlock(world, file, directory)) return () => file.close();
      file.close();
      return undefined;
    },
  };
}

async function lock(
  world: Surroundings,
  path: string,
  how: "wait" | "try",
): Promise<(() => void) | undefined> {
  while (true) {
    const file = orUndefined(() =>
      unmasked(() => Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 }))
    );
    if (!file) {
      denoWriting.makeDirectory(path.slice(0, path.lastIndexOf("/")));
      continue;
    }
    if (how === "wait") await lockFile(world, path, file, true);
    else if (!(await tryFlock(world, file, path))) {
      file.close();
      return undefined;
    }
    // The process that had it may have removed the name while we waited; then the lock on this inode is worth nothing.
    const named = orUndefined(() => Deno.statSync(path));
    if (named !== undefined && named.ino === file.statSync().ino) {
      return () => {
        Deno.removeSync(path);
        file.close();
      };
    }
    file.close();
  }
}

async function lockFile(
  world: Surroundings,
  path: string,
  file: Deno.FsFile,
  exclusive: boolean,
): Promise<void> {
  // Most are free: only a wait takes a timer, which Deno needs long to make ready (timer.ts).
  if ("tryLock" in file && await file.tryLock(exclusive).catch(() => false)) return;
  const locked = file.lock(exclusive).catch((error) => {
    throw lockFailed(path, String(error.message));
  });
  await tellWait(world, path, locked, tell);
}

/** Deno can try only since 2.7; before, util-linux's flock looks whether there would be a wait. */
async function tryFlock(world: Surroundings, file: Deno.FsFile, path: string): Promise<boolean> {
  if ("tryLock" in file) return await file.tryLock(true);
  const { code } = await run(world, ["flock", "--exclusive", "--nonblock", path, "true"]);
  if (code === 0) await (file as Deno.FsFile).lock(true);
  return code === 0;
}
