import { messageOf } from "../cni/error.ts";
import type { PortMapping } from "../net/port_mapping.ts";
import type { Send } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { uplinkNamed } from "../uplinks/table.ts";
import { apply, explain } from "./apply.ts";
import { containerIds, DamagedJournal, type Journal, readJournal } from "./journal.ts";
import { note } from "./log.ts";
import { ownerIsAlive, readPids } from "./process.ts";
import { containerPaths, userDirectory } from "./state.ts";
import { asRunning, hostOf } from "./uplink.ts";
import { outerUid } from "./user.ts";

/** The id that the user's session is listed by. */
export const sessionId = "session";

/** How the host's ports lead to a container. */
export interface Reach {
  /** From the host to the session that we are in, if we are in one. */
  readonly forwards: readonly Send[];
  /** From this network namespace to the container. */
  readonly ports: readonly PortMapping[];
}

/**
 * Leads ports to a container from the host, and not just from here: in a session its uplink brings them to the session's
 * address, whichever of the host's they are on.
 * @throws Error for one that the uplink does not forward
 */
export function reachFromHost(world: World, ports: readonly PortMapping[]): Reach {
  const session = ports.length > 0 ? sessionAround(world) : undefined;
  if (!session) return { forwards: [], ports };
  return {
    forwards: ports.map((port) => forward(world, session, port)),
    ports: ports.map(({ hostIp: _, ...port }) => port),
  };
}

function forward(world: World, around: Journal, port: PortMapping): Send {
  const { attachments, session } = around;
  const [attached] = attachments;
  const uplink = uplinkNamed(attached!.by)!;
  if (!uplink.publish) {
    throw new Error(
      `Cannot publish port ${port.hostPort} of a session by ${uplink.name}, which takes no ports while it runs; ` +
        "ocinet session stop, then ocinet session start --uplink slirp4netns",
    );
  }
  const refusal = uplink.refusal(port, { ...hostOf(world), ...session! }, false);
  if (refusal) throw new Error(refusal);
  return uplink.publish(asRunning(around), { ...port, port: port.hostPort });
}

/**
 * The session whose network namespace we are in. The environment is not taken for true: a session is what the user's own
 * directory of state says to be one, and only if it is of this very namespace.
 */
export function sessionAround(world: World): Journal | undefined {
  if (world.uid !== 0 || outerUid(world) === 0) return undefined;
  const here = world.stat("/proc/self/ns/net")?.identity;
  const named = world.env("OCINET_SESSION");
  return [...(named?.startsWith("/") ? [named] : []), userDirectory(world)]
    .filter((directory) => world.stat(directory)?.uid === world.uid)
    .map((directory) => readUndamaged(world, directory, sessionId))
    .find((journal) => journal?.session && journal.container.identity === here);
}

/** A process on the host's side of the session that we are in: its /proc shows who listens there. */
export function processOnHost(world: World): number | undefined {
  const start = sessionAround(world)?.steps.find((step) => step.tool === "spawn");
  return start && readPids(world, start.pidFile).find((pid) => ownerIsAlive(world, pid, start.mark));
}

/** The journals of the containers in a session, whose state is in its own /run, with paths as they are from here. */
export function journalsInside(world: World, session: Journal): readonly Journal[] {
  const root = `/proc/${session.container.init!.pid}/root`;
  const state = `${root}/run/ocinet`;
  return containerIds(world, state).flatMap((id) => {
    const journal = readUndamaged(world, state, id);
    return journal ? [fromOutside(journal, root)] : [];
  });
}

/** A container's journal, if there is one that can be read. */
export function readUndamaged(world: World, state: string, id: string): Journal | undefined {
  try {
    return readJournal(world, containerPaths(state, id));
  } catch (error) {
    if (error instanceof DamagedJournal) return undefined;
    throw error;
  }
}

/** The session shares our /proc; all other paths are those of its own root. */
function fromOutside(journal: Journal, root: string): Journal {
  const outside = (path: string) => path.startsWith("/proc/") ? path : `${root}${path}`;
  const { container, steps } = journal;
  return {
    ...journal,
    container: { ...container, netns: outside(container.netns) },
    steps: steps.map((step) => step.tool === "spawn" ? { ...step, pidFile: outside(step.pidFile) } : step),
  };
}

/** Asks a session's uplink, which was started again, for the ports of the containers inside. What it refuses is noted. */
export async function forwardAgain(world: World, state: string, session: Journal): Promise<void> {
  for (const { id, steps } of journalsInside(world, session)) {
    for (const step of steps.filter(({ tool }) => tool === "send")) {
      await apply(world, { host: [], container: [] }, [step]).catch((error) =>
        note(world, state, `repair ${sessionId}: container ${id}: ${messageOf(explain(error))}`)
      );
    }
  }
}
