import { boundTo, collide, expanded, joined, type PortMapping, showMapping } from "../../net/port_mapping.ts";
import type { Claim, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { uplinkNamed } from "../../drivers/uplinks/table.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { reconcile } from "../../engine/reconcile.ts";
import { explain, RollbackError } from "../../engine/step_error.ts";
import { prefixesOf } from "../../engine/namespace.ts";
import { forwarders, type Forwarding, refuseForwardingOfRoot } from "../rootless/forwarding.ts";
import { type ContainerRecord, writeRecord } from "../../engine/record.ts";
import { bindingOf, hostPorts } from "./links.ts";
import { portClaims } from "./port_claims.ts";
import { TakenPort, takePorts } from "./ports.ts";
import { repairUnsupervised } from "./repair.ts";
import { withSessionForwarders } from "../rootless/host_forwarding.ts";
import { claimsFor, forwardSteps, linksOf } from "./lead_ports.ts";
import { notAttached, recordToChange } from "./port_change.ts";
import { containerPaths } from "../../engine/state.ts";
import { granting, hostOf } from "../rootless/uplink.ts";
import { isRoot } from "../../engine/user.ts";
import { undoClaim } from "../../engine/undo.ts";

/** A change of a container's ports by the holder of its lock, from the old record to the new one. */
type Change = (record: ContainerRecord) => Promise<ContainerRecord>;

/**
 * Publishes ports of a running container: all or none.
 * @param forwarding what forwards them, if there is a choice
 * @returns the new record
 * @throws Error if the container is not attached, or a port is taken
 */
export async function addPorts(
  world: World,
  state: string,
  id: string,
  named: readonly PortMapping[],
  forwarding: Forwarding,
): Promise<ContainerRecord> {
  if (isRoot(world)) refuseForwardingOfRoot(forwarding);
  return await change(world, state, id, async (record) => {
    if (!record.attachments.some(({ result }) => result)) {
      throw new Error(`Cannot change the ports of container "${id}": it has no network`);
    }
    const asked = boundBy(record, named);
    for (const port of asked) {
      const duplicate = record.ports.find((other) => collide(port, other));
      if (duplicate) {
        throw new TakenPort(port, `container "${id}" publishes it already, as "${showMapping(duplicate)}"`);
      }
    }
    const ports = await withForwarders(world, record, asked, forwarding);
    // Steps that other ports share have been done already.
    const known = new Set(record.steps.map(keyOf));
    const isNew = (step: Step) => !known.has(keyOf(step));
    const claims = claimsFor(state, record, ports).filter(isNew);
    const steps = (await forwardSteps(world, state, record, ports)).filter(isNew);
    refuseEntering(record, steps);
    const claimed = { ...record, steps: [...record.steps, ...claims], before: record.steps.length };
    const next = { ...record, ports: [...record.ports, ...ports], steps: [...claimed.steps, ...steps] };
    try {
      // If this process is killed, the next one finds the claims in the record.
      writeRecord(world, state, claimed);
      if (claims.length > 0) await takePorts(world, state, hostPorts(linksOf(record), ports), id);
      await reconcile({ world, state }, [{ from: claimed, to: next }], prefixesOf(record.container));
      return next;
    } catch (error) {
      giveUp(world, state, record, claims, error);
      throw explain(error);
    }
  });
}

/**
 * Releases the claims of ports after an error. If a step is still in effect, its port stays claimed until it is undone
 * (port_change.ts).
 */
function giveUp(
  world: World,
  state: string,
  record: ContainerRecord,
  claims: readonly Claim[],
  error: unknown,
): void {
  if (error instanceof RollbackError) {
    const steps = [...record.steps, ...claims, ...error.left];
    writeRecord(world, state, { ...record, steps, before: record.steps.length });
    return;
  }
  claims.forEach((claim) => undoClaim(world, claim));
  writeRecord(world, state, record);
}

/**
 * Stops publishing ports of a container; its other ports stay.
 * @returns the new record
 * @throws Error if the container is not attached, does not publish the port, or a step could not be undone
 */
export async function removePorts(
  world: World,
  state: string,
  id: string,
  named: readonly PortMapping[],
): Promise<ContainerRecord> {
  return await change(world, state, id, async (record) => {
    const asked = boundBy(record, named);
    const [shown, there] = [asked, expanded(record.ports)].map((all) => new Set(all.map(showMapping))) as [
      Set<string>,
      Set<string>,
    ];
    const missing = asked.find((port) => !there.has(showMapping(port)));
    if (missing) {
      const known = record.ports.map(showMapping).join(", ") || "none";
      throw cannot("take away", missing, `container "${id}" does not publish it (it publishes: ${known})`);
    }
    const isShown = (port: PortMapping) => shown.has(showMapping(port));
    const ports = record.ports.filter((port) => expanded([port]).some(isShown));
    ports.forEach((port) => refuseKept(record, port));
    // What is left of a range are single ports.
    const left = expanded(ports).filter((port) => !isShown(port));
    const rest = [...record.ports.filter((port) => !ports.includes(port)), ...left];
    // Steps that other ports share stay, e.g. the container's element in the set of masqueraded ones.
    const lead = async (ports: readonly PortMapping[]) => [
      ...portClaims(state, ports, id),
      ...await forwardSteps(world, state, record, ports, true),
    ];
    const staying = await lead(rest);
    const kept = new Set(staying.map(keyOf));
    const own = (await lead(ports)).filter((step) => !kept.has(keyOf(step)));
    const gone = new Set(own.map(keyOf));
    const known = new Set(record.steps.map(keyOf));
    const fresh = left.length === 0 ? [] : staying.filter((step) => !known.has(keyOf(step)));
    const split = { ...record, steps: [...record.steps, ...fresh] };
    const next = { ...record, ports: rest, steps: split.steps.filter((step) => !gone.has(keyOf(step))) };
    // A port that the helper published at attach has no step of its own.
    const told = own.filter((step) => step.tool === "send" && !known.has(keyOf(step)));
    const from = { ...split, steps: [...split.steps, ...told] };
    try {
      // The single ports lead to the container before the range no longer does.
      if (fresh.length > 0) {
        await reconcile({ world, state }, [{ from: record, to: split }], prefixesOf(record.container));
      }
      await reconcile({ world, state }, [{ from, to: next }], prefixesOf(record.container));
    } catch (error) {
      throw new Error(`Cannot take away all of the ports: ${messageOf(explain(error))}`);
    }
    return next;
  });
}

/**
 * Refuses steps inside a user's container. Its process may end at any time, and its pid may then be another process.
 */
function refuseEntering({ id, container }: ContainerRecord, steps: readonly Step[]): void {
  if (container.owner === undefined || steps.every(({ on }) => on === "host")) return;
  throw new Error(`Cannot change the ports of container "${id}": that takes entering it, and it is a user's`);
}

/** Mappings without a host address get that of the container's network. */
function boundBy({ attachments }: ContainerRecord, ports: readonly PortMapping[]): readonly PortMapping[] {
  return boundTo(bindingOf(attachments.map(({ network }) => network)), ports);
}

function keyOf(step: Step): string {
  return JSON.stringify(step);
}

async function change(world: World, state: string, id: string, make: Change): Promise<ContainerRecord> {
  const paths = containerPaths(state, id);
  if (world.stat(paths.directory) === undefined) throw notAttached(id, "ports");
  await repairUnsupervised(world, state, id);
  const unlock = await world.lock(paths.lock);
  try {
    return await make(await recordToChange(world, state, id, "ports"));
  } finally {
    unlock();
  }
}

/** The ports with what forwards them. @throws Error for a port that cannot be forwarded */
async function withForwarders(
  world: World,
  { attachments, limits = {}, ports: others }: ContainerRecord,
  ports: readonly PortMapping[],
  forwarding: Forwarding,
): Promise<readonly PortMapping[]> {
  const attached = attachments[0];
  const uplink = attached && uplinkNamed(attached.by);
  if (!uplink) return joined(await withSessionForwarders(world, ports));
  const restricted = attached.network.name === "default-restricted";
  const host = uplink.provided ? await granting(world) : hostOf(world);
  const forwarded = { host, restricted, limits, runs: true, others };
  return forwarders(uplink, ports, forwarding, forwarded).map((found) => {
    if (typeof found === "string") throw new Error(found);
    return found;
  });
}

/** Refuses to remove a port that its uplink keeps until it ends. */
function refuseKept({ id, attachments }: ContainerRecord, port: PortMapping): void {
  const uplink = attachments.map(({ by }) => uplinkNamed(by)).find((found) => found);
  if (!uplink || uplink.publish || port.relay) return;
  throw cannot(
    "take away",
    port,
    `container "${id}" has it by ${uplink.name}, which keeps the ports that it started with; ` +
      "publish those that are to go with --port-driver relay",
  );
}

function cannot(what: string, port: PortMapping, reason: string): Error {
  return new Error(`Cannot ${what} "${showMapping(port)}": ${reason}`);
}
