import { livePrefixes, staleness } from "../../engine/namespace.ts";
import { type ContainerRecord, readContainer, writeRecord } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import { undo } from "../../engine/undo.ts";
import { takeOffChanging } from "./network_change.ts";
import { removeAbandoned, type World } from "../../plan/world.ts";

/**
 * A container's record, for who has its lock, once the steps are undone that an ocinet which was killed had begun to add
 * to it: ports of which nobody has been told that they are published, or a network; or to take a network off it.
 * @throws Error when something resisted
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

/** What an attached container has that is to be changed, as errors name it. */
export type Changed = "networks" | "ports";

/**
 * The record of an attached container, to be changed by the holder of its lock, without what a killed process had begun.
 * @throws Error for a container that is not attached, or has ended
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

/** Why nothing of a container can be changed that is not attached. */
export function notAttached(id: string, what: Changed): Error {
  return new Error(`Cannot change the ${what} of container "${id}": it is not attached; see ocinet ls`);
}
