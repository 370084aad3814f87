import type { Surroundings } from "./world.ts";

/**
 * The pid of a process that has a file open; undefined if only processes of other users may have it.
 * @param target as /proc/PID/fd/N shows it: a path, or "socket:[INODE]"
 * @param isMeant tells by /proc/PID/fdinfo/N whether it is what is looked for
 */
export function processWith(
  world: Surroundings,
  target: string,
  isMeant: (info: string) => boolean = () => true,
): string | undefined {
  const has = (pid: string) => {
    try {
      return world.list(`/proc/${pid}/fd`).some((fd) =>
        world.readLink(`/proc/${pid}/fd/${fd}`) === target &&
        isMeant(world.read(`/proc/${pid}/fdinfo/${fd}`) ?? "")
      );
    } catch {
      // It is another user's process.
      return false;
    }
  };
  return world.list("/proc").find((name) => /^[0-9]+$/.test(name) && has(name));
}
