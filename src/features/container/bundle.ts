import { messageOf } from "../../wire/cni/error.ts";
import { absolutePath, type Pinned, type World } from "../../plan/world.ts";
import { pinDirectory } from "../../engine/pinned_path.ts";

/** A bundle's config.json, read once. Its bundle may be in a tree that others write, and change under our hands. */
export interface BundleConfig {
  /** Where it is, for people. */
  readonly path: string;
  readonly text: string;
  /** Puts a new text in the place of what was read, with its owner and mode. @throws Error when that is no longer there */
  replace(text: string): void;
  release(): void;
}

/**
 * Reads a bundle's config.json. As root that may be in a user's hands, so that nothing is followed, opened or overwritten
 * that the user could not have read and written alone: each thing is reached from one that is held already.
 * @throws Error when there is none, or it is a link or anything else but a plain file of root's or the bundle's owner's
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

/** Why a file is not to be read by root: through a link, or a name of it elsewhere, others could lead us to any file. */
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

/** A person does not know our descriptors. */
function shown(error: unknown, pinned: Pinned, path: string): string {
  return messageOf(error).replaceAll(pinned.path, path);
}
