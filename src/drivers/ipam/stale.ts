/**
 * Reservations that nobody holds any more: of an earlier boot, which no container outlives; and empty ones, which the
 * reference leaves when it is killed. A reservation's text is the reference's, so of which boot it is stands beside it:
 * in DATADIR/.boots/BOOT/NETWORK/ADDRESS, with what tells the file from one that somebody has made in its place since.
 * A network's name never begins with a dot.
 */
import { type Claim, claim } from "../../plan/step.ts";
import { removeAbandoned, withDirectory, type World } from "../../plan/world.ts";

/** Where addresses of one network are kept. */
export interface Kept {
  readonly dataDir: string;
  readonly network: string;
}

/** Directories that a reboot empties. */
const volatile = /^(\/run|\/var\/run|\/tmp|\/dev\/shm)\//;

/** Writes down of what boot a reservation is. @returns what DEL has to take away, if anything */
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
    // It only helps after the next boot: on a full disk the ADD goes on without it.
    return [];
  }
  return [claim(path, owner)];
}

/** Forgets a reservation that was given back. */
export function forget(world: World, kept: Kept, address: string): void {
  const boot = bootOf(world, kept);
  if (boot !== undefined) world.remove(`${directoryOf(kept, boot)}/${address}`);
}

/** Removes the files that processes had begun which were killed over it. */
export function removeBegun(world: World, kept: Kept): void {
  const boot = bootOf(world, kept);
  removeAbandoned(world, `${kept.dataDir}/${kept.network}`);
  if (boot !== undefined) removeAbandoned(world, directoryOf(kept, boot));
}

/** The addresses whose reservations are of an earlier boot of this machine. */
export function outlived(world: World, kept: Kept): readonly string[] {
  return earlierBoots(world, kept).flatMap((boot) => {
    const directory = directoryOf(kept, boot);
    return world.list(directory).filter((address) => isTheSame(world, kept, `${directory}/${address}`));
  });
}

/** Gives back those. */
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
  // Named for this boot: should we be killed over it, the next tries again.
  alone(world, `${directory}/.${address}.${bootOf(world, kept)}`, () => {
    if (isTheSame(world, kept, path)) world.remove(`${kept.dataDir}/${kept.network}/${address}`);
    world.remove(path);
  });
}

/** How long the reference may take from making a file to writing into it, in milliseconds, and far more. */
const aMoment = 60_000;

/** Whether a reservation says nothing, and is not just being made. */
export function isEmpty(world: World, path: string): boolean {
  const stat = world.stat(path);
  return stat !== undefined && Date.now() - stat.modified > aMoment && world.read(path) === "";
}

/** Gives back a reservation that is empty. */
export function giveBackEmpty(world: World, path: string): void {
  const [, directory, address] = /^(.*)\/(.*)$/.exec(path)!;
  alone(world, `${directory}/.empty.${address}`, () => {
    if (isEmpty(world, path)) world.remove(path);
  });
}

/** Of several processes one acts: another could come late, and take what a third has reserved anew. */
function alone(world: World, token: string, action: () => void): void {
  if (!tryCreate(world, token)) return;
  action();
  world.remove(token);
}

/** False also when the directory has gone: somebody is done with it. */
function tryCreate(world: World, path: string): boolean {
  try {
    return world.create(path, "");
  } catch (error) {
    if (world.stat(path.slice(0, path.lastIndexOf("/"))) === undefined) return false;
    throw error;
  }
}

function isTheSame(world: World, { dataDir, network }: Kept, path: string): boolean {
  const [written, address] = [world.read(path), path.slice(path.lastIndexOf("/") + 1)];
  return written?.replace(/^[0-9]+:/, "") === identify(world, `${dataDir}/${network}/${address}`);
}

/** Without the number of the device, which another boot may give anew: btrfs, overlayfs, NFS and device mapper do. */

function identify(world: World, path: string): string | undefined {
  const stat = world.stat(path);
  return stat && `${stat.identity.split(":")[1]} ${stat.modified}`;
}

/** This machine's others. Another's, that has the directory by a network, may well be running. */
function earlierBoots(world: World, kept: Kept): readonly string[] {
  const boot = bootOf(world, kept);
  if (boot === undefined) return [];
  const machine = boot.slice(0, boot.indexOf(".") + 1);
  return world.list(`${kept.dataDir}/.boots`).filter((other) => other.startsWith(machine) && other !== boot);
}

/** This machine, and which of its boots it is; nothing where a reboot forgets, or whose the directory is cannot be known. */
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
