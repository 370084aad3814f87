import { type Exec, exec } from "../../plan/step.ts";
import type { Pinned, World } from "../../plan/world.ts";
import { type Mount, mountIdOf, mountsOf } from "../../engine/mounts.ts";

/** The root file system over whose files others are mounted. */
export interface Rootfs {
  readonly pid: number;
  /** Words for nsenter that give privileges over the process's namespaces. */
  readonly enter: readonly string[];
  /** The path in the container's mount namespace before its root is changed; "" means the host's own tree. */
  readonly path: string;
}

/** A file to mount over. */
export interface Target {
  /** A path in the container's mount namespace, or an open file. */
  readonly file: string | Pinned;
  /** The root of a shared mount. It must be made a slave, so that the new mount does not propagate. */
  readonly shared?: Pinned;
}

/** A file in a root file system's /etc, and the directories above it. */
interface Found {
  readonly root: Pinned;
  readonly etc: Pinned;
  readonly file: Pinned;
}

/** A file, and the file that it is mounted over. */
export interface FileMount {
  readonly source: string;
  readonly readOnly: boolean;
  readonly target: Target;
}

const missing = "there is no such file to mount it over; make an empty one";

/**
 * The reason why no file can be mounted over one in the root file system's /etc, as far as the host can see; undefined
 * if it can. A link in the path could lead the mount to any place in the host's tree.
 */
export function mountProblem(world: World, rootfs: string, name: string): string | undefined {
  const root = world.pin(`${rootfs}/.`, "follow");
  if (!root) return missing;
  const found = findFile(world, root, rootfs, name);
  const held = typeof found === "string" ? [root] : Object.values<Pinned>({ ...found });
  held.forEach(({ release }) => release());
  return typeof found === "string" ? found : undefined;
}

/** Opens a file without following links below the root, or returns the reason why it cannot be mounted over. */
function findFile(world: World, root: Pinned, shown: string, name: string): Found | string {
  const etc = world.pin(`${root.path}/etc`);
  if (etc?.stat.isLink) return `${shown}/etc is a symbolic link; replace it by a directory`;
  const file = etc && world.pin(`${etc.path}/${name}`);
  if (file?.stat.isLink) return `${shown}/etc/${name} is a symbolic link; replace it by a file`;
  return etc && file?.stat.kind === "file" ? { root, etc, file } : missing;
}

/**
 * The file to mount over, as seen in the container's mount namespace, where a volume may cover what the host sees. It
 * is kept open until this process ends, because names may change before the mount.
 * @returns the reason, if there is no such file
 */
export function findTarget(world: World, rootfs: Rootfs, name: string): Target | string {
  // Links in the host's own tree are trusted.
  if (rootfs.path === "") {
    return world.stat(`/etc/${name}`)?.kind === "file" ? { file: `/etc/${name}` } : missing;
  }
  const mounts = mountsOf(world, rootfs.pid);
  const root = findRoot(world, rootfs, mounts);
  if (typeof root === "string") return root;
  const found = findFile(world, root, rootfs.path, name);
  if (typeof found === "string") return found;
  if (!mayOpen(world, found.file)) return `${rootfs.path}/etc/${name} cannot be read; chmod a+r it`;
  const shared = sharedAbove(world, found, mounts);
  return { file: found.file, ...(shared ? { shared } : {}) };
}

/**
 * The root file system in the container's mount namespace. It is a mount there with every runtime, because only a mount
 * can become the root. This distinguishes it from a directory to which a link may lead by now.
 */
function findRoot(world: World, { pid, path }: Rootfs, mounts: ReadonlyMap<string, Mount>): Pinned | string {
  if (world.readLink(`/proc/${pid}/ns/mnt`) === world.readLink("/proc/self/ns/mnt")) {
    return 'the container has the host\'s mounts; give it its own ({"type": "mount"} in linux.namespaces)';
  }
  const root = world.pin(insidePath(world, pid, path));
  if (!root) return missing;
  const point = world.readLink(root.path);
  if (point !== "/" && point !== undefined && mounts.get(mountIdOf(world, root))?.point === point) {
    return root;
  }
  return `${path} is no mount of the container's mount namespace, as a runtime makes it one`;
}

