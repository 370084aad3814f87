import type { World } from "../plan/world.ts";
import { describeAll } from "../features/container/describe.ts";
import { repair as repairOne } from "../features/container/repair.ts";
import { containerIds } from "../engine/record.ts";
import { stateDirectory } from "../engine/state.ts";
import { messageOf } from "../wire/cni/error.ts";
import { UsageError } from "../wire/oci/options.ts";
import { findId, notAttached } from "./ids.ts";
import type { Report } from "./report.ts";

/**
 * Makes again what is missing of containers: their uplinks and relays run, their links, addresses, routes, settings and
 * rules are there. One that cannot be repaired keeps no other from it.
 * @param all every container in place of given ones; those that have ended are left to gc
 * @throws Error for a container that is not attached
 */
export async function repair(world: World, given: readonly string[], all = false): Promise<Report> {
  if (all !== (given.length === 0)) {
    throw new UsageError('Cannot do "ocinet repair": it takes either ids of containers or --all');
  }
  const state = stateDirectory(world);
  const there = containerIds(world, state);
  const ids = all ? there : given.map((text) => findId(world, state, text));
  const missing = ids.find((id) => !there.includes(id));
  if (missing !== undefined) throw notAttached(world, "repair", missing);
  const done: { id: string; repaired: readonly string[]; problem?: string }[] = [];
  for (const id of ids) {
    const failed: string[] = [];
    const repaired = await repairOne(world, state, id).catch((error) => {
      if (ids.length === 1) throw error;
      failed.push(messageOf(error));
      return [];
    });
    const [now] = await describeAll(world, state, [id]);
    const isDead = now?.state === "dead";
    if (all && isDead) continue;
    const problem = isDead ? `${now.reason}; ocinet gc takes it away` : failed[0] ?? now?.reason;
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
