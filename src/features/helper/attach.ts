import { messageOf } from "../../wire/cni/error.ts";
import type { Result } from "../../wire/cni/result.ts";
import { coversPort, type Grants, showRange } from "../../wire/helper/policy.ts";
import type { Attach, ChangePorts, HelperRequest, Offer } from "../../wire/helper/wire.ts";
import { expanded, type PortMapping, showMapping } from "../../net/port_mapping.ts";
import type { World } from "../../plan/world.ts";
import { attach } from "../container/attach.ts";
import { isThere, staleness } from "../../engine/namespace.ts";
import { detach } from "../container/detach.ts";
import { type NamedNetwork, networkNamed, networkProblems } from "./networks.ts";
import type { HelperUser } from "./users.ts";
import { containerIds, type ContainerRecord, type Namespace, readContainer } from "../../engine/record.ts";
import { judgeNamespace } from "./judge.ts";
import { addPorts, removePorts } from "../container/live_ports.ts";
import { findNonLocal, TakenPort } from "../container/ports.ts";
import { identify } from "../../engine/process.ts";
import { linkExists } from "../../engine/links.ts";
import { parseAttachOptions } from "../container/options.ts";

/** A request that is not granted. Its message is shown to the user, because it tells nothing about other users. */
export class Refusal extends Error {}

/** The user who asks, and what is granted to that user. */
export interface Asking {
  readonly world: World;
  readonly state: string;
  readonly user: HelperUser;
  readonly grants: Grants;
}

/** Does what a user requests. @returns the answer @throws Refusal if it is not granted */
export async function serveRequest(asking: Asking, request: HelperRequest): Promise<unknown> {
  switch (request.do) {
    case "show":
      return await offerOf(asking);
    case "detach":
      return await detachFor(asking, request.id);
    case "attach":
      return await attachFor(asking, request);
    case "publish":
      return await publishFor(asking, request);
    case "unpublish":
      return await unpublishFor(asking, request);
  }
}

async function offerOf({ world, state, user, grants }: Asking): Promise<Offer> {
  const used = networksOf(world, state, user.uid);
  const networks = (await usable(world, grants)).map(([name, count]) => ({
    name,
    free: Math.max(0, count - inUse(used, name)),
  }));
  return { networks, ports: grants.ports };
}

/** What is granted of the networks that there are; of the others the log says why. */
async function usable(world: World, { networks }: Grants): Promise<readonly (readonly [string, number])[]> {
  const problems = await networkProblems(world, [...networks.keys()]);
  return [...networks].filter(([name]) => !problems.has(name));
}

function inUse(used: readonly string[], name: string): number {
  return used.filter((other) => other === name).length;
}

/** The names of the networks that a user's containers are on, as the policy has them. */
function networksOf(world: World, state: string, uid: number): readonly string[] {
  return helperIds(world, state, uid).flatMap((id) => recordOf(world, state, id)?.attachments ?? [])
    .map(({ network }) => network.name);
}

/**
 * The ids of what was attached for all users, or for one user. A number of ours follows the name that the user chose:
 * link names are derived from the id, so no user can find two ids with the same link names.
 */
export function helperIds(world: World, state: string, uid?: number): readonly string[] {
  return containerIds(world, state).filter((id) =>
    id.startsWith(uid === undefined ? "helper." : `helper.${uid}.`) &&
    /^helper\.[0-9]+\..+\.[0-9a-f]{16}$/.test(id)
  );
}

