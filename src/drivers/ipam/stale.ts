/**
 * Finds reservations that no container holds any more. Some are from an earlier boot. Others are empty, which the
 * reference leaves when it is killed. The text of a reservation is fixed by the reference, so its boot is stored beside
 * it, in DATADIR/.boots/BOOT/NETWORK/ADDRESS. That file identifies the reservation's file, so that one made later by
 * another program is not mistaken for it. The name ".boots" cannot clash: a network's name never starts with a dot.
 */
import { type Claim, claim } from "../../plan/step.ts";
import { readUndamagedFile, removeAbandoned, withDirectory } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";

/** The directory and network of some reservations. */
export interface Kept {
  readonly dataDir: string;
  readonly network: string;
}

/** Directories that are empty after a reboot. */
const volatile = /^(\/run|\/var\/run|\/tmp|\/dev\/shm)\//;

/** Records the boot of a reservation. @returns the claims that DEL must remove */
export function remember(world: World, kept: Kept, address: string): readonly Claim[] {
  const boot = bootOf(world, kept);
  if (boot === undefined) return [];
  const directory = directoryOf(kept, boot);
  const owner = identify(world, `${kept.dataDir}/${kept.network}/${address}`);
  if (owner === undefined) return [];
  const path = `${directory}/${address}`;
  try {
    withDirectory(world, path, 0o755, () => world.write(path, owner));
  } catch {
    // The record is only needed after the next boot. On a full disk the ADD continues without it.
    return [];
  }
  return [claim(path, owner)];
}

/** Removes the record of a released reservation. */
export function forget(world: World, kept: Kept, address: string): void {
  const boot = bootOf(world, kept);
  if (boot !== undefined) world.remove(`${directoryOf(kept, boot)}/${address}`);
}

/** Removes unfinished files of processes that were killed. */
export function removeBegun(world: World, kept: Kept): void {
  const boot = bootOf(world, kept);
  removeAbandoned(world, `${kept.dataDir}/${kept.network}`);
  if (boot !== undefined) removeAbandoned(world, directoryOf(kept, boot));
}

/** The addresses whose reservations are from an earlier boot of this machine. */
export function outlived(world: World, kept: Kept): readonly string[] {
  return earlierBoots(world, kept).flatMap((boot) => {
    const directory = directoryOf(kept, boot);
    return world.list(directory).filter((address) => isTheSame(world, kept, `${directory}/${address}`));
  });
}

/** Releases the reservations of earlier boots. */
export function giveBackOutlived(world: World, kept: Kept): void {
  for (const boot of earlierBoots(world, kept)) {
    const directory = directoryOf(kept, boot);
    const addresses = () => world.list(directory).filter((name) => !name.startsWith("."));
    addresses().forEach((address) => giveBack(world, kept, `${directory}/${address}`));
    if (addresses().length > 0) continue;
    world.remove(directory);
    world.removeEmpty(directory.slice(0, directory.lastIndexOf("/")));
  }
}

function giveBack(world: World, kept: Kept, path: string): void {
  const [, directory, address] = /^(.*)\/(.*)$/.exec(path)!;
  // The lock is named for this boot. If this process is killed, the lock does not block the next boot.
  alone(world, `${directory}/.${address}.${bootOf(world, kept)}`, () => {
    if (isTheSame(world, kept, path)) world.remove(`${kept.dataDir}/${kept.network}/${address}`);
    world.remove(path);
  });
}

/** In milliseconds. The reference needs far less between creating a file and writing to it. */
const aMoment = 60_000;

/** Whether a reservation is empty, and not just being written. */
export function isEmpty(world: World, path: string): boolean {
  const stat = world.stat(path);
  return stat !== undefined && world.now() - stat.modified > aMoment && readUndamagedFile(world, path) === "";
}

/** Releases an empty reservation. */
export function giveBackEmpty(world: World, path: string): void {
  const [, directory, address] = /^(.*)\/(.*)$/.exec(path)!;
  alone(world, `${directory}/.empty.${address}`, () => {
    if (isEmpty(world, path)) world.remove(path);
  });
}

/**
 * Runs the action in one process only. A second process that is late could remove a reservation that a third has made
 * since.
 */
function alone(world: World, token: string, action: () => void): void {
  if (!tryCreate(world, token)) return;
  action();
  world.remove(token);
}

/** Creates a file. Returns false if it exists, or if another process has removed the directory. */
function tryCreate(world: World, path: string): boolean {
  try {
    return world.create(path, "");
  } catch (error) {
    if (world.stat(path.slice(0, path.lastIndexOf("/"))) === undefined) return false;
    throw error;
  }
}

function isTheSame(world: World, { dataDir, network }: Kept, path: string): boolean {
  const [written, address] = [readUndamagedFile(world, path), path.slice(path.lastIndexOf("/") + 1)];
  return written?.replace(/^[0-9]+:/, "") === identify(world, `${dataDir}/${network}/${address}`);
}

/** Identifies a file without the device number, which may change at boot on btrfs, overlayfs, NFS and device mapper. */
function identify(world: World, path: string): string | undefined {
  const stat = world.stat(path);
  return stat && `${stat.identity.split(":")[1]} ${stat.modified}`;
}

/**
 * Earlier boots of this machine. A directory on a network file system also has boots of other machines, which may be
 * running.
 */
function earlierBoots(world: World, kept: Kept): readonly string[] {
  const boot = bootOf(world, kept);
  if (boot === undefined) return [];
  const machine = boot.slice(0, boot.indexOf(".") + 1);
  return world.list(`${kept.dataDir}/.boots`).filter((other) => other.startsWith(machine) && other !== boot);
}

/** The machine and its current boot; undefined if a reboot empties the directory, or if the machine has no id. */
function bootOf(world: World, { dataDir }: Kept): string | undefined {
  if (volatile.test(dataDir)) return undefined;
  const [machine, boot] = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].map((path) =>
    world.read(path)?.trim()
  );
  return machine && boot ? `${machine}.${boot}` : undefined;
}

function directoryOf({ dataDir, network }: Kept, boot: string): string {
  return `${dataDir}/.boots/${boot}/${network}`;
}
