/** What is done about names once the host's own files have changed. */
import { resolvConf, resolvedConf } from "../../engine/name_servers.ts";
import { staleness } from "../../engine/namespace.ts";
import { containerIds, type ContainerRecord, readUndamaged } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { mounting } from "./file_mounts.ts";
import { renewNames, toldFile } from "./host_names.ts";

/**
 * Has a container that is told the host's name servers ask those of now, and mounts its files again where the host's,
 * over which they were mounted, has been replaced: with a file's name the kernel takes the mounts over it (rootlesskit#5).
 * @returns what was done, in a few words each
 * @throws Error if a file could not be mounted
 */
export async function repairNames(world: World, state: string, id: string): Promise<readonly string[]> {
  const paths = containerPaths(state, id);
  const files = ["resolv.conf", "hosts", "hostname"].map((name) => `${paths.directory}/${name}`);
  if (files.every((path) => world.stat(path) === undefined)) return [];
  const unlock = await world.lock(paths.lock);
  try {
    const record = readUndamaged(world, state, id);
    const renewed = renewNames(world, state, id);
    if (record?.phase !== "done" || staleness(world, record) !== undefined) return renewed;
    return [...renewed, ...await mountAgain(world, record)];
  } finally {
    unlock();
  }
}

/** The same for all containers that are told the host's name servers; tells what was done, and what could not be. */
export async function renewAll(world: World, state: string, tell: (line: string) => void): Promise<void> {
  for (const id of containerIds(world, state)) {
    if (world.stat(toldFile(containerPaths(state, id).directory)) === undefined) continue;
    const done = await repairNames(world, state, id).catch((error) => [(error as Error).message]);
    done.forEach((line) => tell(`container "${id}": ${line}`));
  }
}

async function mountAgain(world: World, { steps }: ContainerRecord): Promise<readonly string[]> {
  const done: string[] = [];
  for (const run of steps.flatMap((step) => step.tool === "exec" ? againOf(world, step.run ?? []) : [])) {
    const output = await world.run(run);
    if (output.code !== 0) throw new Error(`Cannot mount the container's files again: ${whyFailed(output)}`);
    done.push(...output.stdout.split("\n").filter((path) => path !== ""));
  }
  return done.map((path) => `${path} had been replaced on the host, and the container's is mounted again`);
}

/** Mounts what is not there any more, and says its name. */
const again = `while [ $# -gt 0 ]; do
  [ "$1" -ef "$2" ] || { mount -c --bind "$1" "$2" && echo "$2"; } || exit; shift 2
done`;

/**
 * Words that do so for files of ours that a step has mounted over files of the host's tree; none for a root file system
 * of the container's own, which the host does not change. What is missing on the host cannot be mounted over.
 */
function againOf(world: World, run: readonly string[]): readonly (readonly string[])[] {
  const at = run.indexOf(mounting);
  if (at < 0 || run[0] !== "nsenter") return [];
  const words = run.slice(at + 2);
  const files = words.flatMap((word, i) => word === "rw" ? [words.slice(i + 1, i + 3)] : [])
    .filter(([source, target]) => world.stat(source!) && world.stat(target!));
  const [, pid] =
    /^--mount=\/proc\/(\d+)\/ns\/mnt$/.exec(run.find((word) => word.startsWith("--mount=")) ?? "") ?? [];
  const mounts = world.read(`/proc/${pid}/mountinfo`) ?? "";
  const isThere = ([source, target]: readonly string[]) =>
    isFile(world, target!) &&
    mounts.includes(`${source!.slice(source!.lastIndexOf("/containers/"))} ${target} `);
  if (files.every(isThere)) return [];
  return [[...run.slice(0, at), again, "sh", ...files.flat()]];
}

/** A link may lead elsewhere since: where to is only known inside. */
function isFile(world: World, path: string): boolean {
  return world.stat(path, "itself")?.kind === "file";
}

/** Calls after each change of the host's files about names, looked for every so many milliseconds. */
export function followHost(world: World, every: number, act: () => Promise<unknown>): { stop(): void } {
  const [hasChanged, busy] = [changesOfHost(world), { now: false }];
  const timer = setInterval(() => {
    if (busy.now || !hasChanged()) return;
    busy.now = true;
    void act().catch(() => {}).finally(() => busy.now = false);
  }, every);
  return { stop: () => clearInterval(timer) };
}

/** Tells whether they have changed since it was asked last. */
export function changesOfHost(world: World): () => boolean {
  const stampOf = (path: string) => {
    try {
      const stat = world.stat(path);
      return stat && `${stat.identity} ${stat.modified}`;
    } catch {
      // Such as a link that leads to itself: it may be mended.
      return "";
    }
  };
  const look = () => [resolvConf, resolvedConf, "/etc/hosts", "/etc/hostname"].map(stampOf).join(",");
  let before = look();
  return () => before !== (before = look());
}
