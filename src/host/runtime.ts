import type { World } from "../plan/world.ts";
import { denoProcess, denoWorld } from "./deno.ts";
import { nodeProcess, nodeWorld } from "./node.ts";

/** Which of the two it is. */
export const onDeno = "Deno" in globalThis;

/** The world of whichever runtime this is. */
export function realWorld(): World {
  return onDeno ? denoWorld() : nodeWorld();
}

/** Arguments, standard streams and the exit of whichever runtime this is. */
export const ownProcess: typeof denoProcess = onDeno ? denoProcess : nodeProcess;
