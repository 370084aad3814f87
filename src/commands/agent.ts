import { keepWaiting, type Pool } from "../features/calls/pool.ts";
import { slotsDirectory } from "../features/calls/slot.ts";
import { followHost, renewAll } from "../features/container/names_again.ts";
import { restoreRules } from "../features/container/restore_rules.ts";
import { watchTables } from "../features/container/watching.ts";
import { runAgent } from "../features/overlay/agent.ts";
import { clusterFile } from "../features/overlay/cluster_config.ts";
import { servePage } from "../features/page/serve.ts";
import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import { buildId } from "../host/part.ts";
import { ownProcess } from "../host/runtime.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { oneLine } from "../wire/cni/output.ts";
import { type Option, UsageError } from "../wire/oci/options.ts";
import type { Report } from "./report.ts";
import { unitsOption } from "./units.ts";

/** Milliseconds between two looks at the host's files about names. */
const lookEvery = 1000;

const [usualWorkers, mostWorkers] = [4, 64];

/** What the agent can be told. */
export const agentOptions: readonly Option[] = [{
  name: "workers",
  value: "COUNT",
  text: `processes that wait for calls, 0 for none (default: ${usualWorkers})`,
  many: false,
  annotation: false,
}, {
  ...{ name: "page", value: "ADDRESS:PORT", bare: true, many: false, annotation: false },
  text: "serve the map, with its traffic, as a page on loopback (default: any port of 127.0.0.1)",
}, {
  ...unitsOption,
  text: `${unitsOption.text} or ~/.config/systemd/user`,
}];

/** What the help of `agent` says. */
export const agentHelp = `
The agent runs until it is ended, and prints messages to stderr. Its processes wait for calls of the same user, which then
start no runtime: hook, cni, plugin (also by its name), up, down, port, ls, inspect and network. With OCINET_AGENT=no, a call
does not use them.

If /etc/ocinet/cluster.json exists, root's agent also serves overlay networks. Without it, no container on them can start;
running ones keep their connections.

--page prints a URL with a token, which changes at each start. If an agent runs already, this one serves only the page.
`;

/**
 * Serves calls of this user, and overlay networks if the host is in a cluster, until it is told to end.
 * @param workers how many processes are to wait for calls
 * @param at where to serve the page, if at all: ADDRESS:PORT, or ""
 */
export async function agent(world: World, workers = String(usualWorkers), at?: string): Promise<Report> {
  if (!/^[0-9]{1,2}$/.test(workers) || Number(workers) > mostWorkers) {
    throw new UsageError(`Cannot have "${workers}" workers: it is a number from 0 to ${mostWorkers}`);
  }
  const [count, hasPage, state] = [Number(workers), at !== undefined, stateDirectory(world)];
  const isInCluster = isRoot(world) && world.stat(clusterFile(world)) !== undefined ||
    count === 0 && !hasPage;
  const page = at === undefined ? undefined : await servePage(world, state, at);
  const pool = await serveCalls(world, count, isInCluster || hasPage);
  if (page) tell(`page: ${page.url}`);
  const isBesideAnother = hasPage && count > 0 && !pool;
  const names = followHost(world, lookEvery, () => renewAll(world, state, tell));
  const tables = isRoot(world) ? watchTables(world, state, tell) : undefined;
  try {
    const restore = () => restoreRules(world, state);
    if (isInCluster && !isBesideAnother) await runAgent(world, state, tell, restore);
    else await untilSignal(world);
  } finally {
    page?.close();
    names.stop();
    tables?.stop();
    await pool?.stop();
  }
  return { text: "", json: undefined };
}

/** @param isOptional whether the agent has other things to do: then it goes on without. */
async function serveCalls(world: World, workers: number, isOptional: boolean): Promise<Pool | undefined> {
  if (workers === 0) return undefined;
  try {
    return await keepWaiting(world, slotsDirectory(world, buildId()), workers, tell);
  } catch (error) {
    if (!isOptional) throw error;
    tell(messageOf(error));
    return undefined;
  }
}

function untilSignal(world: World): Promise<void> {
  return new Promise((resolve) => world.onSignals(["SIGTERM", "SIGINT"], () => resolve()));
}

/** A line for the log, in which nothing that was read begins another, or moves a terminal's cursor. */
function tell(line: string): void {
  try {
    ownProcess.print("stderr", `ocinet agent: ${oneLine(line)}\n`);
  } catch { /* No process reads it (any more); that is no reason to stop serving. */ }
}
