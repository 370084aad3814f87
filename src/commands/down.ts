import type { World } from "../plan/world.ts";
import { detach, detachUnrecorded } from "../features/container/detach.ts";
import { pluginKeys } from "../engine/record.ts";
import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import { findId } from "./ids.ts";
import type { Report } from "./report.ts";

/** Takes containers' networks away; one that is not attached counts as done. */
export async function down(world: World, given: readonly string[]): Promise<Report> {
  const state = stateDirectory(world);
  const ids = given.map((text) => findId(world, state, text));
  const done: { id: string; was: "attached" | "absent" }[] = [];
  for (const id of ids) {
    const found = await detach(world, state, id) || isRoot(world) && await detachUnrecorded(world, state, id);
    if (!found && pluginKeys(world, state, id).length > 0) {
      throw new Error(
        `Cannot take down container ${
          JSON.stringify(id)
        }: a CNI runtime has attached it, whose DEL takes it away; ` +
          "or ocinet cni del NETWORK NETNS",
      );
    }
    done.push({ id, was: found ? "attached" : "absent" });
  }
  return {
    json: done,
    text: done.map(({ id, was }) => was === "absent" ? `${id} was not attached\n` : "").join(""),
  };
}
