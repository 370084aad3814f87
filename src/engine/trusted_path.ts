import { linkTarget } from "../plan/files.ts";
import type { World } from "../plan/world.ts";
import { seesOwners } from "./user.ts";

/** The kernel's limit for links in one path. */
const mostLinks = 40;

/** What the kernel alone gives its meaning: the process has its number as long as it runs. */
const ofProcess = /^\/proc\/(\d+|self|thread-self)\/(task\/\d+\/)?ns\/net$/;

/**
 * Why others than root and we could have a path lead elsewhere: a directory or link on the way is theirs, or they may write
 * into one. Where the sticky bit is, as in /tmp, what is ours cannot be renamed. Links are followed name by name, as one of
 * root's may lead through a directory of a user's.
 * @returns the reason, for the first such name; undefined if there is none, or if owners cannot be told
 */
export function whyOthersMove(world: World, path: string, links = 0): string | undefined {
  if (!seesOwners(world) || ofProcess.test(path)) return undefined;
  const names = path.split("/");
  for (const i of names.keys()) {
    const at = names.slice(0, i + 1).join("/") || "/";
    const stat = world.stat(at, "itself");
    if (stat === undefined) return undefined;
    if (stat.uid !== 0 && stat.uid !== world.uid) return `${at} belongs to user ${stat.uid}`;
    const target = stat.kind === "other" ? linkTarget(world, at) : undefined;
    if (target !== undefined) {
      if (links === mostLinks) return `${at} is a link that leads to itself`;
      const start = target.startsWith("/") ? target : `${names.slice(0, i).join("/")}/${target}`;
      return whyOthersMove(world, [start, ...names.slice(i + 1)].join("/"), links + 1);
    }
    if (stat.kind === "directory" && (stat.mode & 0o1000) === 0) {
      if ((stat.mode & 0o002) !== 0) return `${at} may be written by all`;
      // A user's own group is often the user alone.
      const gid = (stat.mode & 0o020) !== 0 && world.uid === 0 ? groupOf(world, at) : 0;
      if (gid !== 0) return `${at} may be written by group ${gid}`;
    }
  }
  return undefined;
}

/** @throws Error where others could have a directory's path lead elsewhere, with what cannot be done, and the remedy */
export function checkDirectory(world: World, path: string, task: string, remedy: string): void {
  const why = whyOthersMove(world, path || "/");
  if (why) {
    throw new Error(`Cannot ${task}: others could put another directory in its place, for ${why}; ${remedy}`);
  }
}

function groupOf(world: World, path: string): number {
  const pinned = world.pin(path);
  pinned?.release();
  return pinned?.stat.gid ?? 0;
}
