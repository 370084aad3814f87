import { type Send, send } from "./step.ts";

/** A port as slirp4netns's API names it, to which our relay answers as well; it has some words more. */
export interface Hostfwd {
  readonly proto: string;
  readonly host_addr: string;
  readonly host_port: number;
  readonly guest_addr: string;
  readonly guest_port: number;
}

/** Asks for a port. */
export function addForward(socket: string, port: Hostfwd): Send {
  return send(socket, forwardKey(port), { run: JSON.stringify({ execute: "add_hostfwd", arguments: port }) });
}

/** What tells a port from the others that a service forwards. */
function forwardKey({ proto, host_addr, host_port }: Hostfwd): string {
  return `${proto} ${host_addr} ${host_port}`;
}

/** Asks which ports there are, to take one away by its id. */
export const listForwards = JSON.stringify({ execute: "list_hostfwd" });

/**
 * The request that takes back what `addForward` asked for.
 * @param list the answer to `listForwards`; slirp4netns 1.2.0 has the entries at the top, its manual below "return"
 * @returns undefined when it is not among them
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

/** Why what was asked for was not done, if it was not. */
export function refusalIn(answer: string): string | undefined {
  return answer === "" ? "no answer" : /"error":\s*\{\s*"desc":\s*"([^"]*)"/.exec(answer)?.[1];
}
