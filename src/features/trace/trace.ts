import type { World } from "../../plan/world.ts";
import { judge } from "./judge.ts";
import { look } from "./observe.ts";
import type { Hop, Target } from "./seen.ts";

/**
 * Tells hop by hop whether a container reaches a target, and what is wrong with what is not as recorded. It only looks.
 * @throws Error for a container that is not attached
 */
export async function trace(
  world: World,
  state: string,
  id: string,
  target: Target,
): Promise<readonly Hop[]> {
  return judge(await look(world, state, id, target));
}
