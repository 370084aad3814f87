import type { World } from "../plan/world.ts";
import { describeAll } from "../features/container/describe.ts";
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
  const done: { id: string; repaired: readonly string[]; problem?: string }[] = [];
  for (const id of ids) {
    const repaired = await repairOne(world, state, id);
    const [now] = await describeAll(world, state, [id]);
    const problem = now?.state === "dead" ? `${now.reason}; ocinet gc takes it away` : now?.reason;
    done.push({ id, repaired, ...(problem === undefined ? {} : { problem }) });
  }
  const text = done.flatMap(({ id, repaired, problem }) =>
    [...repaired, ...(problem === undefined ? [] : [`not repaired: ${problem}`])].map((what) =>
      `${id}: ${what}\n`
    )
  );
  return {
    json: done,
    text: text.join(""),
    code: done.some(({ problem }) => problem !== undefined) ? 1 : 0,
  };
}
