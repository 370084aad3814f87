/** How published ports lead to a container, by whichever of its networks. */
import type { PortMapping } from "../../net/port_mapping.ts";
import type { Claim, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { isRelay } from "../../drivers/uplinks/relay.ts";
import { uplinkNamed } from "../../drivers/uplinks/table.ts";
import type { Uplink } from "../../drivers/uplinks/uplink.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { attachmentOf } from "../../engine/attachment.ts";
import { fromHere, prefixesOf } from "../../engine/namespace.ts";
import { reconcile } from "../../engine/reconcile.ts";
import { type Attached, type ContainerRecord, readContainer, writeRecord } from "../../engine/record.ts";
import { RollbackError } from "../../engine/step_error.ts";
import { forwardFromHost } from "../rootless/host_forwarding.ts";
import { planRelay } from "../rootless/relay.ts";
import { asRunning } from "../rootless/uplink.ts";
import { hostPorts, type PlannedLink, publish, publishedThrough } from "./links.ts";
import { portClaims } from "./port_claims.ts";
import { takePorts } from "./ports.ts";

/** The claims of the host's ports; none where the container's own are opened. */
export function claimsFor(
  state: string,
  record: ContainerRecord,
  ports: readonly PortMapping[],
): readonly Claim[] {
  return portClaims(state, hostPorts(linksOf(record), ports), record.id);
}

export function linksOf({ id, container, attachments }: ContainerRecord): readonly PlannedLink[] {
  return attachments.map((attached) => ({ attached, at: attachmentOf(attached, id, container) }));
}

/** The steps that forward ports to a container. An external plugin takes its ports only at start. */
export async function forwardSteps(
  world: World,
  state: string,
  record: ContainerRecord,
  ports: readonly PortMapping[],
  there = false,
): Promise<readonly Step[]> {
  const { id, attachments } = record;
  const links = linksOf(record);
  const target = links[publishedThrough(links)];
  if (!target?.attached.result) return [];
  const { by, published, network } = target.attached;
  const uplink = uplinkNamed(by);
  if (uplink) return forwardByUplink(world, state, record, { uplink, attached: target.attached, ports });
  if (published) {
    const who = `a plugin of network "${network.name}"`;
    throw new Error(`Cannot change the ports of container "${id}": ${who} publishes them, once and for all`);
  }
  const reach = forwardFromHost(world, ports);
  const results = attachments.flatMap(({ result }) => result ?? []);
  const steps = await publish(world, target, target.attached.result, reach.ports, { results, there });
  return [...reach.forwards, ...steps];
}

/** The steps for ports that the uplink forwards, without those it took at start. */
function forwardByUplink(
  world: World,
  state: string,
  record: ContainerRecord,
  { uplink, attached, ports }: {
    readonly uplink: Uplink;
    readonly attached: Attached;
    readonly ports: readonly PortMapping[];
  },
): readonly Step[] {
  const own = ports.filter(({ relay }) => !relay);
  const entering = { id: record.id, container: fromHere(world, record.container) };
  const relay = record.steps.filter((step) => step.tool === "spawn").find(isRelay);
  return [
    ...own.flatMap((port) => uplink.publish?.(asRunning(record), port) ?? []),
    ...planRelay(world, state, { entering, attached, ports, ...(relay ? { running: relay } : {}) }),
  ];
}

export function newSteps({ steps }: ContainerRecord, wanted: readonly Step[]): readonly Step[] {
  const known = new Set(steps.map((step) => JSON.stringify(step)));
  return wanted.filter((step) => !known.has(JSON.stringify(step)));
}

/**
 * Leads published ports from the networks that may have had them to the one that has them with other attachments. Until
 * what became of the record is written down, a killed process has the next one lead them anew.
 * @param before lists of attachments: one, or several where it is not known whether the ports are led at all
 * @param save writes the new record to its file; if it fails, the ports are led as before
 * @returns what `save` returns
 * @throws Error, e.g. for a port that is taken; the ports are then led as before
 */
export async function movePorts(
  world: World,
  state: string,
  record: ContainerRecord,
  before: readonly (readonly Attached[])[],
  after: readonly Attached[],
  save: (record: ContainerRecord) => ContainerRecord,
): Promise<ContainerRecord> {
  const { id, ports } = record;
  if (ports.length === 0) return save(record);
  const lead = async (attachments: readonly Attached[], there: boolean) => [
    ...claimsFor(state, { ...record, attachments }, ports),
    ...await forwardSteps(world, state, { ...record, attachments }, ports, there),
  ];
  const [now, ...old] = await Promise.all([after, ...before].map((one) => lead(one, true)));
  const keys = (steps: readonly Step[]) => new Set(steps.map((step) => JSON.stringify(step)));
  const [going, staying] = [keys(old.flat()), keys(now!)];
  const isSame = going.size === staying.size && [...going].every((key) => staying.has(key));
  if (isSame && before.length === 1) return save(record);
  const wanted = newSteps(record, await lead(after, false));
  const claims = wanted.filter((step) => step.tool === "claim");
  const claimed = { ...record, changing: "", steps: [...record.steps, ...claims] };
  const steps = claimed.steps.filter((step) => {
    const key = JSON.stringify(step);
    return !going.has(key) || staying.has(key);
  });
  const next = { ...claimed, steps: [...steps, ...newSteps(claimed, wanted)] };
  const prefixes = prefixesOf(fromHere(world, record.container));
  let led: ContainerRecord | undefined;
  try {
    // Until they are taken, claims are what a killed process had begun.
    writeRecord(world, state, { ...claimed, before: record.steps.length });
    if (claims.length > 0) {
      await takePorts(world, state, hostPorts(linksOf({ ...record, attachments: after }), ports), id);
    }
    await reconcile({ world, state }, [{ from: claimed, to: next }], prefixes);
    led = next;
    return save(next);
  } catch (error) {
    const left = led ?? readContainer(world, state, id) ?? claimed;
    await reconcile({ world, state }, [{ from: left, to: record }], prefixes).catch((problem) => {
      throw new RollbackError(error, [messageOf(problem)]);
    });
    throw error;
  }
}
