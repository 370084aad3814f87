import { messageOf } from "../wire/cni/error.ts";
import { type Batch, invocation, type Prefixes, type Stage, stages } from "../plan/batch.ts";
import { refusalIn } from "../plan/hostfwd.ts";
import { baseTable, tableOf } from "../plan/nft.ts";
import { bridgeTable } from "../plan/nft_bridge.ts";
import {
  type Claim,
  type Exec,
  type Flows,
  type Line,
  type Send,
  show,
  type Spawn,
  type Step,
  type Sysctl,
} from "../plan/step.ts";
import { createWithDirectory, endedBy, type Output, whyFailed, type World } from "../plan/world.ts";
import { endFlows } from "./conntrack.ts";
import { passForwardPolicy } from "./forward_policy.ts";
import { undo } from "./undo.ts";

/** A step that could not be done, with what its tool said. */
export class StepError extends Error {
  readonly step: Step;
  readonly details: string;
  /** The tool did not end by itself, so it has not told how far it got. */
  readonly killed: boolean;

  constructor(step: Step, details: string, killed = false) {
    super(`Cannot do "${show([step])}"`);
    this.step = step;
    this.details = details.trim();
    this.killed = killed;
  }
}

/** Something failed, and what had been done by then could not all be undone. */
export class RollbackError extends Error {
  readonly first: unknown;
  readonly problems: readonly string[];
  /** The steps that may still be done. */
  readonly left: ReadonlySet<Step>;

  constructor(first: unknown, problems: readonly string[], left: ReadonlySet<Step> = new Set()) {
    super(problems.join("; "));
    this.first = first;
    this.problems = problems;
    this.left = left;
  }
}

/** Says of a step that failed what a person can act on. */
export function explain(error: unknown): unknown {
  if (error instanceof RollbackError) {
    const first = explain(error.first);
    return new Error(`${messageOf(first)}; then could not undo all: ${error.message}; ocinet gc tries again`);
  }
  return error instanceof StepError ? new Error(`${error.message}: ${error.details}`) : error;
}

/**
 * Does the steps; when one fails, takes back those that were done.
 * @throws StepError of the first step that failed, in a RollbackError if the taking back failed too
 */
export async function apply(world: World, prefixes: Prefixes, steps: readonly Step[]): Promise<void> {
  const done: Step[] = [];
  try {
    for (const stage of stages(steps)) await applyStage(world, prefixes, stage, done);
  } catch (error) {
    // Some steps only look, and take away at their undoing what another will have made by then.
    const some = steps.filter((step) => step.undoAlways === true || done.includes(step));
    throw await rollBack(world, prefixes, done.length === 0 ? [] : some, error);
  }
}

/** Takes back steps that were done before something failed. @returns the error, with what resisted */
export async function rollBack(
  world: World,
  prefixes: Prefixes,
  done: readonly Step[],
  error: unknown,
): Promise<unknown> {
  const { problems, left } = await undo(world, prefixes, done);
  return problems.length > 0 ? new RollbackError(error, problems, left) : error;
}

async function applyStage(world: World, prefixes: Prefixes, stage: Stage, done: Step[]): Promise<void> {
  const ends = await Promise.allSettled(stage.map(async (lane) => {
    for (const batch of lane) {
      try {
        await applyBatch(world, prefixes, batch, done);
      } catch (error) {
        if (mayBeHalfDone(batch, error)) done.push(...batch.steps.filter((step) => !done.includes(step)));
        throw error;
      }
    }
  }));
  const failed = ends.find((end) => end.status === "rejected");
  if (failed) throw failed.reason;
}

/**
 * Whether a batch that failed may have been done in part. nft does all or nothing, and a line of `ip`, a name or a
 * program's run that was refused made nothing; but a program that was killed, interrupted or never answered, and one
 * that was to stay, may have done anything.
 */
function mayBeHalfDone({ tool }: Batch, error: unknown): boolean {
  if (!(error instanceof StepError)) return tool !== "claim";
  return tool === "spawn" || error.killed;
}

async function applyBatch(world: World, prefixes: Prefixes, batch: Batch, done: Step[]): Promise<void> {
  const step = batch.steps[0]!;
  switch (step.tool) {
    case "ip":
    case "bridge":
    case "tc":
      return await applyLines(world, prefixes, batch.steps as readonly (Line | Sysctl)[], done);
    case "sysctl":
      if (batch.on === "container") {
        return await applyLines(world, prefixes, batch.steps as readonly Sysctl[], done);
      }
      (batch.steps as readonly Sysctl[]).forEach((sysctl) => writeSysctl(world, sysctl));
      break;
    case "nft":
      await applyRules(world, prefixes, batch.steps as readonly Line[]);
      break;
    case "claim":
      for (const claim of batch.steps as readonly Claim[]) {
        applyClaim(world, claim);
        done.push(claim);
      }
      return;
    case "exec":
      await applyExec(world, prefixes, step);
      break;
    case "spawn":
      await applySpawn(world, prefixes, step);
      break;
    case "send":
      await applySend(world, step);
      break;
    case "conntrack":
      await endFlows(world, prefixes.host, batch.steps as readonly Flows[]).catch(() => {});
      break;
  }
  done.push(...batch.steps);
}

