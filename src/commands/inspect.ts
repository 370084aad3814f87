import { printJson } from "../wire/cni/output.ts";
import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { describeContainer } from "../features/container/describe.ts";
import { readJournal } from "../engine/journal.ts";
import { describeInside } from "../features/session/session.ts";
import { containerPaths, stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/** Shows all that is known of containers. @throws Error for one that is not attached */
export function inspect(world: World, ids: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const inside = ids.some((id) => id.includes("/")) ? describeInside(world, state) : [];
  const all = ids.map((id) => {
    const found = inside.find((described) => described.id === id);
    if (found) return found;
    const journal = identifierProblem(id) ? undefined : readJournal(world, containerPaths(state, id));
    if (!journal) {
      throw new Error(`Cannot inspect container ${JSON.stringify(id)}: it is not attached; see ocinet ls`);
    }
    return describeContainer(world, journal);
  });
  return Promise.resolve({ json: all, text: `${printJson(all, 2)}\n` });
}
