/** The laws of failure: what has to be true of an action, whatever goes wrong at whichever of its calls. */
import assert from "node:assert/strict";
import { messageOf } from "../wire/cni/error.ts";
import type { World } from "../plan/world.ts";
import { type Fake, type Fault, type FaultKind, faultKinds, Killed } from "../host/fake.ts";
import { dumpOf, missingFrom, state } from "./machine.ts";

/** Something that is done to a machine, and how it is ended. */
export interface Action {
  readonly name: string;
  /** The machine before it. */
  readonly before: Fake;
  /** How the machine has to be once all is ended, if not as before. */
  readonly end?: Fake;
  act(world: World): Promise<unknown>;
  /** Ways to take away what is left of it, tried in turn. */
  readonly endings: readonly Ending[];
  /** Another container, that comes when it has failed, and goes when it has been ended. */
  readonly next: { add(world: World): Promise<unknown>; remove(world: World): Promise<unknown> };
  /** Lines of what it works on, which was there before. */
  readonly own?: RegExp;
  /** What is shared has no record: the call that takes it away looks. */
  readonly unrecorded?: boolean;
  /** The action succeeds with a full disk: it takes away. */
  readonly takesAway?: boolean;
}

/** One way to end what is left. */
export interface Ending {
  readonly name: string;
  end(world: World, fake: Fake): Promise<unknown>;
  /** The container's namespace is gone with it. */
  readonly namespaceGone?: boolean;
}

/** How a machine is before an action, without a fault of it, and once all is ended. */
interface Dumps {
  readonly before: readonly string[];
  readonly wanted: readonly string[];
  readonly end: readonly string[];
}

/** What is tried. */
interface Trial {
  readonly action: Action;
  readonly fault: Fault;
  readonly ending: Ending;
}

/** Which faults are tried: all of them, or a few that a seed chooses. */
export interface Sample {
  readonly seed: number;
  /** How many of an action's faults, unless all. */
  readonly most?: number;
}

