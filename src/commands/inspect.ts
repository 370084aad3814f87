import { printJson } from "../wire/cni/output.ts";
import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { describeContainer } from "../features/container/describe.ts";
import { readContainer } from "../engine/record.ts";
import { describeInside } from "../features/session/session.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/** Shows all that is known of containers. @throws Error for one that is not attached */
export function inspect(world: World, ids: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const inside = ids.some((id) => id.includes("/")) ? describeInside(world, state) : [];
  const all = ids.map((id) => {
    const found = inside.find((described) => described.id === id);
    if (found) return found;
    const record = identifierProblem(id) ? undefined : readContainer(world, state, id);
    if (!record) {
      throw new Error(`Cannot inspect container ${JSON.stringify(id)}: it is not attached; see ocinet ls`);
    }
    return describeContainer(world, record);
  });
  return Promise.resolve({ json: all, text: `${printJson(all, 2)}\n` });
}
