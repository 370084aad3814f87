import { systemError } from "./system_error.ts";
import { oneLine, printJson } from "./output.ts";

/** The error codes of CNI (SPEC.md, "Error"), and 999, which the reference plugins use for all other errors. */
export const codes = {
  unknown: 0,
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  unavailable: 50,
  limitedConnectivity: 51,
  internal: 999,
} as const;

/** An error with CNI's code. `details` holds a tool's output. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: keyof typeof codes | number, message: string, details = "") {
    super(message);
    this.name = "CniError";
    this.code = typeof code === "number" ? code : codes[code];
    this.details = details;
  }
}

/**
 * An error as a plugin prints it: JSON with `code`, `msg` and, unless empty, `details`. Runtimes show both unchanged.
 */
export function errorJson(error: unknown, cniVersion?: string): string {
  const { code, message, details } = error instanceof CniError
    ? error
    : new CniError("internal", messageOf(error));
  return printJson({ cniVersion, code, msg: oneLine(message), details: oneLine(details) || undefined });
}

/** An error as text for the user: the message, followed by the details. */
export function messageOf(error: unknown): string {
  if (error instanceof CniError) return error.details ? `${error.message}: ${error.details}` : error.message;
  const message = error instanceof Error ? error.message : String(error);
  // Both runtimes parse more levels than they write.
  if (message.startsWith("Maximum call stack")) {
    return "Cannot use the JSON that was given: it is nested too deeply";
  }
  // Deno's and Node's texts for a failed system call contain its error name or number.
  return /\bE[A-Z]+(: |$)|\(os error /.test(message) ? systemError(message) ?? message : message;
}