/** Tries an action without a fault, and then with each fault, or some of them. @returns what broke a law, a line each */
export async function tryFaults(action: Action, sample: Sample): Promise<readonly string[]> {
  const plain = action.before.copy();
  await action.act(plain.world);
  const dumps: Dumps = {
    ...{ before: dumpOf(action.before), wanted: dumpOf(plain), end: dumpOf(action.end ?? action.before) },
  };
  const found: string[] = [];
  for (const trial of choose(action, plain.log, sample)) {
    try {
      await tryFault(trial, dumps);
    } catch (error) {
      const { kind, call, at } = trial.fault;
      const which = `${kind} at ${call}.${at.toFixed(2)} (${
        plain.log[call - 1]?.slice(0, 300)
      }), then ${trial.ending.name}`;
      found.push(`${action.name}: ${which}: ${(error as Error).stack ?? error}`);
    }
  }
  return found;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let at = seed;
  return () => {
    at = (at + 0x6d2b79f5) | 0;
    let mixed = Math.imul(at ^ at >>> 15, 1 | at);
    mixed = (mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed)) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

function choose(action: Action, log: readonly string[], { seed, most }: Sample): readonly Trial[] {
  const random = randomOf(seed);
  const all = log.flatMap((call, i) => kindsOf(call).map((kind) => [i + 1, kind] as const))
    .map(([call, kind], i): Trial => ({
      action,
      fault: { call, kind, at: random() },
      ending: action.endings[(i + call) % action.endings.length]!,
    }));
  if (most === undefined || most >= all.length) return all;
  const start = Math.floor(random() * all.length);
  // One step that shares no factor with the number of kinds meets all of them.
  return Array.from(
    { length: most },
    (_, i) => all[(start + Math.floor(i * all.length / most)) % all.length]!,
  );
}

/** The ways in which a call can fail. */
function kindsOf(call: string): readonly FaultKind[] {
  const [verb = ""] = call.split(" ");
  if (["remove", "removeEmpty", "signal"].includes(verb)) return ["we die before", "we die after"];
  if (["put", "symlink", "makeDirectory", "lock"].includes(verb)) {
    return ["refused", "disk full", "we die before", "we die after"];
  }
  // These only help what comes later: an ADD goes on without them (ipam/stale.ts, host_local.ts).
  if (verb === "write" && /\/\.boots\/|\/last_reserved_ip\./.test(call)) {
    return ["killed half-way", "we die before", "we die after"];
  }
  if (["write", "create"].includes(verb)) {
    return ["refused", "disk full", "killed half-way", "we die before", "we die after"];
  }
  return faultKinds.filter((kind) => kind !== "disk full");
}

async function tryFault({ action, fault, ending }: Trial, dumps: Dumps): Promise<void> {
  const { next } = action;
  let fake = action.before.copy();
  fake.fail(fault);
  const told = await failureOf(() => action.act(fake.world));
  fake.fail(undefined);
  const error = fake.dead ? new Killed("our process was killed") : told;
  if (fake.dead) fake = fake.restart();
  const now = dumpOf(fake);
  checkOthers(action, dumps, now);
  if (error === undefined) checkSame(now, dumps.wanted, "it says that it is done");
  else checkFailed(action, dumps, { now, fault, error });
  const newcomer = await add(next, fake, now);
  if (error !== undefined || !action.takesAway) await ending.end(fake.world, fake);
  const missing = newcomer.lines.length > 0 ? missingFrom(newcomer.lines, dumpOf(fake)) : [];
  assert.deepEqual(missing, [], "ending it took what is another's");
  if (newcomer.refusal) await next.add(fake.world);
  await next.remove(fake.world);
  const counts = (line: string) => !ending.namespaceGone || !line.includes("/run/netns/box");
  checkSame(dumpOf(fake).filter(counts), dumps.end.filter(counts), "after all is ended");
}

async function failureOf(act: () => Promise<unknown>): Promise<Error | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Others' things are as they were, whether or not the action has succeeded. */
function checkOthers({ own }: Action, { before, end }: Dumps, now: readonly string[]): void {
  const there = new Set(end);
  const others = before.filter((line) => there.has(line) && !own?.test(line));
  assert.deepEqual(missingFrom(others, now), [], "it took what is another's");
}

function checkSame(now: readonly string[], wanted: readonly string[], when: string): void {
  const [lacks, more] = [missingFrom(wanted, now), missingFrom(now, wanted)];
  assert.deepEqual({ lacks, more }, { lacks: [], more: [] }, when);
}

interface Failed {
  readonly now: readonly string[];
  readonly fault: Fault;
  readonly error: Error;
}

/** All is as before, or there is a record; and the caller is told what was wrong. */
function checkFailed({ unrecorded }: Action, { end }: Dumps, { now, fault: { kind }, error }: Failed): void {
  const isTold = (line: string) => isBegun.test(line) || error instanceof Killed && isLease.test(line);
  const left = missingFrom(now, end).filter((line) => !isTold(line));
  if (!unrecorded && !now.some((line) => recordOf.test(line))) {
    assert.deepEqual(left, [], "nothing tells of what is left");
  }
  if (error instanceof Killed) return;
  assert.match(textOf(error), reasons[kind] ?? /./, "the error does not tell the reason");
}

/** All that a caller is told. */
export function textOf(error: unknown): string {
  return `${messageOf(error)} ${(error as { details?: string }).details ?? ""}`;
}

/** What is refused because another has it. */
export const refused = /has it|File exists|is attached already|it is attached by/;

/** Files that were only begun. */
const isBegun = /^file \S+\/\.[^/]+\.[0-9]+\.[0-9]+ /;

/** A reservation names its owner, which another ADD, DEL and gc find. */
const isLease = /^file \/var\/lib\/cni\/networks\/(\S+ 600 "c1|\.boots\/)/;

const recordOf = new RegExp(`^file (${state}/containers/c1/|/var/lib/cni/results/blue-c1-)`);

/** What an error says of each kind. */
const reasons: Partial<Record<FaultKind, RegExp>> = {
  refused: /resource busy|the kernel refuses it|i\/o error/i,
  "killed before": /signal|killed/,
  "killed after": /signal|killed/,
  "killed half-way": /signal|killed/,
  silent: /said nothing|status 1\b|i\/o error/,
  hangs: /signal|did not end/,
  "disk full": /no space left/,
};

interface Newcomer {
  /** Why it could not be attached. */
  readonly refusal?: Error;
  /** What is its own, as the machine shows it. */
  readonly lines: readonly string[];
}

/** Attaches another container: what it is given is used by no other. */
async function add(next: Action["next"], fake: Fake, before: readonly string[]): Promise<Newcomer> {
  // Of the free addresses the first is given: that which was given back last.
  for (const directory of [`${state}/networks`, "/var/lib/cni/networks"]) {
    [0, 1].forEach((i) => fake.tree.remove(`${directory}/blue/last_reserved_ip.${i}`));
  }
  const refusal = await failureOf(() => next.add(fake.world));
  if (refusal) {
    assert.match(textOf(refusal), refused, "another is refused");
    return { refusal, lines: [] };
  }
  const addresses = addressesIn(fake);
  const own = addresses.get("/run/netns/next") ?? [];
  const twice = [...addresses].filter(([name, list]) =>
    name !== "/run/netns/next" && list.some((ip) => own.includes(ip))
  );
  assert.deepEqual(twice, [], "it was given an address that is used");
  const isOwn = (line: string) => line.split(/[\s"]+/).some((word) => own.includes(word));
  const after = dumpOf(fake);
  return { lines: [...new Set([...missingFrom(after, before), ...after.filter(isOwn)])] };
}

/** The addresses in each namespace, but those of loopback links. */
function addressesIn(fake: Fake): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const line of fake.dump()) {
    const [, name, address, link] = /^(\S+): address (\S+)\/[0-9]+ dev (\S+)/.exec(line) ?? [];
    if (name !== undefined && link !== "lo") found.set(name, [...found.get(name) ?? [], address!]);
  }
  return found;
}
