import { oneLine } from "../cni/output.ts";
import type { World } from "../plan/world.ts";
import { collect, collectUnused } from "../runtime/gc.ts";
import { containerIds } from "../runtime/journal.ts";
import { stateDirectory } from "../runtime/state.ts";
import type { Report } from "./report.ts";

/** Takes away what ended containers left, and what containers shared once none is left. */
export async function gc(world: World, dryRun: boolean): Promise<Report> {
  const state = stateDirectory(world);
  const { collected, problems } = await collect(world, state, containerIds(world, state));
  // After a dry run those are still there.
  const gone = dryRun ? collected.map(({ id }) => id) : [];
  return report(collected, await collectUnused(world, state, gone), problems);
}

function report(
  containers: readonly { id: string; reason: string }[],
  shared: readonly string[],
  problems: readonly string[],
): Report {
  const text = [
    ...containers.map(({ id, reason }) => `${id}: ${reason}`),
    ...shared.map((what) => `${what}: no container is left that needs it`),
    ...problems.map(oneLine),
  ].map((line) => `${line}\n`).join("");
  return {
    json: { containers, shared, problems },
    text,
    dryText: text,
    code: problems.length > 0 ? 1 : 0,
  };
}
