import type { World } from "../plan/world.ts";
import { denoProcess, isFirstDeno2 } from "./deno/process.ts";
import { denoWorld } from "./deno/world.ts";
import { ignoreDebugger, nodeProcess, provideBuiltins } from "./node/process.ts";
import { nodeWorld } from "./node/world.ts";

/** Whether the runtime is Deno; otherwise it is Node. */
export const onDeno = "Deno" in globalThis;

/** Preparation that must run first. Deno 2.0 waits for it. */
export async function prepareRuntime(): Promise<void> {
  if (!onDeno) ignoreDebugger();
  if (onDeno && isFirstDeno2()) await provideBuiltins();
}

/**
 * Closes descriptors inherited from the caller that the launcher could not close. A program that we start may keep
 * running.
 */
export function closeInherited(): void {
  const inherited = realWorld().env("OCINET_INHERITED")?.trim();
  if (inherited) ownProcess.close(inherited.split(" ").map(Number));
}

/** The World of the current runtime. */
export function realWorld(): World {
  return onDeno ? denoWorld() : nodeWorld();
}

/** Arguments, standard streams and exit of the current runtime. */
export const ownProcess: typeof denoProcess = onDeno ? denoProcess : nodeProcess;
