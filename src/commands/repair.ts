import type { World } from "../plan/world.ts";
import { repair as repairOne } from "../features/container/repair.ts";
import { containerIds } from "../engine/record.ts";
import { stateDirectory } from "../engine/state.ts";
import { findId, notAttached } from "./ids.ts";
import type { Report } from "./report.ts";

/**
 * Makes again what is missing of containers: their uplinks and relays run, their links, addresses, routes, settings and
 * rules are there.
 * @throws Error for a container that is not attached
 */
export async function repair(world: World, given: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const ids = given.map((text) => findId(world, state, text));
  const there = containerIds(world, state);
  const missing = ids.find((id) => !there.includes(id));
  if (missing !== undefined) throw notAttached(world, "repair", missing);
  const done: { id: string; repaired: readonly string[] }[] = [];
  for (const id of ids) done.push({ id, repaired: await repairOne(world, state, id) });
  return {
    json: done,
    text: done.flatMap(({ id, repaired }) => repaired.map((what) => `${id}: ${what}\n`)).join(""),
  };
}
