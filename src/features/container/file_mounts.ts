import { type Exec, exec } from "../../plan/step.ts";
import type { Pinned, World } from "../../plan/world.ts";
import { type Mount, mountIdOf, mountsOf } from "../../engine/mounts.ts";

/** The root file system whose files are to be mounted over. */
export interface Rootfs {
  readonly pid: number;
  /** Words for nsenter that give power over the process's namespaces. */
  readonly enter: readonly string[];
  /** As it is named in the container's mount namespace before the root is changed; "" is the host's own tree. */
  readonly path: string;
}

/** What a file is mounted over. */
export interface Target {
  /** A path of the container's mount namespace, or what is held there. */
  readonly file: string | Pinned;
  /** The root of a mount that has to be kept from showing elsewhere what is mounted on it. */
  readonly shared?: Pinned;
}

/** A file of a root file system's /etc, and what is above it. */
interface Found {
  readonly root: Pinned;
  readonly etc: Pinned;
  readonly file: Pinned;
}

/** A file to be mounted over another one. */
export interface FileMount {
  readonly source: string;
  readonly readOnly: boolean;
  readonly target: Target;
}

const missing = "there is no such file to mount it over; make an empty one";

/**
 * Why nothing can be mounted over a file of the root file system's /etc, or undefined when it can, as far as the host sees.
 * A link in it could lead the mount to any place of the host's tree.
 */
export function mountProblem(world: World, rootfs: string, name: string): string | undefined {
  const root = world.pin(`${rootfs}/.`, "follow");
  if (!root) return missing;
  const found = findFile(world, root, rootfs, name);
  const held = typeof found === "string" ? [root] : Object.values<Pinned>({ ...found });
  held.forEach(({ release }) => release());
  return typeof found === "string" ? found : undefined;
}

/** Finds a file without following a link below the root, and holds it; or says why it cannot be mounted over. */
function findFile(world: World, root: Pinned, shown: string, name: string): Found | string {
  const etc = world.pin(`${root.path}/etc`);
  if (etc?.stat.isLink) return `${shown}/etc is a symbolic link; replace it by a directory`;
  const file = etc && world.pin(`${etc.path}/${name}`);
  if (file?.stat.isLink) return `${shown}/etc/${name} is a symbolic link; replace it by a file`;
  return etc && file?.stat.kind === "file" ? { root, etc, file } : missing;
}

/**
 * What to mount over, as it is in the container's own mount namespace: there a volume may lie over what the host sees.
 * It is held until this process ends, for names may change until it is mounted over.
 * @returns why there is nothing, if so
 */
export function findTarget(world: World, rootfs: Rootfs, name: string): Target | string {
  // The host's own links lead where they should.
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
 * The root file system in the container's mount namespace, which is a mount there with whatever runtime, since only a
 * mount can become the root: by that it is told from a directory that a link leads to by now.
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

/** A path of ours without links, as the mount namespace of a process has it: an absolute link would lead back to ours. */
function insidePath(world: World, pid: number, path: string): string {
  const own = world.pin(path, "follow");
  const real = own && world.readLink(own.path);
  own?.release();
  return `/proc/${pid}/root${real ?? path}`;
}

/** Root may open anything; others open it before they enter a user namespace. */
function mayOpen({ uid }: World, { stat }: Pinned): boolean {
  return uid === 0 || (stat.mode & (stat.uid === uid ? 0o400 : 0o004)) !== 0;
}

/** The root of the mount that a file is on, if that is shared: the file's own, the directory's or that of all. */
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
 * The step that mounts files over others, in the container's mount namespace and nowhere else. What is held is opened
 * before a user namespace is entered, from where it could not be reached; no path is walked again (mount -c), and no
 * mount is made on one that is shared, nor from one: the host would see it. What is read-only is made so before it is in
 * the container, on itself, where nobody else can give it another name.
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

/** Where the mount is that a file of ours comes from, if it is shared. */
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

/** Words that start a program with what is held as its descriptors 3, 4 and so on. */
function holding(held: readonly Pinned[]): readonly string[] {
  if (held.length === 0) return [];
  const opened = held.map((_, i) => `${i + 3}<"$${i + 1}"`).join(" ");
  const script = `exec ${opened}; shift ${held.length}; exec "$@"`;
  return ["sh", "-c", script, "sh", ...held.map(({ path }) => path)];
}

/**
 * A mount that is shared is made a slave: it goes on seeing what is mounted in the host, and no longer the other way
 * round. The flags beside `ro` may be locked on where a file comes from (mount_namespaces(7)), so a remount names them.
 */
const mounting = `while [ $# -gt 0 ]; do case $1 in
  alone) mount -c --make-slave "$2" || exit; shift 2 ;;
  ro) mount --bind "$2" "$2" && mount -o remount,bind,ro,nosuid,nodev,noexec "$2" && mount -c --bind "$2" "$3" || exit
    shift 3 ;;
  rw) mount -c --bind "$2" "$3" || exit; shift 3 ;;
esac; done`;
