/**
 * Handles sysctls of a container that belong to no interface, when several interfaces set them. As long as one of these
 * interfaces exists, the sysctl has the value of one of them. When the last one is removed, the original value is
 * restored.
 */
import type { Step, Sysctl } from "../../plan/step.ts";
import type { Context } from "./call.ts";
import { otherRecords, type PluginRecord, type RecordKey } from "../../engine/record.ts";

/** The steps of an ADD. If another interface has set the current value, the undo gets the value from before that. */
export function withFirstValues(
  { key, container, ...from }: Context,
  steps: readonly Step[],
): readonly Step[] {
  const now = (undo: string | undefined) => undo?.trim().split(/\s+/).join(" ");
  return withUndo(
    steps,
    () => others(from, { ...key, container }),
    ({ undo }, same) => same.find(({ value }) => now(value) === now(undo))?.undo,
  );
}

/** The recorded steps. If another interface wants a value, the undo sets that value. */
export function withOthersValues(from: Place, record: PluginRecord): readonly Step[] {
  return withUndo(record.steps, () => others(from, record), (_, same) => same[0]?.value);
}

type Place = Pick<Context, "world" | "state">;

/** The sysctls that other interfaces of the container have set. */
function others(
  { world, state }: Place,
  { container, ...key }: RecordKey & Pick<PluginRecord, "container">,
): readonly Sysctl[] {
  return otherRecords(world, state, key).filter((other) => other.container.identity === container.identity)
    .flatMap(({ steps }) => steps.filter(isCommon));
}

function withUndo(
  steps: readonly Step[],
  look: () => readonly Sysctl[],
  choose: (step: Sysctl, same: readonly Sysctl[]) => string | undefined,
): readonly Step[] {
  if (!steps.some(isCommon)) return steps;
  const others = look();
  return steps.map((step) => {
    if (!isCommon(step)) return step;
    const undo = choose(step, others.filter(({ key }) => key === step.key));
    return undo === undefined ? step : { ...step, undo };
  });
}

function isCommon(step: Step): step is Sysctl {
  return step.tool === "sysctl" && step.on === "container" && step.undo !== undefined;
}