/** The path, without links, below /proc/PID/root. An absolute link would lead back to our own tree. */
function insidePath(world: World, pid: number, path: string): string {
  const own = world.pin(path, "follow");
  const real = own && world.readLink(own.path);
  own?.release();
  return `/proc/${pid}/root${real ?? path}`;
}

/** Whether we may open a file. Root may open any file. Other users must open it before they enter a user namespace. */
function mayOpen({ uid }: World, { stat }: Pinned): boolean {
  return uid === 0 || (stat.mode & (stat.uid === uid ? 0o400 : 0o004)) !== 0;
}

/** The root of the file's mount, if that is shared: the file itself, its directory or the root file system. */
function sharedAbove(
  world: World,
  { root, etc, file }: Found,
  mounts: ReadonlyMap<string, Mount>,
): Pinned | undefined {
  const ids = [root, etc, file].map((pinned) => mountIdOf(world, pinned));
  if (!mounts.get(ids[2]!)?.isShared) return undefined;
  return [root, etc, file][ids.indexOf(ids[2]!)];
}

/**
 * The step that mounts files over others in the container's mount namespace only. Files are opened before a user
 * namespace is entered, because they could not be reached from inside. No path is resolved again (mount -c). No mount
 * is made on or from a shared mount, because the host would see it. A read-only file is made so on itself, before it is
 * in the container, where no other process can rename it.
 */
export function mountFiles(world: World, { pid, enter }: Rootfs, files: readonly FileMount[]): Exec {
  const held: Pinned[] = [];
  const pathOf = (pinned: Pinned) => {
    if (!held.includes(pinned)) held.push(pinned);
    return `/proc/self/fd/${held.indexOf(pinned) + 3}`;
  };
  const mounts = mountsOf(world, pid);
  const sources = files.flatMap(({ source }) => sharedPoint(world, pid, source, mounts) ?? []);
  const targets = files.flatMap(({ target }) => target.shared ?? []).map(pathOf);
  const args = [
    ...[...new Set([...sources, ...targets])].flatMap((point) => ["alone", point]),
    ...files.flatMap(({ source, readOnly, target: { file } }) => [
      ...[readOnly ? "ro" : "rw", source],
      typeof file === "string" ? file : pathOf(file),
    ]),
  ];
  const inside = ["nsenter", ...enter, `--mount=/proc/${pid}/ns/mnt`, "sh", "-c", mounting, "sh", ...args];
  return exec("host", "mount files", { run: [...holding(held), ...inside] });
}

/** The mount point of one of our files, if that mount is shared. */
function sharedPoint(
  world: World,
  pid: number,
  source: string,
  mounts: ReadonlyMap<string, Mount>,
): string | undefined {
  const pinned = world.pin(insidePath(world, pid, source));
  const mount = pinned && mounts.get(mountIdOf(world, pinned));
  pinned?.release();
  return mount?.isShared ? mount.point : undefined;
}

/** Words that start a program with the open files as its descriptors 3, 4 and so on. */
function holding(held: readonly Pinned[]): readonly string[] {
  if (held.length === 0) return [];
  const opened = held.map((_, i) => `${i + 3}<"$${i + 1}"`).join(" ");
  const script = `exec ${opened}; shift ${held.length}; exec "$@"`;
  return ["sh", "-c", script, "sh", ...held.map(({ path }) => path)];
}

/**
 * The script for the mounts. A shared mount is made a slave: mounts in the host still propagate to it, but not back.
 * Flags beside `ro` may be locked on the file's own mount (mount_namespaces(7)), so a remount repeats them.
 */
export const mounting = `while [ $# -gt 0 ]; do case $1 in
  alone) mount -c --make-slave "$2" || exit; shift 2 ;;
  ro) mount --bind "$2" "$2" && mount -o remount,bind,ro,nosuid,nodev,noexec "$2" && mount -c --bind "$2" "$3" || exit
    shift 3 ;;
  rw) mount -c --bind "$2" "$3" || exit; shift 3 ;;
esac; done`;
