import { callPlugin, isUnreachable } from "../plan/docker_plugins.ts";
import type { Call } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { StepError } from "./step_error.ts";

/** Calls a plugin of Docker's. @throws StepError with its words; it may have been done if it did not answer */
export async function applyCall(world: World, step: Call): Promise<void> {
  if (step.run === undefined) return;
  try {
    await callPlugin(world, step.plugin, step.run);
  } catch (error) {
    throw new StepError(step, messageOf(error), isUnreachable(error));
  }
}

/**
 * A plugin that cannot be reached is told later. What it answers decides nothing, as in Docker: it has been told, and a
 * refusal would be the same every time.
 * @returns problems, a line each
 */
export async function undoCall(world: World, step: Call): Promise<readonly string[]> {
  if (step.undo === undefined) return [];
  try {
    await callPlugin(world, step.plugin, step.undo);
  } catch (error) {
    if (isUnreachable(error)) return [messageOf(error)];
    world.warn(`${step.undo.split(" ")[0]} of plugin "${step.plugin}" failed: ${messageOf(error)}`);
  }
  return [];
}
