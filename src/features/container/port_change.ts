import { waitForAll } from "../../engine/locks.ts";
import { livePrefixes, staleness } from "../../engine/namespace.ts";
import { type ContainerRecord, readContainer, writeRecord } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import { undo } from "../../engine/undo.ts";
import { takeOffChanging } from "./network_change.ts";
import { removeAbandoned } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";

/**
 * A container's record for the holder of its lock, after unfinished changes of a killed ocinet have been undone: added
 * ports whose publication was never reported, an added network, or the removal of a network.
 * @throws Error if something could not be undone
 */
export async function undoBegun(
  world: World,
  state: string,
  record: ContainerRecord,
): Promise<ContainerRecord> {
  const { before, ...rest } = record;
  removeAbandoned(world, containerPaths(state, record.id).directory);
  if (record.changing !== undefined) return await takeOffChanging(world, state, record);
  if (before === undefined) return record;
  const [settled, begun] = [record.steps.slice(0, before), record.steps.slice(before)];
  const { problems, left } = await undo(world, livePrefixes(world, record.container), begun);
  if (problems.length > 0) {
    writeRecord(world, state, { ...record, steps: [...settled, ...begun.filter((step) => left.has(step))] });
    throw new Error(
      `Cannot take down all of the ports that were being published for container "${record.id}": ` +
        problems.join("; "),
    );
  }
  return writeRecord(world, state, { ...rest, steps: settled });
}

/** The part of an attached container that is changed, for error messages. */
export type Changed = "networks" | "ports" | "services";

/**
 * The record of an attached container for a change by the holder of its lock, without unfinished changes of a killed
 * process.
 * @throws Error if the container is not attached, or has ended
 */
export async function recordToChange(
  world: World,
  state: string,
  id: string,
  what: Changed,
): Promise<ContainerRecord> {
  const record = readContainer(world, state, id);
  if (!record || record.phase !== "done") throw notAttached(id, what);
  const gone = staleness(world, record);
  if (gone) throw new Error(`Cannot change the ${what} of container "${id}": ${gone}`);
  return await undoBegun(world, state, record);
}

/**
 * Changes an attached container, with its lock.
 * @throws Error if the container is not attached, or has ended
 */
export async function changeContainer<T>(
  world: World,
  state: string,
  id: string,
  what: Changed,
  make: (record: ContainerRecord) => Promise<T>,
): Promise<T> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) throw notAttached(id, what);
  const release = await waitForAll([world.share(state), world.lock(paths.lock)]);
  try {
    return await make(await recordToChange(world, state, id, what));
  } finally {
    release();
  }
}

/** The error for a container that is not attached. */
export function notAttached(id: string, what: Changed): Error {
  return new Error(`Cannot change the ${what} of container "${id}": it is not attached; see ocinet ls`);
}
