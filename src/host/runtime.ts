import type { World } from "../plan/world.ts";
import { denoProcess, denoWorld, isFirstDeno2 } from "./deno.ts";
import { ignoreDebugger, nodeProcess, nodeWorld, provideBuiltins } from "./node.ts";

/** Which of the two it is. */
export const onDeno = "Deno" in globalThis;

/** What has to be done before anything else, and is waited for on Deno 2.0. */
export async function prepareRuntime(): Promise<void> {
  if (!onDeno) ignoreDebugger();
  if (onDeno && isFirstDeno2()) await provideBuiltins();
}

/** Closes those of the caller's descriptors that the launcher could not close: what we start may stay. */
export function closeInherited(): void {
  const inherited = realWorld().env("OCINET_INHERITED")?.trim();
  if (inherited) ownProcess.close(inherited.split(" ").map(Number));
}

/** The world of whichever runtime this is. */
export function realWorld(): World {
  return onDeno ? denoWorld() : nodeWorld();
}

/** Arguments, standard streams and the exit of whichever runtime this is. */
export const ownProcess: typeof denoProcess = onDeno ? denoProcess : nodeProcess;
