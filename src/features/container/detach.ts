import { messageOf } from "../../wire/cni/error.ts";
import type { World } from "../../plan/world.ts";
import { attachmentOf } from "../../engine/attachment.ts";
import { parseChain, releaseAddresses } from "../../engine/chain.ts";
import { delExternal } from "../cni_runtime/external_network.ts";
import { DamagedJournal, type Journal, readJournal } from "../../engine/journal.ts";
import { recover } from "./recover.ts";
import { containerPaths, refuseUnknownFiles } from "../../engine/state.ts";
import { undoRecorded } from "../../engine/rollback.ts";

/**
 * Takes away all that was done for a container, from what is written down of it. Its namespace may be gone.
 * @returns whether there was anything
 * @throws Error when something resisted; what is written down stays, for another try
 */
export async function detach(world: World, state: string, id: string): Promise<boolean> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) return false;
  const unlock = await world.lock(paths.lock);
  try {
    const journal = await readOrRecover(world, state, id);
    if (!journal) {
      refuseUnknownFiles(world, state, id);
      // Ended before it had written anything down, so before it had done anything.
      world.remove(paths.directory);
      return false;
    }
    await detachLocked(world, state, journal);
    return true;
  } finally {
    unlock();
  }
}

/** A container's journal, or in place of a damaged one what is found of the container by its name. */
export async function readOrRecover(world: World, state: string, id: string): Promise<Journal | undefined> {
  try {
    return readJournal(world, containerPaths(state, id));
  } catch (error) {
    if (!(error instanceof DamagedJournal)) throw error;
    refuseUnknownFiles(world, state, id);
    return await recover(world, state, id);
  }
}

/** The same, for who has the container's lock. */
export async function detachLocked(world: World, state: string, journal: Journal): Promise<void> {
  await undoRecorded(world, journal, `container "${journal.id}"`);
  await leaveExternal(world, state, journal);
  if (journal.phase === "planning") releaseUnwritten(world, state, journal);
  world.remove(containerPaths(state, journal.id).directory);
}

/** Takes the container off all networks whose plugins were run one by one. @throws Error with all that resisted */
async function leaveExternal(world: World, state: string, journal: Journal): Promise<void> {
  const problems: string[] = [];
  for (const attached of journal.attachments.filter(({ path }) => path).reverse()) {
    await delExternal(world, state, journal, attached).catch((error) => problems.push(messageOf(error)));
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
}

function releaseUnwritten(world: World, state: string, { attachments, id, container }: Journal): void {
  for (const attached of attachments) {
    if (attached.path) continue;
    const chain = parseChain(attached.network.plugins, { dataDir: `${state}/networks` });
    releaseAddresses(chain, attachmentOf(attached, id, container), world);
  }
}