async function applyLines(
  world: World,
  prefixes: Prefixes,
  steps: readonly (Line | Sysctl)[],
  done: Step[],
): Promise<void> {
  const { argv, stdin } = invocation(steps, prefixes[steps[0]!.on], "run");
  const output = await world.run(argv, { stdin });
  const { code, stderr } = output;
  if (code === 0) {
    done.push(...steps);
    return;
  }
  const lines = steps.filter((step) => step.tool !== "sysctl");
  const ended = endedBy(output);
  if (ended !== undefined) throw new StepError(lines[0] ?? steps[0]!, ended, true);
  const at = failedLine(stderr);
  const failed = lines[at];
  if (!failed) {
    // A line that `ip` cannot even read ends it without that: any of those before it may have been done.
    done.push(...steps);
    const wrong = /argument "([^"]+)" is wrong/.exec(stderr)?.[1];
    const read = lines.find(({ run }) => wrong !== undefined && run.split(" ").includes(wrong));
    throw new StepError(read ?? lines[0] ?? steps[0]!, whyFailed(output));
  }
  done.push(...steps.filter((step) => step.tool === "sysctl"), ...lines.slice(0, at));
  // Somebody made the same shared thing between our look and our line.
  const passedOver = failed.onError === "ignore" ||
    (failed.onError === "ignore-exists" && stderr.includes("File exists"));
  if (!passedOver) throw new StepError(failed, reason(stderr));
  if (at + 1 < lines.length) await applyLines(world, prefixes, lines.slice(at + 1), done);
}

/** `ip -batch` stops at the first bad line and names it: "Command failed -:3". */
function failedLine(stderr: string): number {
  return Number(/Command failed -:([0-9]+)/.exec(stderr)?.[1] ?? NaN) - 1;
}

function reason(stderr: string): string {
  return stderr.split("\n").filter((line) => !line.startsWith("Command failed")).join(" ").trim();
}

function writeSysctl(world: World, { key, value, onError }: Sysctl): void {
  try {
    world.put(`/proc/sys/${key}`, value);
  } catch (error) {
    if (onError !== "ignore") {
      throw new Error(`Cannot set sysctl "${key}" to ${value}: ${(error as Error).message}`);
    }
  }
}

async function applyRules(world: World, prefixes: Prefixes, steps: readonly Line[]): Promise<void> {
  const { argv, stdin } = invocation(steps, prefixes[steps[0]!.on], "run");
  const first = await world.run(argv, { stdin });
  if (first.code === 0) return;
  if (!first.stderr.includes("No such file or directory")) throw ruleError(steps, first, 0);
  await loadRules(world, steps, prefixes.host);
}

/** Adds elements with the tables they are in, which may be there. @throws StepError of the first that could not be added */
export async function loadRules(
  world: World,
  steps: readonly Line[],
  prefix: readonly string[] = [],
): Promise<void> {
  const { argv, stdin } = invocation(steps, prefix, "run");
  // Before the table, which says that it has been done.
  await passForwardPolicy(world, prefix);
  const tables = [
    baseTable,
    ...(steps.some((step) => tableOf(step) === "bridge ocinet") ? [bridgeTable] : []),
  ].join("");
  const loaded = await world.run(argv, { stdin: tables + stdin });
  if (loaded.code !== 0) throw ruleError(steps, loaded, tables.split("\n").length - 1);
}

/** nft names the place of an error: "/dev/stdin:1:40-49: Error: …". */
function ruleError(steps: readonly Line[], output: Output, before: number): StepError {
  const ended = endedBy(output);
  if (ended !== undefined) return new StepError(steps[0]!, ended, true);
  const { stderr } = output;
  const line = Number(/^[^:]*:([0-9]+):/.exec(stderr)?.[1] ?? NaN) - 1 - before;
  const what = /Error: (?:Could not process rule: )?(.*)/.exec(stderr)?.[1] ?? whyFailed(output);
  return new StepError(steps[line] ?? steps[0]!, what);
}

function applyClaim(world: World, step: Claim): void {
  if (world.read(step.path)?.trim() === step.owner) return;
  if (createWithDirectory(world, step.path, step.owner)) return;
  throw new StepError(step, `"${world.read(step.path)?.split(/\s/)[0]}" has it`);
}

async function applyExec(world: World, prefixes: Prefixes, step: Exec): Promise<void> {
  if (!step.run) return;
  try {
    const output = await world.run([...prefixes[step.on], ...step.run]);
    if (output.code !== 0 && step.onError !== "ignore") throw programError(step, output);
  } catch (error) {
    if (step.onError !== "ignore") throw error;
  }
}

async function applySpawn(world: World, prefixes: Prefixes, step: Spawn): Promise<void> {
  // crun runs its hooks with all signals blocked; what stays must not inherit that.
  const blocked = /^SigBlk:\s*0*[1-9a-f]/m.test(world.read("/proc/self/status") ?? "");
  const unblock = blocked ? ["env", "--default-signal"] : [];
  const output = await world.run([...prefixes.host, ...unblock, ...step.run]);
  if (output.code !== 0) throw programError(step, output);
}

function programError(step: Exec | Spawn, output: Output): StepError {
  return new StepError(step, whyFailed(output), endedBy(output) !== undefined);
}

async function applySend(world: World, step: Send): Promise<void> {
  if (step.run === undefined) return;
  const answer = await world.request(step.socket, step.run).catch((error) => {
    throw new StepError(step, messageOf(error), true);
  });
  const refusal = refusalIn(answer);
  if (refusal !== undefined) throw new StepError(step, refusal);
}
