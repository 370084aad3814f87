import { messageOf } from "../cni/error.ts";
import { oneLine } from "../cni/output.ts";

/** The type of every answer of a plugin of Docker's. */
export const contentType = "application/vnd.docker.plugins.v1.1+json";

/** An answer. */
export function done(answer: unknown = {}): { readonly status: number; readonly body: string } {
  return { status: 200, body: `${JSON.stringify(answer)}\n` };
}

/** An error: drivers of networks have it under one name, and those of IPAM under another. */
export function failed(error: unknown, status = 200): { readonly status: number; readonly body: string } {
  const text = oneLine(messageOf(error));
  return { status, body: `${JSON.stringify({ Err: text, Error: text })}\n` };
}
