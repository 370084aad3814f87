import { linkNameProblem } from "../net/names.ts";
import { forgetBridge } from "../plan/nft/table.ts";
import type { World } from "../plan/world.ts";

/**
 * Takes a bridge of ours that has been removed out of the sets that containers share: the next one of that name may be an
 * administrator's. Where our table is gone there is nothing to do, and nft fails.
 */
export async function forgetRemovedBridge(world: World, bridge: string): Promise<void> {
  if (linkNameProblem(bridge) === undefined) {
    await world.run(["nft", "-f", "-"], { stdin: forgetBridge(bridge) });
  }
}
