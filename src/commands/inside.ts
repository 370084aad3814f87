import { stateDirectory } from "../engine/state.ts";
import { sessionId } from "../features/rootless/host_forwarding.ts";
import { callInside } from "../features/session/session.ts";
import type { World } from "../plan/world.ts";
import { UsageError } from "../wire/oci/options.ts";
import type { Console } from "./program.ts";

/** Commands that outside of a session take containers in it, which `ocinet ls` shows as session/ID. */
const taken = ["down", "port", "repair", "trace", "network connect", "network disconnect"];
/** Of these, those with several containers. */
const several = ["down", "repair"];

const prefix = `${sessionId}/`;

/** Whether a command is about containers in the session. @throws UsageError where it is about others, too */
export function isInside(name: string, words: readonly (string | undefined)[]): boolean {
  const outside = words.find((word) => !word?.startsWith(prefix));
  if (!taken.includes(name) || words.every((word) => !word?.startsWith(prefix))) return false;
  if (!several.includes(name) || outside === undefined) return true;
  throw new UsageError(
    `Cannot do "ocinet ${name} ${
      words.join(" ")
    }": ${outside} is not in the session; give it in a command of its own`,
  );
}

/** Has a command run in the session, by whose locks and records it goes. @returns its exit status */
export async function runInside(world: World, console: Console): Promise<number> {
  const words = console.args().map((word) => word.startsWith(prefix) ? word.slice(prefix.length) : word);
  const { code, stdout, stderr } = await callInside(world, stateDirectory(world), words);
  console.print("stdout", stdout);
  console.print("stderr", stderr);
  return code;
}
