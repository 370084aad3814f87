import { messageOf } from "../wire/cni/error.ts";
import { containerOptions, type Option, type OptionValues } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { describeContainer, type Description } from "../features/container/describe.ts";
import type { ContainerRecord } from "../engine/record.ts";
import {
  describeInside,
  findSession,
  refuseRoot,
  runInSession,
  startSession,
  stopSession,
} from "../features/session/session.ts";
import { stateDirectory } from "../engine/state.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { StatusError } from "./failure.ts";
import { containersText } from "./list.ts";
import type { Report } from "./report.ts";
import { asTyped } from "../engine/usage.ts";
import { checkBytes, checkProgram, status } from "./run.ts";

/** How the session itself is connected. */
export const sessionOptions: readonly Option[] = containerOptions.filter(({ name }) =>
  ["uplink", "dns", "dns-search", "dns-opt", "dns-domain"].includes(name)
);

/** What the verbs that start it add to their help. */
export const sessionHelp = `
A session is one user, network and mount namespace of yours. Inside you are root of your own links: networks from
~/.config/ocinet/net.d, published ports and CNI plugins work as for root, and containers reach each other by address.
--uplink chooses how the session reaches other networks; the default is the best uplink that works. The uplink or a relay
forwards the host's ports.
`;

/** Starts the session. */
export async function sessionStart(world: World, given: OptionValues): Promise<Report> {
  const state = stateDirectory(world);
  return running(
    world,
    state,
    await startSession(world, state, asTyped(() => parseAttachOptions(given))),
    [],
  );
}

/** Runs a command in the session. @throws StatusError when it was not run */
export async function sessionExec(
  world: World,
  command: readonly string[],
  given: OptionValues,
): Promise<Report> {
  checkBytes(given);
  try {
    refuseRoot(world);
    const options = asTyped(() => parseAttachOptions(given));
    const state = stateDirectory(world);
    const pid = findSession(world, state)?.container.init?.pid;
    checkProgram(world, command[0]!, pid === undefined ? "" : `/proc/${pid}/root`);
    await runInSession(world, state, { options, words: command.length });
    return { text: "", json: undefined };
  } catch (error) {
    throw error instanceof StatusError ? error : new StatusError(messageOf(error), status.failed);
  }
}

/** Says whether the session runs, and what is in it. */
export function sessionStatus(world: World): Promise<Report> {
  refuseRoot(world);
  const state = stateDirectory(world);
  const session = findSession(world, state);
  return Promise.resolve(
    session ? running(world, state, session, describeInside(world, state)) : {
      json: { state: "none", containers: [], ports: [] },
      text: "no session runs; ocinet session start, or exec, starts one\n",
      code: 1,
    },
  );
}

/** Ends the session; none counts as done. */
export async function sessionStop(world: World): Promise<Report> {
  const stopped = await stopSession(world, stateDirectory(world));
  return { json: { stopped }, text: stopped ? "" : "no session ran\n" };
}

function running(
  world: World,
  state: string,
  session: ContainerRecord,
  inside: readonly Description[],
): Report {
  const own = describeContainer(world, session);
  const ports = inside.flatMap(({ id, ports }) => ports.map((port) => ({ ...port, container: id })));
  const [network] = own.networks;
  const text = `session ${own.state}: process ${own.pid}, connected by ${network?.by}, state in ${state}\n`;
  return {
    json: {
      ...{ state: own.state, created: own.created, pid: own.pid, stateDirectory: state },
      ...{ uplink: network?.by, ips: network?.ips ?? [], ports, containers: inside },
    },
    text: inside.length > 0 ? text + containersText(inside) : text,
  };
}
