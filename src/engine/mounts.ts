import type { Pinned, World } from "../plan/world.ts";

/** A mount in a process's mount namespace. */
export interface Mount {
  /** The mount point as the process sees it. */
  readonly point: string;
  /** Whether mounts on it propagate to other namespaces, e.g. to the host's if that has its peer. */
  readonly isShared: boolean;
}

/** The mounts of a process, by id. Ids are unique across namespaces. */
export function mountsOf(world: World, pid: number): ReadonlyMap<string, Mount> {
  return parseMounts(world.read(`/proc/${pid}/mountinfo`) ?? "");
}

/** Reads a /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
export function parseMounts(text: string): ReadonlyMap<string, Mount> {
  return new Map(
    text.split("\n").filter((line) => line !== "").map((line) => {
      const [id, , , , point, , ...tags] = line.split(" - ")[0]!.split(" ");
      return [id!, { point: unescape(point!), isShared: tags.some((tag) => tag.startsWith("shared:")) }];
    }),
  );
}

/** Decodes blanks, tabs, newlines and backslashes, which are written as `\040` etc. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** The id of the mount by which a path was pinned. */
export function mountIdOf(world: World, { path }: Pinned): string {
  return /^mnt_id:\s*([0-9]+)/m.exec(world.read(path.replace("/fd/", "/fdinfo/")) ?? "")?.[1] ?? "";
}
