import { messageOf } from "../../wire/cni/error.ts";
import { absolutePath } from "../../plan/files.ts";
import type { Pinned, World } from "../../plan/world.ts";
import { pinDirectory } from "../../engine/pinned_path.ts";

/** A bundle's config.json, read once. Other users may be able to change its directory at any time. */
export interface BundleConfig {
  /** The path for messages. */
  readonly path: string;
  readonly text: string;
  /**
   * Replaces the file with a new text, keeping owner and mode.
   * @throws Error if it is no longer the file that was read
   */
  replace(text: string): void;
  release(): void;
}

/**
 * Reads a bundle's config.json. The bundle may be under the control of a user, so root does nothing that this user
 * could not do alone: no link is followed, and every file is opened from a directory that is already held open.
 * @throws Error if there is none, or if it is anything but a regular file owned by root or the bundle's owner
 */
export function openBundleConfig(world: World, bundle: string): BundleConfig {
  const path = `${absolutePath(world, bundle)}/config.json`;
  const directory = pinDirectory(world, absolutePath(world, bundle));
  const file = directory && world.pin(`${directory.path}/config.json`);
  if (!directory || !file) {
    directory?.release();
    throw new Error(`Cannot change bundle "${bundle}": ${whyNone(bundle, directory !== undefined)}`);
  }
  const release = () => [file, directory].forEach((pinned) => pinned.release());
  try {
    const problem = problemOf(file, directory);
    if (problem) throw new Error(problem);
    const text = world.read(file.path) ?? "";
    const replace = (text: string) => replaceFile(world, path, directory, file, text);
    return { path, text, replace, release };
  } catch (error) {
    release();
    throw new Error(`Cannot read ${path}: ${shown(error, file, path)}`);
  }
}

function whyNone(bundle: string, isThere: boolean): string {
  if (/(^|\/)config\.json$/.test(bundle)) return "it is a file; give the directory that it is in";
  return isThere ? "it has no config.json; runc spec makes one" : "there is no such directory";
}

/**
 * The reason why root must not read a file: through a link or a second name (hard link), a user could make root read
 * any file.
 */
function problemOf({ stat }: Pinned, directory: Pinned): string | undefined {
  if (stat.isLink) return "it is a symbolic link; put the file that it leads to in its place";
  if (stat.kind !== "file") return "it is not a regular file; put one in its place";
  if (stat.links > 1) {
    return `the file has ${stat.links} names (hard links); put a copy in its place, so that it has this one alone`;
  }
  if (stat.uid === 0 || stat.uid === directory.stat.uid) return undefined;
  return `it belongs to user ${stat.uid}, and the bundle to user ${directory.stat.uid}; chown one of them`;
}

function replaceFile(world: World, path: string, directory: Pinned, file: Pinned, text: string): void {
  const { uid, gid, mode } = file.stat;
  const inside = `${directory.path}/config.json`;
  try {
    if (world.uid !== 0 && (mode & 0o222) === 0) throw new Error("permission denied, it is read-only");
    checkUnchanged(world, inside, file);
    world.write(inside, text, mode & 0o777, { uid, gid });
  } catch (error) {
    throw new Error(`Cannot write ${path}: ${shown(error, directory, path.slice(0, path.lastIndexOf("/")))}`);
  }
}

function checkUnchanged(world: World, path: string, { stat }: Pinned): void {
  const now = world.pin(path);
  now?.release();
  if (now?.stat.identity === stat.identity && now.stat.modified === stat.modified) return;
  throw new Error("it has been changed since it was read; try again");
}

/** The error text with the real path in place of /proc/self/fd paths. */
function shown(error: unknown, pinned: Pinned, path: string): string {
  return messageOf(error).replaceAll(pinned.path, path);
}
