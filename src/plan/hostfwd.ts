import type { Send } from "./step.ts";

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
  return {
    ...{ tool: "send", on: "host", socket },
    run: JSON.stringify({ execute: "add_hostfwd", arguments: port }),
  };
}

/** Asks which ports there are, to take one away by its id. */
export const listForwards = JSON.stringify({ execute: "list_hostfwd" });

/**
 * The request that takes back what `addForward` asked for.
 * @param list the answer to `listForwards`; slirp4netns 1.2.0 has the entries at the top, its manual below "return"
 * @returns undefined when it is not among them
 */
export function removeForward({ run = "{}" }: Send, list: string): string | undefined {
  type Answer = {
    readonly entries?: readonly Entry[];
    readonly return?: { readonly entries?: readonly Entry[] };
  };
  const { arguments: wanted } = JSON.parse(run) as { readonly arguments?: Hostfwd };
  const answer = JSON.parse(list) as Answer;
  const entries = answer.entries ?? answer.return?.entries ?? [];
  const found = entries.find(({ proto, host_addr, host_port }) =>
    proto === wanted?.proto && host_addr === wanted.host_addr && host_port === wanted.host_port
  );
  return found && JSON.stringify({ execute: "remove_hostfwd", arguments: { id: found.id } });
}

interface Entry extends Hostfwd {
  readonly id: number;
}

/** Why what was asked for was not done, if it was not. */
export function refusalIn(answer: string): string | undefined {
  return answer === "" ? "no answer" : /"error":\s*\{\s*"desc":\s*"([^"]*)"/.exec(answer)?.[1];
}
