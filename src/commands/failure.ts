import { messageOf } from "../wire/cni/error.ts";
import { oneLine } from "../wire/cni/output.ts";
import { UsageError } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";

/** An error with an exit status of its own. */
export class StatusError extends Error {
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/** What a person is told of an error, and the exit status: 2 for wrong use, 1 for all else that names none. */
export function failure(error: unknown): { readonly text: string; readonly code: number } {
  return {
    text: `ocinet: ${oneLine(messageOf(error))}\n`,
    code: error instanceof StatusError ? error.code : error instanceof UsageError ? 2 : 1,
  };
}

/** Where an error was thrown, for those who ask by OCINET_DEBUG: scripts/trace.ts makes lines of the sources of it. */
export function traceOf(world: World, error: unknown): string {
  return world.env("OCINET_DEBUG") && error instanceof Error ? `${error.stack}\n` : "";
}
