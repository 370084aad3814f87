/** Which faults the tests of the laws try. */
import assert from "node:assert/strict";
import { realWorld } from "../host/runtime.ts";
import { type Action, tryFaults } from "./faults.ts";

/** OCINET_SEED chooses other faults, and OCINET_FAULTS=all tries every one. */
const { env } = realWorld();
const seed = Number(env("OCINET_SEED") ?? 1);

/**
 * Tries an action with faults, and tells of those that broke a law.
 * @param most how many of its faults, chosen by the seed, unless all
 */
export async function hold(action: Action, most?: number): Promise<void> {
  const all = most === undefined || env("OCINET_FAULTS") === "all";
  const found = await tryFaults(action, all ? { seed } : { seed, most });
  assert.equal(found.slice(0, 3).join("\n\n"), "", `OCINET_SEED=${seed}: ${found.length} broke a law`);
}
