import { ownAlias } from "../plan/ip.ts";
import { linkOf } from "../plan/resource.ts";
import { type Exec, isStep, type Line, show, type Step, type Sysctl } from "../plan/step.ts";
import { createWithDirectory, readUndamagedFile } from "../plan/files.ts";
import { firewalldHere } from "../plan/firewalld.ts";
import type { World } from "../plan/world.ts";
import { bootId, ownNamespace } from "./process.ts";
import { linkExists } from "./links.ts";
import { undo } from "./undo.ts";

/** A change of the host itself, which lasts until no container is left. */
type Change = Line | Sysctl | Exec;

/** The record of a lasting step, written before it is done for the first time. */
interface Note {
  readonly bootId: string;
  /** The network namespace in which it was done. */
  readonly host: string;
  readonly step: Change;
  /** The rule that limits the change to containers. It must exist as long as the change. */
  readonly guard?: Line;
}

/**
 * Records how to revert what lasting steps change on the host itself and on links that we did not make. There is one
 * file per change.
 */
export function recordKeptChanges(world: World, state: string, steps: readonly Step[]): void {
  for (const step of steps) {
    if ((step.tool !== "ip" && step.tool !== "sysctl") || step.undoBy !== "gc") continue;
    const link = linkOf(step.id) ?? "all";
    if (isKept(world, state, step) || isMarked(link, steps) || !isHosts(world, link)) continue;
    const back = step.tool === "sysctl" ? valueBefore(world, step) : step.undo;
    if (back === undefined) continue;
    const { undoBy: _, ...done } = step;
    const guard = guardOf(step, steps);
    keepChange(world, state, { ...done, undo: back }, guard);
  }
}

/** Records a change, with how to revert it. @param guard the rule that limits it to containers */
export function keepChange(world: World, state: string, step: Change, guard?: Line): void {
  const note = {
    ...{ bootId: bootId(world), host: ownNamespace(world), step },
    ...(guard ? { guard } : {}),
  };
  createWithDirectory(world, pathOf(state, step), JSON.stringify(note));
}

/** Whether the change is recorded. */
export function isKept(world: World, state: string, step: Step): boolean {
  return world.stat(pathOf(state, step)) !== undefined;
}

function pathOf(state: string, step: Step): string {
  return `${directoryOf(state)}/${encodeURIComponent(show([step]))}`;
}

/** Forwarding is allowed for containers only. */
function guardOf({ id }: Step, steps: readonly Step[]): Line | undefined {
  const key = id.kind === "sysctl" ? id.key : "";
  const set = `inet ocinet unforwarded${key.startsWith("net/ipv4/") ? 4 : 6}`;
  if (!/forward(ing)?$/.test(key)) return undefined;
  return steps.find((step): step is Line =>
    step.tool === "nft" && step.id.kind === "element" && step.id.set === set
  );
}

/** The rules that limit changes in this network namespace to containers, for restoring our table. */
export function keptGuards(world: World, state: string): readonly Line[] {
  const directory = directoryOf(state);
  return world.list(directory).flatMap((name) => {
    const note = parseNote(readUndamagedFile(world, `${directory}/${name}`));
    const holds = note?.bootId === bootId(world) && note.host === ownNamespace(world);
    return holds && isStep(note.guard) ? [note.guard] : [];
  });
}

function directoryOf(state: string): string {
  return `${state}/lasting`;
}

/**
 * Whether a step marks the link as ours. Such a link may be there already, without the mark: another attachment has just
 * made it.
 */
function isMarked(link: string, steps: readonly Step[]): boolean {
  return steps.some(({ id }) =>
    id.kind === "link-setting" && id.link === link && id.name?.startsWith(`alias ${ownAlias}`)
  );
}

/** Whether a setting is the host's own: one for all links, or for no link. */
function isHosts(world: World, link: string): boolean {
  return link === "all" ||
    linkExists(world, link) && world.read(`/sys/class/net/${link}/ifalias`)?.trim() !== ownAlias;
}

function valueBefore(world: World, { key, value }: Sysctl): string | undefined {
  const before = world.read(`/proc/sys/${key}`)?.trim();
  return before === value ? undefined : before;
}

/** A change to revert, with its step if the record is readable. */
export interface KeptChange {
  readonly what: string;
  readonly step?: Change;
  remove(): Promise<void>;
}

/** The recorded changes in this network namespace. Those that were changed by another program since are left alone. */
export function keptChanges(
  world: World,
  state: string,
): readonly KeptChange[] {
  const directory = directoryOf(state);
  return world.list(directory).flatMap((name) => {
    const path = `${directory}/${name}`;
    const note = parseNote(readUndamagedFile(world, path));
    const holds = note?.bootId === bootId(world);
    if (holds && note.host !== ownNamespace(world)) return [];
    const remove = async () => {
      if (holds && isAsLeft(world, note.step)) await undo(world, { host: [] }, [note.step]);
      world.remove(path);
      world.removeEmpty(directory);
    };
    return [{ what: decodeURIComponent(name), ...(note ? { step: note.step } : {}), remove }];
  });
}

function parseNote(text = ""): Note | undefined {
  try {
    const note = JSON.parse(text) as Note | null;
    return note && isStep(note.step) ? note : undefined;
  } catch {
    return undefined;
  }
}

/** A firewalld that has ended has forgotten what it was told. */
function isAsLeft(world: World, step: Change): boolean {
  if (step.tool === "exec") return firewalldHere(world) !== undefined;
  return step.tool !== "sysctl" || world.read(`/proc/sys/${step.key}`)?.trim() === step.value;
}
