import { type Send, send } from "./step.ts";

/** A port in the format of slirp4netns's API. Our relay uses the same API with some more fields. */
export interface Hostfwd {
  readonly proto: string;
  readonly host_addr: string;
  readonly host_port: number;
  readonly guest_addr: string;
  readonly guest_port: number;
}

/** Requests a port. */
export function addForward(socket: string, port: Hostfwd): Send {
  return send(socket, forwardKey(port), { run: JSON.stringify({ execute: "add_hostfwd", arguments: port }) });
}

/** The key that distinguishes a port from the others of the same service. */
function forwardKey({ proto, host_addr, host_port }: Hostfwd): string {
  return `${proto} ${host_addr} ${host_port}`;
}

/** Requests the list of ports. Removing a port needs its id from this list. */
export const listForwards = JSON.stringify({ execute: "list_hostfwd" });

/**
 * The request that removes a port of `addForward`.
 * @param list the answer to `listForwards`; slirp4netns 1.2.0 has the entries at the top level, its manual says below
 * "return"
 * @returns undefined if the port is not in the list
 */
export function removeForward({ id }: Pick<Send, "id">, list: string): string | undefined {
  type Answer = {
    readonly entries?: readonly Entry[];
    readonly return?: { readonly entries?: readonly Entry[] };
  };
  const answer = JSON.parse(list) as Answer;
  const entries = answer.entries ?? answer.return?.entries ?? [];
  const found = entries.find((entry) => id.kind === "request" && forwardKey(entry) === id.key);
  return found && JSON.stringify({ execute: "remove_hostfwd", arguments: { id: found.id } });
}

interface Entry extends Hostfwd {
  readonly id: number;
}

/** The reason in an answer that refuses a request; undefined for success. */
export function refusalIn(answer: string): string | undefined {
  return answer === "" ? "no answer" : /"error":\s*\{\s*"desc":\s*"([^"]*)"/.exec(answer)?.[1];
}
