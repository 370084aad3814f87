import type { Surroundings } from "./world.ts";

/**
 * The pid of a process that has a file open; undefined if only processes of other users may have it.
 * @param target as /proc/PID/fd/N shows it: a path, or "socket:[INODE]"
 * @param isMeant tells by /proc/PID/fdinfo/N, and by the file itself, whether it is what is looked for
 */
export function processWith(
  world: Surroundings,
  target: string,
  isMeant: (info: string, file: string) => boolean = () => true,
): string | undefined {
  const has = (pid: string) => {
    try {
      return world.list(`/proc/${pid}/fd`).some((fd) =>
        world.readLink(`/proc/${pid}/fd/${fd}`) === target &&
        isMeant(world.read(`/proc/${pid}/fdinfo/${fd}`) ?? "", `/proc/${pid}/fd/${fd}`)
      );
    } catch {
      // It is another user's process.
      return false;
    }
  };
  return world.list("/proc").find((name) => /^[0-9]+$/.test(name) && has(name));
}

/**
 * The pid of the process that has a lock: /proc/locks may name flock(1), which has ended; an open file says what it has
 * locked. Of processes in containers a file with the same path may be another one.
 */
export function lockHolder(world: Surroundings, path: string): string | undefined {
  const own = world.stat(path)?.identity;
  const isOwn = (info: string, file: string) =>
    /^lock:.*FLOCK/m.test(info) && world.stat(file)?.identity === own;
  return processWith(world, path, isOwn);
}
