import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { type Agent, report } from "./agent_state.ts";

/** Milliseconds between two looks at the table of the host's containers. */
const lookEvery = 20_000;

/**
 * Puts the rules of this host's containers back if another program has removed their table. It waits for containers'
 * locks, which those may hold who ask the agent for an address: so it is not done in turn.
 */
export async function restoreHostRules(agent: Agent): Promise<void> {
  if (performance.now() - (agent.rulesLooked ?? -Infinity) < lookEvery) return;
  agent.rulesLooked = performance.now();
  try {
    if (!await isTableThere(agent.world) && await agent.restoreRules?.()) {
      agent.tell("put rules of containers back: another program had removed a table of them");
    }
    report(agent, "rules of containers", undefined);
  } catch (error) {
    report(agent, "rules of containers", messageOf(error));
  }
}

/** Without it all records are read, which takes long where there are many. */
async function isTableThere(world: World): Promise<boolean> {
  const { stdout } = await world.run(["nft", "list", "tables"], { looks: true });
  return stdout.split("\n").includes("table inet ocinet");
}
