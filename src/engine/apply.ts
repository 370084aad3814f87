import { type Batch, invocation, type Prefixes, type Stage, stages } from "../plan/batch.ts";
import { createWithDirectory } from "../plan/files.ts";
import { refusalIn } from "../plan/hostfwd.ts";
import {
  append,
  type Claim,
  type Exec,
  type Flows,
  type Line,
  type Send,
  type Spawn,
  type Step,
  type Sysctl,
} from "../plan/step.ts";
import { endedBy, type Output, whyFailed, type World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { applyRules } from "./apply_rules.ts";
import { endFlows } from "./conntrack.ts";
import { applyCall } from "./plugin_calls.ts";
import { programRuns } from "./process.ts";
import { RollbackError, StepError, TakenError } from "./step_error.ts";
import { claimHolder, linkTaken, routeTaken } from "./taken.ts";
import { undo } from "./undo.ts";

/**
 * Does the steps. If one fails, those that were done are undone.
 * @throws StepError of the first step that failed, inside a RollbackError if undoing failed too
 */
export async function apply(world: World, prefixes: Prefixes, steps: readonly Step[]): Promise<void> {
  const done: Step[] = [];
  try {
    for (const stage of stages(steps)) await applyStage(world, prefixes, stage, done);
  } catch (error) {
    // Steps with `undoAlways` do nothing themselves. Their undo also covers changes of later steps.
    const some = steps.filter((step) => step.undoAlways === true || done.includes(step));
    throw await rollBack(world, prefixes, done.length === 0 ? [] : some, error);
  }
}

/** Undoes steps that were done before an error. @returns the error, with the problems of undoing */
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
  const lanes = stage.map(async (lane) => {
    for (const batch of lane) {
      try {
        await applyBatch(world, prefixes, batch, done);
      } catch (error) {
        if (mayBeHalfDone(batch, error)) {
          const known = new Set(done);
          append(done, batch.steps.filter((step) => !known.has(step)));
        }
        throw error;
      }
    }
  });
  // While the host's programs run, one enters the container.
  const entersLater = stage.some((lane) => lane.findIndex(({ on }) => on === "container") > 0);
  const release = entersLater ? world.prepare(prefixes.container, { enters: true }) : undefined;
  const ends = await Promise.allSettled(lanes);
  release?.();
  const failed = ends.find((end) => end.status === "rejected");
  if (failed) throw failed.reason;
}

/**
 * Whether a failed batch may have taken effect in part. nft does all or nothing. A refused line of `ip`, claim or
 * program has no effect. But any effect is possible if the tool was killed, interrupted or did not answer, or if the
 * program was to keep running.
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
      return await applyRules(world, prefixes[batch.on], batch.steps as readonly Line[], done);
    case "claim":
      for (const claim of batch.steps as readonly Claim[]) {
        await applyClaim(world, claim);
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
    case "call":
      await applyCall(world, step);
      break;
  }
  append(done, batch.steps);
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
    append(done, steps);
    return;
  }
  const lines = steps.filter((step) => step.tool !== "sysctl");
  const ended = endedBy(output);
  if (ended !== undefined) throw new StepError(lines[0] ?? steps[0]!, ended, true);
  const key = /^sysctl .(.+)$/m.exec(stderr)?.[1];
  const sysctl = steps.find((step) => step.tool === "sysctl" && step.key === key);
  if (sysctl) {
    append(done, steps);
    const reason = /^sh: .*can(no|')t create/.test(stderr)
      ? "the kernel has no such setting"
      : "the kernel refuses it";
    throw new StepError(sysctl, `${reason} (${stderr.split("\n")[0]})`);
  }
  const at = failedLine(stderr);
  const failed = lines[at];
  if (!failed) {
    // A line that `ip` cannot parse ends it without a line number: any line before it may have been done.
    append(done, steps);
    const wrong = /(?:argument|rather than) "([^"]+)"/.exec(stderr)?.[1];
    const read = lines.find(({ run }) => wrong !== undefined && run.split(" ").includes(wrong));
    throw new StepError(read ?? lines[0] ?? steps[0]!, whyFailed(output));
  }
  append(done, [...steps.filter((step) => step.tool === "sysctl"), ...lines.slice(0, at)]);
  // Another process made the same shared thing between our look-up and this line.
  const exists = stderr.includes("File exists");
  const passedOver = failed.onError === "ignore" || (failed.onError === "ignore-exists" && exists);
  if (!passedOver) {
    const taken = exists ? await routeTaken(world, prefixes[failed.on], failed) : undefined;
    const other = taken ?? await linkTaken(world, prefixes, failed, stderr);
    throw other ?? new StepError(failed, reason(stderr));
  }
  if (at + 1 < lines.length) await applyLines(world, prefixes, lines.slice(at + 1), done);
}

/** `ip -batch` stops at the first bad line and names its number: "Command failed -:3". */
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

async function applyClaim(world: World, step: Claim): Promise<void> {
  const { path, owner } = step;
  if (world.read(path)?.trim() === owner || createWithDirectory(world, path, owner)) return;
  // Others have been taken before the plan.
  const holder = path.endsWith("/owner") ? await claimHolder(world, path) : "?";
  if (holder === undefined && createWithDirectory(world, path, owner)) return;
  throw new TakenError(step, holder ?? "?");
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
  // Several containers share it. If it is about to end, the request to it starts it again (dns_driver.ts).
  if (step.undoBy === "gc" && programRuns(world, step)) return;
  // crun runs hooks with all signals blocked. A program that keeps running must not inherit that.
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