function newId(uid: number, id: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `helper.${uid}.${id}.${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function findIds({ world, state, user }: Asking, id: string): readonly string[] {
  return helperIds(world, state, user.uid).filter((whole) =>
    whole.slice(0, -17) === `helper.${user.uid}.${id}`
  );
}

function recordOf(world: World, state: string, id: string): ContainerRecord | undefined {
  try {
    return readContainer(world, state, id);
  } catch {
    // A damaged record is left to gc.
    return undefined;
  }
}

async function detachFor(asking: Asking, id: string): Promise<boolean> {
  let found = false;
  for (const whole of findIds(asking, id)) found = await detach(asking.world, asking.state, whole) || found;
  return found;
}

async function publishFor(asking: Asking, { id, ports }: ChangePorts): Promise<boolean> {
  const { world, state, user } = asking;
  await sweep(world, state, user.uid);
  const [whole] = findIds(asking, id);
  if (whole === undefined) throw new Refusal(`Cannot publish ports of "${id}": it is not attached`);
  await checkPorts(asking, ports);
  try {
    await addPorts(world, state, whole, ports, {});
    return true;
  } catch (error) {
    throw asRefusal(error);
  }
}

/** Those that are not published belong to no container any more. @returns whether there were any */
async function unpublishFor(asking: Asking, { id, ports }: ChangePorts): Promise<boolean> {
  const { world, state } = asking;
  const asked = new Set(ports.map(showMapping));
  let found = false;
  for (const whole of findIds(asking, id)) {
    const record = recordOf(world, state, whole);
    const own = record?.phase === "done" && staleness(world, record) === undefined ? record.ports : [];
    const gone = expanded(own).filter((port) => asked.has(showMapping(port)));
    if (gone.length > 0) await removePorts(world, state, whole, gone);
    found ||= gone.length > 0;
  }
  return found;
}

async function attachFor(asking: Asking, request: Attach): Promise<Result> {
  const { world, state, user } = asking;
  await sweep(world, state, user.uid);
  if (findIds(asking, request.id).length > 0) {
    throw new Refusal(`Cannot attach "${request.id}": it is attached already; detach it first`);
  }
  await checkPorts(asking, request.ports);
  const network = await networkNamed(world, await chooseNetwork(asking, request));
  const init = identify(world, request.pid);
  const judged = init && await judgeNamespace(world, user, request.pid);
  if (!judged) throw notYours(request.pid);
  try {
    const netns = `/proc/${request.pid}/ns/net`;
    const lasting = { netns, identity: judged.identity, init, owner: user.uid };
    // The pid may belong to another process by now.
    if (!isThere(world, lasting)) throw notYours(request.pid);
    return await attachJudged(asking, request, network, { path: judged.path, lasting });
  } finally {
    await judged.letGo();
  }
}

/** The same text for all causes, so that it tells nothing about processes of other users. */
function notYours(pid: number): Refusal {
  return new Refusal(
    `Cannot attach process ${pid}: it is not one whose network namespace belongs to a user namespace of yours`,
  );
}

async function attachJudged(
  { world, state, user }: Asking,
  { id, ifname, ports }: Attach,
  network: NamedNetwork,
  { path, lasting }: { readonly path: string; readonly lasting: Namespace },
): Promise<Result> {
  const container = { netns: path, identity: lasting.identity, owner: user.uid };
  try {
    const record = await attach(world, state, {
      ...{ id: newId(user.uid, id), container, lasting, replace: false },
      options: { ...parseAttachOptions(new Map()), ports },
      networks: [{ ...network, ifname, args: "" }],
    });
    return record!.attachments[0]!.result!;
  } catch (error) {
    throw asRefusal(error, ifname);
  }
}

/** The error in the form that its user may see, if it concerns the user. */
function asRefusal(error: unknown, ifname?: string): unknown {
  const own = ownConcern(error, ifname);
  return own === undefined ? error : new Refusal(own, { cause: error });
}

/** The part of a failure that concerns the user. All else, such as the owner of a port, is only logged. */
function ownConcern(error: unknown, ifname: string | undefined): string | undefined {
  if (error instanceof TakenPort) {
    return `Cannot publish "${showMapping(error.port)}": another program has the port already`;
  }
  // We chose the name on the host.
  if (!/ peer name .*File exists/.test(messageOf(error))) return undefined;
  return `Cannot make link "${ifname}": the namespace has one of that name already; name another`;
}

async function checkPorts({ world, grants }: Asking, ports: readonly PortMapping[]): Promise<void> {
  const other = ports.find((port) => !coversPort(grants.ports, port));
  if (other) {
    const granted = grants.ports.map(showRange).join(", ") || "none";
    throw new Refusal(
      `Cannot publish "${showMapping(other)}": the policy does not grant the port (it grants: ${granted})`,
    );
  }
  const nonLocal = await findNonLocal(world, ports);
  if (nonLocal) throw new Refusal(nonLocal);
}

async function chooseNetwork(
  { world, state, user, grants }: Asking,
  { network }: Attach,
): Promise<string> {
  const used = networksOf(world, state, user.uid);
  const granted = network === undefined
    ? await usable(world, grants)
    : [...grants.networks].filter(([name]) => name === network);
  const free = granted.find(([name, count]) => inUse(used, name) < count);
  if (free) return free[0];
  if (granted.length === 0) {
    throw new Refusal(
      network === undefined
        ? "Cannot attach anything: the policy grants no network that there is"
        : `Cannot use network "${network}": the policy does not grant it`,
    );
  }
  const [name, count] = granted[0]!;
  throw new Refusal(
    `Cannot use network "${name}": the policy grants ${count} containers on it, and they are there; end one`,
  );
}

/**
 * Takes away what is attached for users, or one of them, whose process has ended, whose namespace or whose link is gone.
 * @returns the ids, each with why
 */
export async function sweep(world: World, state: string, uid?: number): Promise<readonly string[]> {
  const swept: string[] = [];
  for (const id of helperIds(world, state, uid)) {
    const reason = reasonToGo(world, state, id);
    if (reason === undefined) continue;
    try {
      await detach(world, state, id);
      swept.push(`${id}: ${reason}`);
    } catch (error) {
      swept.push(`${id}: ${reason}, and could not be taken away: ${messageOf(error)}`);
    }
  }
  return swept;
}

function reasonToGo(world: World, state: string, id: string): string | undefined {
  const record = recordOf(world, state, id);
  if (record?.phase !== "done") return undefined;
  const link = record.attachments[0]?.result?.interfaces.find(({ name, sandbox }) =>
    sandbox === undefined && name.startsWith("veth")
  );
  return staleness(world, record) ??
    (link && !linkExists(world, link.name) ? `its link ${link.name} is gone` : undefined);
}
