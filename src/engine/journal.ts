import { parseResult, type Result } from "../wire/cni/result.ts";
import type { NetworkList } from "../wire/cni/network_list.ts";
import { identifierProblem } from "../net/names.ts";
import type { PortMapping } from "../net/port_mapping.ts";
import { isStep, type Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import type { Limits } from "../net/limits.ts";
import type { ProcessIdentity } from "./process.ts";
import type { ContainerPaths } from "./state.ts";

/** What is written down of a container before anything is done for it, and removed once all of it is undone. */
export interface Journal {
  readonly format: 1;
  readonly id: string;
  readonly created: string;
  readonly bootId: string;
  /** The network namespace that we did it from, e.g. `net:[4026531840]`. */
  readonly host: string;
  readonly container: Container;
  /** It is the user's session (session.ts); and what cannot be seen of the host from within. */
  readonly session?: { readonly lowestPort: number };
  /** `planning`: addresses may be taken that no step names yet; `planned`: some steps may be done. */
  readonly phase: "planning" | "planned" | "done";
  readonly attachments: readonly Attached[];
  readonly ports: readonly PortMapping[];
  readonly limits?: Limits;
  readonly steps: readonly Step[];
  /** While ports are being published: how many of the steps are those of before. */
  readonly settled?: number;
  /** While programs are started again: their pid files. What they were asked for has to be asked for again. */
  readonly restarting?: readonly string[];
}

/** The namespace a container is in, and by what to know that it is still that one. */
export interface Container {
  readonly netns: string;
  /** `device:inode` of the namespace. */
  readonly identity: string;
  /** The container's first process, where the namespace was given by one. */
  readonly init?: ProcessIdentity;
  /** The user namespace to enter first, where we have no power over the network one from outside. */
  readonly userns?: string;
  /** The user whom root's service connected it for: what is in it is theirs, and root no longer goes there. */
  readonly owner?: number;
}

/** One network of a container. */
export interface Attached {
  readonly network: NetworkList;
  readonly ifname: string;
  readonly args: string;
  readonly digest: string;
  readonly networkDigest: string;
  /** How the container is connected: its plugin's type, or an uplink's name. */
  readonly by: string;
  /** Where its plugins are, if they are run one by one: not all are ours. */
  readonly path?: readonly string[];
  /** The ports that its own plugins publish. */
  readonly published?: readonly PortMapping[];
  readonly result?: Result;
}

/** Writes the journal; a reader sees the old one or the new. */
export function writeJournal(world: World, paths: ContainerPaths, journal: Journal): void {
  world.makeDirectory(paths.directory);
  world.write(paths.journal, JSON.stringify(journal));
}

/** A journal that is there and says nothing. */
export class DamagedJournal extends Error {}

/**
 * The journal of a container, or undefined when there is none.
 * @throws DamagedJournal naming the file when nothing can be made of it, Error when it is of a later version
 */
export function readJournal(world: World, paths: ContainerPaths): Journal | undefined {
  const text = world.read(paths.journal);
  if (text === undefined) return undefined;
  const journal = parseJournal(text, paths.journal);
  if (journal.format === 1) return journal;
  throw new Error(
    `Cannot read ${paths.journal}: its format is ${journal.format}, and this program knows 1; ` +
      "use the version of ocinet that wrote it",
  );
}

function parseJournal(text: string, path: string): Journal {
  const damaged = (problem: string) =>
    new DamagedJournal(
      `Cannot read ${path}: ${problem}; ocinet down ${
        path.split("/").at(-2)
      } takes away what is found by its name`,
    );
  try {
    const journal = JSON.parse(text) as Journal | null;
    if (typeof journal?.format === "number" && (journal.format !== 1 || isJournal(journal))) return journal;
  } catch (error) {
    throw damaged((error as Error).message);
  }
  throw damaged("it is not a journal");
}

/** Whether all of it is there that is used without looking. */
function isJournal(journal: Partial<Journal>): boolean {
  const { id, created, bootId, host, container, attachments, ports, steps } = journal;
  const { settled = 0, restarting = [] } = journal;
  return areTexts(id, created, bootId, host) && isContainer(container) && Array.isArray(attachments) &&
    attachments.every(isAttached) && Array.isArray(ports) &&
    ports.every(isMapping) &&
    areSteps(steps) && Number.isInteger(settled) && Array.isArray(restarting) && areTexts(...restarting);
}

/** Whether a value that was read is a list of steps. */
export function areSteps(value: unknown): value is readonly Step[] {
  return Array.isArray(value) && value.every(isStep);
}

/** Whether a value that was read says where a container is. */
export function isContainer(value: Partial<Container> | null | undefined): value is Container {
  if (!areTexts(value?.netns, value?.identity) || !areTexts(value?.userns ?? "")) return false;
  const init = value?.init;
  return init === undefined || (Number.isInteger(init?.pid) && areTexts(init?.startTime));
}

function isAttached(value: Partial<Attached> | null): boolean {
  const { network, ifname, args, digest, networkDigest, by, path, result } = value ?? {};
  return areTexts(network?.name, ifname, args, digest, networkDigest, by) &&
    Array.isArray(network?.plugins) &&
    network.plugins.every((plugin) => areTexts(plugin?.type)) && (path === undefined || areTexts(...path)) &&
    (result === undefined || isResult(result));
}

function isMapping(value: Partial<PortMapping> | null): boolean {
  const { hostPort, port, protocol } = value ?? {};
  return [hostPort, port].every(Number.isInteger) && areTexts(protocol);
}

function isResult(value: Partial<Result>): boolean {
  const { interfaces, ips, routes, dns } = value ?? {};
  if (![interfaces, ips, routes].every(Array.isArray) || !dns) return false;
  try {
    return parseResult(value, "1.1.0") !== undefined;
  } catch {
    return false;
  }
}

function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === "string");
}

/** The ids of all containers that have state. */
export function containerIds(world: World, state: string): readonly string[] {
  return world.list(`${state}/containers`).filter((name) => identifierProblem(name) === undefined).sort();
}
