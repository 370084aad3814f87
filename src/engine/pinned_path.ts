import type { Pinned, World } from "../plan/world.ts";
import { outerUid } from "./user.ts";

/** The kernel's limit for links in one path. */
const mostLinks = 40;

/** The state of a walk along a path: the current directory, the one before it, and the remaining names. */
interface Walk {
  readonly stack: Pinned[];
  readonly rest: string[];
  links: number;
}

/**
 * Opens the directory at a path. The path may lead through directories that other users can write. So if root calls
 * this, it follows only links that root alone could have made, and takes each step from the directory that it has
 * opened.
 * @returns undefined if there is none
 * @throws Error naming a link that another user may have made
 */
export function pinDirectory(world: World, path: string): Pinned | undefined {
  // For other users the kernel's own permission checks are enough.
  if (world.uid !== 0 || outerUid(world) !== 0) return world.pin(`${path}/.`, "follow");
  const walk: Walk = { stack: [world.pin("/")!], rest: path.split("/"), links: 0 };
  try {
    while (walk.rest.length > 0) if (!step(world, path, walk)) return undefined;
    return walk.stack.pop();
  } finally {
    walk.stack.forEach(({ release }) => release());
  }
}

/** Takes one step; false if the next name does not exist. */
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
 * Whether only root could have made a link: root owns it and its directory, and other users either cannot write the
 * directory or cannot rename files of others in it (sticky bit).
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
