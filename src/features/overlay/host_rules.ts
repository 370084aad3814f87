import type { World } from "../../plan/world.ts";
import { missingOf } from "../../engine/own_table.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { type Agent, report } from "./agent_state.ts";

/** Milliseconds between two looks at the table of the host's containers. */
const lookEvery = 20_000;

/**
 * Puts the rules of this host's containers back if another program has removed them. It waits for containers'
 * locks, which those may hold who ask the agent for an address: so it is not done in turn.
 */
export async function restoreHostRules(agent: Agent): Promise<void> {
  if (performance.now() - (agent.rulesLooked ?? -Infinity) < lookEvery) return;
  agent.rulesLooked = performance.now();
  try {
    if (await areMissing(agent.world) && await agent.restoreRules?.()) {
      agent.tell("put rules of containers back: another program had removed them");
    }
    report(agent, "rules of containers", undefined);
  } catch (error) {
    report(agent, "rules of containers", messageOf(error));
  }
}

/** At what costs the same, however many containers there are. Where none is guarded there is no table for bridges. */
async function areMissing(world: World): Promise<boolean> {
  return await missingOf(world, "inet") !== undefined || await missingOf(world, "bridge") === "rules";
}
