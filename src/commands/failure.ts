import { messageOf } from "../cni/error.ts";
import { UsageError } from "../oci/options.ts";

/** What a person is told of an error, and the exit status: 2 for wrong use, 1 for all else. */
export function failure(error: unknown): { readonly text: string; readonly code: number } {
  return {
    text: `ocinet: ${messageOf(error).replaceAll("\n", " ")}\n`,
    code: error instanceof UsageError ? 2 : 1,
  };
}
