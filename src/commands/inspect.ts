import { printJson } from "../wire/cni/output.ts";
import type { World } from "../plan/world.ts";
import { describeAll } from "../features/container/describe.ts";
import { readContainer } from "../engine/record.ts";
import { describeInside } from "../features/session/session.ts";
import { stateDirectory } from "../engine/state.ts";
import { findId, notAttached } from "./ids.ts";
import type { Report } from "./report.ts";

/** Shows all that is known of containers. @throws Error for one that is not attached */
export async function inspect(world: World, ids: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const inside = ids.some((id) => id.includes("/")) ? describeInside(world, state) : [];
  const all = await Promise.all(ids.map(async (text) => {
    const found = inside.find(({ id }) => id === text);
    if (found) return found;
    const id = findId(world, state, text);
    // A record that cannot be read is no answer.
    readContainer(world, state, id);
    const [described] = await describeAll(world, state, [id]);
    if (!described) throw notAttached(world, "inspect", text);
    return described;
  }));
  return { json: all, text: `${printJson(all, 2)}\n` };
}
