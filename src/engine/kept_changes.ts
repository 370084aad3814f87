import { ownAlias } from "../plan/ip.ts";
import { linkOf } from "../plan/resource.ts";
import { isStep, type Line, show, type Step, type Sysctl } from "../plan/step.ts";
import { createWithDirectory, type World } from "../plan/world.ts";
import { bootId, ownNamespace } from "./process.ts";
import { linkExists } from "./links.ts";
import { undo } from "./undo.ts";

/** What is written down of a lasting step, before it is done for the first time. */
interface Note {
  readonly bootId: string;
  /** The network namespace that it was done in. */
  readonly host: string;
  readonly step: Line | Sysctl;
}

/** Writes down, a file each, how to take back what lasting steps change of links that are there and not of our making. */
export function recordKeptChanges(world: World, state: string, steps: readonly Step[]): void {
  for (const step of steps) {
    if ((step.tool !== "ip" && step.tool !== "sysctl") || step.undoBy !== "gc") continue;
    const path = `${directoryOf(state)}/${encodeURIComponent(show([step]))}`;
    if (world.stat(path) !== undefined || !isOthers(world, linkOf(step.id))) continue;
    const back = step.tool === "sysctl" ? valueBefore(world, step) : step.undo;
    if (back === undefined) continue;
    const { undoBy: _, ...done } = step;
    const note = { bootId: bootId(world), host: ownNamespace(world), step: { ...done, undo: back } };
    createWithDirectory(world, path, JSON.stringify(note));
  }
}

function directoryOf(state: string): string {
  return `${state}/lasting`;
}

function isOthers(world: World, link = ""): boolean {
  return linkExists(world, link) && world.read(`/sys/class/net/${link}/ifalias`)?.trim() !== ownAlias;
}

function valueBefore(world: World, { key, value }: Sysctl): string | undefined {
  const before = world.read(`/proc/sys/${key}`)?.trim();
  return before === value ? undefined : before;
}

/** What is written down of lasting steps in this network namespace. What somebody has changed since is left to them. */
export function keptChanges(
  world: World,
  state: string,
): readonly { readonly what: string; remove(): Promise<void> }[] {
  const directory = directoryOf(state);
  return world.list(directory).flatMap((name) => {
    const path = `${directory}/${name}`;
    const note = parseNote(world.read(path));
    const holds = note?.bootId === bootId(world);
    if (holds && note.host !== ownNamespace(world)) return [];
    const remove = async () => {
      if (holds && isAsLeft(world, note.step)) await undo(world, { host: [] }, [note.step]);
      world.remove(path);
      world.removeEmpty(directory);
    };
    return [{ what: decodeURIComponent(name), remove }];
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

function isAsLeft(world: World, step: Line | Sysctl): boolean {
  return step.tool !== "sysctl" || world.read(`/proc/sys/${step.key}`)?.trim() === step.value;
}
