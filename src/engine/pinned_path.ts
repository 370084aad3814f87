import type { Pinned, World } from "../plan/world.ts";
import { outerUid } from "./user.ts";

/** More links in one path than these the kernel does not follow either. */
const mostLinks = 40;

/** A walk along a path: where it is, under that where it came from, and what is still before it. */
interface Walk {
  readonly stack: Pinned[];
  readonly rest: string[];
  links: number;
}

/**
 * Pins the directory at a path. For root it may lie in a tree that others write: of links on the way only those are
 * followed that nobody but root can have made, and each step is taken from the directory that the last one reached.
 * @returns undefined when there is none
 * @throws Error naming a link that somebody else may have made
 */
export function pinDirectory(world: World, path: string): Pinned | undefined {
  // Others are protected from what they could not do themselves by the kernel.
  if (world.uid !== 0 || outerUid(world) !== 0) return world.pin(`${path}/.`, "follow");
  const walk: Walk = { stack: [world.pin("/")!], rest: path.split("/"), links: 0 };
  try {
    while (walk.rest.length > 0) if (!step(world, path, walk)) return undefined;
    return walk.stack.pop();
  } finally {
    walk.stack.forEach(({ release }) => release());
  }
}

/** Takes a step; false where there is nothing to take it to. */
function step(world: World, path: string, walk: Walk): boolean {
  const name = walk.rest.shift()!;
  if (name === "" || name === ".") return true;
  if (name === "..") {
    if (walk.stack.length > 1) walk.stack.pop()!.release();
    return true;
  }
  const at = walk.stack.at(-1)!;
  const next = world.pin(`${at.path}/${name}`);
  if (next?.stat.isLink) {
    next.release();
    checkLink(world, path, at, next, name);
    return follow(world, walk, name);
  }
  if (next?.stat.kind === "directory") walk.stack.push(next);
  else next?.release();
  return next?.stat.kind === "directory";
}

function checkLink(world: World, path: string, at: Pinned, link: Pinned, name: string): void {
  if (isRootsOwn(at.stat, link.stat)) return;
  throw new Error(
    `Cannot follow the symbolic link ${
      world.readLink(at.path)
    }/${name} in ${path}: others than root may have made it; ` +
      "give the path that it leads to",
  );
}

/**
 * Whether nobody but root can have given a link its name: it is root's, and so is the directory, where others may write
 * only if they cannot rename what is not theirs (the sticky bit).
 */
export function isRootsOwn(
  directory: { readonly uid: number; readonly mode: number },
  link: { readonly uid: number },
): boolean {
  const isClosed = (directory.mode & 0o022) === 0 || (directory.mode & 0o1000) !== 0;
  return link.uid === 0 && directory.uid === 0 && isClosed;
}

function follow(world: World, walk: Walk, name: string): boolean {
  const target = world.readLink(`${walk.stack.at(-1)!.path}/${name}`);
  if (target === undefined || walk.links++ === mostLinks) return false;
  if (target.startsWith("/")) walk.stack.splice(1).forEach(({ release }) => release());
  walk.rest.unshift(...target.split("/"));
  return true;
}
