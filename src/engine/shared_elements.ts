import { linkNameProblem } from "../net/names.ts";
import * as table from "../plan/nft/table.ts";
import type { World } from "../plan/world.ts";

/**
 * Takes a bridge that no container is on any more out of the sets that containers share: by its name it is an
 * administrator's, or may come to be. Where our table is gone there is nothing to do, and nft fails.
 */
export async function forgetBridge(world: World, bridge: string): Promise<void> {
  if (linkNameProblem(bridge) === undefined) {
    await world.run(["nft", "-f", "-"], { stdin: table.forgetBridge(bridge) });
  }
}
