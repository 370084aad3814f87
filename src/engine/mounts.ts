import type { Pinned, World } from "../plan/world.ts";

/** A mount, as a process's mount namespace has it. */
export interface Mount {
  /** Where it is, as the process sees it. */
  readonly point: string;
  /** Whether what is mounted on it shows up elsewhere, too: in the host's namespace, if that has its peer. */
  readonly isShared: boolean;
}

/** The mounts that a process sees, by their ids, which no two namespaces have in common. */
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

/** Blanks, tabs, newlines and backslashes are written as `\040`. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** The id of the mount through which something was pinned. */
export function mountIdOf(world: World, { path }: Pinned): string {
  return /^mnt_id:\s*([0-9]+)/m.exec(world.read(path.replace("/fd/", "/fdinfo/")) ?? "")?.[1] ?? "";
}
