import { messageOf } from "../cni/error.ts";
import { oneLine } from "../cni/output.ts";

/** The content type of every answer of a Docker plugin. */
export const contentType = "application/vnd.docker.plugins.v1.1+json";

/** A successful answer. */
export function done(answer: unknown = {}): { readonly status: number; readonly body: string } {
  return { status: 200, body: `${JSON.stringify(answer)}\n` };
}

/** An error. Network drivers report it under one key, IPAM drivers under another; the answer has both. */
export function failed(error: unknown, status = 200): { readonly status: number; readonly body: string } {
  const text = oneLine(messageOf(error));
  return { status, body: `${JSON.stringify({ Err: text, Error: text })}\n` };
}
