import { type ContainerRecord, readContainer } from "../../engine/record.ts";
import { refuseUnknownFiles } from "../../engine/state.ts";
import { DamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { recover } from "./recover.ts";

/** A container's record, or in place of a damaged one what is found of the container by its name. */
export async function readOrRecover(
  world: World,
  state: string,
  id: string,
): Promise<ContainerRecord | undefined> {
  try {
    return readContainer(world, state, id);
  } catch (error) {
    if (!(error instanceof DamagedFile)) throw error;
    refuseUnknownFiles(world, state, id);
    return await recover(world, state, id);
  }
}
