import { collide, type PortMapping, showMapping } from "../net/port_mapping.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { uplinkNamed } from "../uplinks/table.ts";
import { apply, undo, undoClaim } from "./apply.ts";
import { attachmentOf } from "./attachment.ts";
import { livePrefixes, prefixesOf, staleness } from "./container.ts";
import { type Journal, readJournal, writeJournal } from "./journal.ts";
import { publish, publishedThrough } from "./links.ts";
import { portClaims, takePorts } from "./ports.ts";
import { containerPaths } from "./state.ts";

/** A change of a container's ports, for who has its lock: what is written down before and after. */
type Change = (journal: Journal) => Promise<Journal>;

/**
 * Publishes ports of a container that runs: all of them, or none.
 * @returns what is written down of it now
 * @throws Error for a container that is not attached, or a port that is taken
 */
export async function addPorts(
  world: World,
  state: string,
  id: string,
  ports: readonly PortMapping[],
): Promise<Journal> {
  return await change(world, state, id, async (journal) => {
    for (const port of ports) {
      const twin = journal.ports.find((other) => collide(port, other));
      if (twin) {
        throw cannot("publish", port, `container "${id}" publishes it already, as "${showMapping(twin)}"`);
      }
    }
    const steps = leadTo(journal, ports);
    const claims = portClaims(state, ports, id);
    const next = {
      ...journal,
      ports: [...journal.ports, ...ports],
      steps: [...journal.steps, ...claims, ...steps],
    };
    writeJournal(world, containerPaths(state, id), next);
    try {
      await takePorts(world, state, ports, id);
      await apply(world, prefixesOf(journal.container), steps);
      return next;
    } catch (error) {
      claims.forEach((claim) => undoClaim(world, claim));
      writeJournal(world, containerPaths(state, id), journal);
      throw error;
    }
  });
}

/**
 * Takes published ports of a container away; the others stay.
 * @returns what is written down of it now
 * @throws Error for a container that is not attached, a port that it does not publish, or when something resisted
 */
export async function removePorts(
  world: World,
  state: string,
  id: string,
  ports: readonly PortMapping[],
): Promise<Journal> {
  return await change(world, state, id, async (journal) => {
    const shown = new Set(ports.map(showMapping));
    const missing = ports.find((port) =>
      !journal.ports.some((other) => showMapping(other) === showMapping(port))
    );
    if (missing) {
      const known = journal.ports.map(showMapping).join(", ") || "none";
      throw cannot("take away", missing, `container "${id}" does not publish it (it publishes: ${known})`);
    }
    const rest = journal.ports.filter((port) => !shown.has(showMapping(port)));
    // What leads to other ports as well, such as the container's place among those that are masqueraded, stays.
    const kept = new Set([...leadTo(journal, rest), ...portClaims(state, rest, id)].map(keyOf));
    const own = [...portClaims(state, ports, id), ...leadTo(journal, ports)].filter((step) =>
      !kept.has(keyOf(step))
    );
    const problems = await undo(world, livePrefixes(world, journal.container), own);
    if (problems.length > 0) throw new Error(`Cannot take away all of the ports: ${problems.join("; ")}`);
    const gone = new Set(own.map(keyOf));
    const next = { ...journal, ports: rest, steps: journal.steps.filter((step) => !gone.has(keyOf(step))) };
    writeJournal(world, containerPaths(state, id), next);
    return next;
  });
}

function keyOf(step: Step): string {
  return JSON.stringify(step);
}

async function change(world: World, state: string, id: string, make: Change): Promise<Journal> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) throw notAttached(id);
  const unlock = await world.lock(paths.lock);
  try {
    const journal = readJournal(world, paths);
    if (!journal || journal.phase !== "done") throw notAttached(id);
    const gone = staleness(world, journal);
    if (gone) throw new Error(`Cannot change the ports of container "${id}": ${gone}`);
    return await make(journal);
  } finally {
    unlock();
  }
}

/** The steps that lead ports to the container; an uplink, or another's plugin, took its ports when it started. */
function leadTo({ id, container, attachments }: Journal, ports: readonly PortMapping[]): readonly Step[] {
  const links = attachments.map((attached) => ({
    attached,
    at: attachmentOf(attached, id, container),
    chain: [],
  }));
  const target = links[publishedThrough(links)];
  if (!target?.attached.result) {
    throw new Error(`Cannot change the ports of container "${id}": it has no network`);
  }
  const { by, published, network } = target.attached;
  if (uplinkNamed(by) || published) {
    const who = published ? `a plugin of network "${network.name}"` : by;
    throw new Error(`Cannot change the ports of container "${id}": ${who} publishes them, once and for all`);
  }
  return publish(target, target.attached.result, ports);
}

function notAttached(id: string): Error {
  return new Error(`Cannot change the ports of container "${id}": it is not attached; see ocinet ls`);
}

function cannot(what: string, port: PortMapping, reason: string): Error {
  return new Error(`Cannot ${what} "${showMapping(port)}": ${reason}`);
}
