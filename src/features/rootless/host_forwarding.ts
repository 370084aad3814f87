import { messageOf } from "../../wire/cni/error.ts";
import { addressOf } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { Send, Spawn, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { isRelay, relayPort } from "../../drivers/uplinks/relay.ts";
import { uplinkNamed } from "../../drivers/uplinks/table.ts";
import type { Uplink } from "../../drivers/uplinks/uplink.ts";
import { apply } from "../../engine/apply.ts";
import { explain } from "../../engine/step_error.ts";
import { forwarder } from "./forwarding.ts";
import { containerIds, type ContainerRecord, readUndamaged } from "../../engine/record.ts";
import { note } from "../../engine/hook_log.ts";
import { ownerIsAlive, readPids } from "../../engine/process.ts";
import { userDirectory } from "../../engine/state.ts";
import { asRunning, granting, hostOf } from "./uplink.ts";
import { outerUid } from "../../engine/user.ts";

/** The id that the user's session is listed by. */
export const sessionId = "session";

/** How the host's ports lead to a container. */
export interface HostForwarding {
  /** From the host to the session that we are in, if we are in one. */
  readonly forwards: readonly Send[];
  /** From this network namespace to the container. */
  readonly ports: readonly PortMapping[];
}

/**
 * Ports of a container in a session, each with who brings it from the host: the session's uplink if it can while it runs,
 * or else its relay. Outside of one they stay as they are.
 * @throws Error for one that neither brings
 */
export async function withSessionForwarders(
  world: World,
  ports: readonly PortMapping[],
): Promise<readonly PortMapping[]> {
  const session = ports.length > 0 ? sessionAround(world) : undefined;
  if (!session) return ports;
  const uplink = uplinkOf(session);
  const host = {
    ...(uplink.provided ? await granting(world) : hostOf(world)),
    ...session.session!,
    ...(relayOf(session) ? {} : { relayProblem: "the session was started without a relay; start it anew" }),
  };
  // What the relay forwards passes the links of containers in a session.
  const forwarded = { host, restricted: false, limits: {}, runs: true };
  return ports.map((port) => {
    const found = forwarder(uplink, port, {}, forwarded);
    if (typeof found === "string") throw new Error(found);
    return found.relay ? found : { ...found, uplink: uplink.name };
  });
}

/** Leads ports to a container from the host, and not just from here: they are brought to the session's address. */
export function forwardFromHost(world: World, ports: readonly PortMapping[]): HostForwarding {
  const session = ports.some(({ relay, uplink }) => relay ?? uplink) ? sessionAround(world) : undefined;
  if (!session) return { forwards: [], ports };
  return {
    forwards: ports.map((port) => forwardPort(world, session, port)),
    ports: ports.map(({ hostIp: _, family, relay, uplink: __, ...port }) =>
      // The relay comes by whichever family answers.
      relay || family === undefined ? port : { ...port, family }
    ),
  };
}

/** Settings for a container in the session that we are in, if we are in one: its traffic leaves by the session's uplink. */
export function settingsInSession(world: World): readonly Step[] {
  const session = sessionAround(world);
  return session ? uplinkOf(session).settings ?? [] : [];
}

function forwardPort(world: World, session: ContainerRecord, port: PortMapping): Send {
  const here = { ...port, port: port.hostPort };
  if (!port.relay) return uplinkOf(session).publish!(asRunning(session), here);
  const guests = session.attachments[0]!.result!.ips.map(({ address }) => addressOf(address));
  return relayPort(relayOf(session)!.cleanupPaths[0]!, guests, hostOf(world), here);
}

function relayOf({ steps }: ContainerRecord): Spawn | undefined {
  return steps.filter((step) => step.tool === "spawn").find(isRelay);
}

function uplinkOf({ attachments }: ContainerRecord): Uplink {
  return uplinkNamed(attachments[0]!.by)!;
}

/**
 * The session whose network namespace we are in. The environment is not taken for true: a session is what the user's own
 * directory of state says to be one, and only if it is of this very namespace.
 */
export function sessionAround(world: World): ContainerRecord | undefined {
  if (world.uid !== 0 || outerUid(world) === 0) return undefined;
  const here = world.stat("/proc/self/ns/net")?.identity;
  const named = world.env("OCINET_SESSION");
  return [...(named?.startsWith("/") ? [named] : []), userDirectory(world)]
    .filter((directory) => world.stat(directory)?.uid === world.uid)
    .map((directory) => readUndamaged(world, directory, sessionId))
    .find((record) => record?.session && record.container.identity === here);
}

/** A process on the host's side of the session that we are in: its /proc shows who listens there. */
export function processOnHost(world: World): number | undefined {
  const start = sessionAround(world)?.steps.find((step) => step.tool === "spawn");
  return start && readPids(world, start.pidFile).find((pid) => ownerIsAlive(world, pid, start.cmdlineMarker));
}

/** The journals of the containers in a session, whose state is in its own /run, with paths as they are from here. */
export function containersInside(world: World, session: ContainerRecord): readonly ContainerRecord[] {
  const root = `/proc/${session.container.init!.pid}/root`;
  const state = `${root}/run/ocinet`;
  return containerIds(world, state).flatMap((id) => {
    const record = readUndamaged(world, state, id);
    return record ? [fromOutside(record, root)] : [];
  });
}

/** The session shares our /proc; all other paths are those of its own root. */
function fromOutside(record: ContainerRecord, root: string): ContainerRecord {
  const outside = (path: string) => path.startsWith("/proc/") ? path : `${root}${path}`;
  const { container, steps } = record;
  return {
    ...record,
    container: { ...container, netns: outside(container.netns) },
    steps: steps.map((step) => step.tool === "spawn" ? { ...step, pidFile: outside(step.pidFile) } : step),
  };
}

/**
 * Asks a session's programs, which were started again, for the ports of the containers inside. What they refuse is noted.
 */
export async function forwardAgain(
  world: World,
  state: string,
  session: ContainerRecord,
  started: readonly Spawn[],
): Promise<void> {
  const sockets = new Set(started.flatMap(({ cleanupPaths }) => cleanupPaths));
  for (const { id, steps } of containersInside(world, session)) {
    for (const step of steps.filter((step) => step.tool === "send" && sockets.has(step.socket))) {
      await apply(world, { host: [], container: [] }, [step]).catch((error) =>
        note(world, state, `repair ${sessionId}: container ${id}: ${messageOf(explain(error))}`)
      );
    }
  }
}
