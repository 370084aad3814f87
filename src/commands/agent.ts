import { runAgent } from "../features/overlay/agent.ts";
import { stateDirectory } from "../engine/state.ts";
import { ownProcess } from "../host/runtime.ts";
import type { World } from "../plan/world.ts";
import { oneLine } from "../wire/cni/output.ts";
import type { Report } from "./report.ts";

/** What the help of `agent` says. */
export const agentHelp = `
It reads /etc/ocinet/cluster.json, and runs until it is told to end; what it says goes to stderr. Containers on overlay
networks need it to start. While it does not run, those that do run go on.
`;

/** Serves overlay networks on this host until it is told to end. */
export async function agent(world: World): Promise<Report> {
  await runAgent(world, stateDirectory(world), tell);
  return { text: "", json: undefined };
}

/** A line for the log, in which nothing that was read begins another, or moves a terminal's cursor. */
function tell(line: string): void {
  try {
    ownProcess.print("stderr", `ocinet agent: ${oneLine(line)}\n`);
  } catch { /* Nobody reads it (any more); that is no reason to stop serving. */ }
}
