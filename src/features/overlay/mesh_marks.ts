import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { parseObject } from "../../wire/overlay/requests.ts";

/** The highest mark of a pair of a network and another host. */
export const mostPairs = 0x7d;

/** Where they are kept: connections have them for as long as they last, whichever hosts come, go, or start anew. */
const fileOf = (state: string) => `${state}/mesh.json`;

/**
 * Gives each pair a number of its own, from 1 on, and leaves those that it had before.
 * @param pairs `NETWORK/HOST`
 * @returns the numbers by pair; some have none where there are more than `mostPairs`
 */
export function giveMarks(
  known: ReadonlyMap<string, number>,
  pairs: readonly string[],
): ReadonlyMap<string, number> {
  const marks = new Map(known);
  const used = new Set(marks.values());
  const free = Array.from({ length: mostPairs }, (_, i) => i + 1).filter((one) => !used.has(one));
  const idle = [...marks.keys()].filter((pair) => !pairs.includes(pair));
  for (const pair of pairs.filter((one) => !marks.has(one))) {
    const next = free.shift() ?? marks.get(idle[0] ?? "");
    if (next === undefined) break;
    // Only where there is no other: a host that comes back finds its connections.
    if (idle[0] !== undefined && marks.get(idle[0]) === next) marks.delete(idle.shift()!);
    marks.set(pair, next);
  }
  return marks;
}

/** The numbers as they were written last. */
export function readMarks(world: World, state: string): ReadonlyMap<string, number> {
  const text = readUndamagedFile(world, fileOf(state));
  if (text === undefined) return new Map();
  const isMark = (value: unknown) =>
    Number.isInteger(value) && Number(value) >= 1 && Number(value) <= mostPairs;
  try {
    return new Map(
      Object.entries(parseObject(text)).filter(([, value]) => isMark(value)) as [string, number][],
    );
  } catch {
    return new Map();
  }
}

/** Writes them, or takes the file away when no network has ports of services. */
export function writeMarks(world: World, state: string, marks: ReadonlyMap<string, number>): void {
  if (marks.size === 0) return world.remove(fileOf(state));
  const text = JSON.stringify(Object.fromEntries(marks));
  if (readUndamagedFile(world, fileOf(state)) !== text) world.write(fileOf(state), text);
}
