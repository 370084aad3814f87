import { askAgent } from "../plan/ask_agent.ts";
import { type Batch, invocation, type Prefixes, stages } from "../plan/batch.ts";
import { listForwards, refusalIn, removeForward } from "../plan/hostfwd.ts";
import { tableOf } from "../plan/nft/element.ts";
import { undoCall } from "./plugin_calls.ts";
import {
  append,
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
import { readUndamagedFile, removeAbandoned } from "../plan/files.ts";
import { endedBy, type Output, whyFailed, type World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { endFlows } from "./conntrack.ts";
import { ownerIsAlive, readPids } from "./process.ts";

/** What `ip`, `tc`, iptables and firewall-cmd say of a thing that is gone already. */
const gone =
  /Cannot find device|No such (process|file or directory|device)|Cannot assign requested address|does not exist|Address not found|handle of zero|Invalid handle|Cannot find specified (qdisc|filter)|Invalid qdisc name|Parent Qdisc doesn't exist|We have an error talking to the kernel|does a matching rule exist|No chain\/target\/match|UNKNOWN_SOURCE|not running/;

/** What became of undoing steps. */
export interface Undone {
  /** A line each. */
  readonly problems: readonly string[];
  /** The steps that may still be done. */
  readonly left: ReadonlySet<Step>;
}

/** Steps that may still be done. */
interface Failed {
  /** "" for those whose thing was gone: that may come back where something else resisted. */
  readonly problem: string;
  readonly steps: readonly Step[];
}

/**
 * Undoes steps, last first. What is gone already is fine; what goes wrong is collected, and stops nothing but the giving
 * back of names: an address or a port is another's to take only once nothing uses it.
 * @param prefixes without a `container` when there is none any more: its side of the steps is left to its end.
 */
export async function undo(
  world: World,
  prefixes: Pick<Prefixes, "host"> & Partial<Prefixes>,
  steps: readonly Step[],
): Promise<Undone> {
  const failed: Failed[] = [];
  // A program that is ended forgets what it was asked for.
  const ended = new Set(
    steps.flatMap((step) => step.tool === "spawn" && step.undoBy !== "gc" ? step.cleanupPaths : []),
  );
  const remaining = steps.filter((step) => step.tool !== "send" || !ended.has(step.socket));
  const undoLane = async (lane: readonly Batch[]) => {
    for (const batch of [...lane].reverse()) {
      if (batch.on === "container" && prefixes.container === undefined) continue;
      const resisted = failed.some(isProblem);
      if (!isName(batch) || !resisted) {
        append(failed, await undoBatch(world, prefixes as Prefixes, batch));
      }
      // A name stays taken while anything may use it; and a program may have to be called again, once the rest is undone.
      if (resisted && (isName(batch) || batch.tool === "exec")) {
        failed.push({ problem: "", steps: batch.steps });
      }
    }
  };
  // A client that goes on sending is led anew at once: not by rules that are about to go.
  const areFlows = ({ tool }: Step) => tool === "conntrack";
  const [flows, others] = [
    stages(remaining.filter(areFlows)),
    stages(remaining.filter((step) => !areFlows(step))),
  ];
  for (const stage of [...flows, ...others].reverse()) await Promise.all(stage.map(undoLane));
  const problems = failed.filter(isProblem).map(({ problem }) => problem);
  return { problems, left: new Set(problems.length > 0 ? failed.flatMap(({ steps }) => steps) : []) };
}

/** What is another's to take once it is given back. */
function isName({ tool }: Batch): boolean {
  return tool === "claim" || tool === "call";
}

function isProblem({ problem }: Failed): boolean {
  return problem !== "";
}

async function undoBatch(world: World, prefixes: Prefixes, batch: Batch): Promise<readonly Failed[]> {
  try {
    return await undoEach(world, prefixes, batch);
  } catch (error) {
    return [{ problem: messageOf(error), steps: batch.steps }];
  }
}

async function undoEach(world: World, prefixes: Prefixes, batch: Batch): Promise<readonly Failed[]> {
  const steps = [...batch.steps].reverse();
  const step = steps[0]!;
  const failed = (problems: readonly string[]) =>
    problems.map((problem) => ({ problem, steps: batch.steps }));
  switch (step.tool) {
    case "claim":
      (steps as readonly Claim[]).forEach((claim) => undoClaim(world, claim));
      return [];
    case "exec":
      return failed(await undoExec(world, prefixes, step));
    case "spawn":
      return step.undoBy === "gc" ? [] : failed(await stop(world, step));
    case "send":
      return failed(await undoSend(world, step));
    case "conntrack":
      await endFlows(world, prefixes.host, batch.steps as readonly Flows[]).catch(() => {});
      return [];
    case "call":
      return failed(await undoCall(world, step));
    default:
      return await undoLines(world, prefixes, steps as readonly (Line | Sysctl)[]);
  }
}

/** Of a program that was ended by a signal, any line may be left. */
async function undoLines(
  world: World,
  prefixes: Prefixes,
  all: readonly (Line | Sysctl)[],
): Promise<readonly Failed[]> {
  const steps = all.filter(isUndoneByOwner);
  if (steps.length === 0) return [];
  const { argv, stdin } = invocation(steps, prefixes[steps[0]!.on], "undo");
  const output = await world.run(argv, { stdin });
  if (output.code === 0) return [];
  const ended = endedBy(output);
  if (ended !== undefined) return [{ problem: `Cannot undo "${show(steps.slice(0, 1))}": ${ended}`, steps }];
  return steps[0]!.tool === "nft"
    ? await undoRulesLeft(world, prefixes, steps as readonly Line[], output)
    : linesLeft(steps, output);
}

/**
 * `ip -force -batch` goes on after a line that fails, and names each: "Command failed -:3", after what is wrong with it.
 * One that failed without naming a line has told nothing: any line may be left.
 */
function linesLeft(steps: readonly (Line | Sysctl)[], output: Output): readonly Failed[] {
  const { code, stderr } = output;
  const lines = steps.filter(({ tool }) => tool !== "sysctl");
  const said = stderr.split("\n").filter((row) => row !== "");
  const failed: Failed[] = [];
  let words: string[] = [];
  for (const row of said) {
    const at = /^Command failed -:([0-9]+)/.exec(row)?.[1];
    if (at === undefined) words.push(row);
    else {
      const step = lines[Number(at) - 1];
      const what = step ? `Cannot do "${step.tool} ${step.undo}": ` : "";
      const problem = words.every((word) => gone.test(word)) ? "" : what + words.join(" ");
      failed.push({ problem, steps: step ? [step] : steps });
      words = [];
    }
  }
  // At a word that it cannot read `ip` ends, whatever it was told to do about errors.
  if (code === 255 || !words.every((word) => gone.test(word))) {
    failed.push({ problem: words.join(" "), steps });
  }
  if (said.length === 0 && lines.length > 0) {
    failed.push({ problem: `Cannot undo "${show(lines.slice(0, 1))}": ${whyFailed(output)}`, steps });
  }
  return failed;
}

/** What it takes back may be gone, and its program too. */
async function undoExec(world: World, prefixes: Prefixes, step: Exec): Promise<readonly string[]> {
  if (!step.undo) return [];
  const output = await world.run([...prefixes[step.on], ...step.undo]).catch(() => undefined);
  if (!output || output.code === 0 || step.onError === "ignore") return [];
  const words = output.stderr.split("\n").filter((row) => row !== "");
  if (words.length > 0 && words.every((word) => gone.test(word)) && endedBy(output) === undefined) return [];
  return [`Cannot undo "${show([step])}": ${whyFailed(output)}`];
}

async function undoRulesLeft(
  world: World,
  prefixes: Prefixes,
  steps: readonly Line[],
  output: Output,
): Promise<readonly Failed[]> {
  const { stderr } = output;
  const gone = stderr.includes("No such file or directory");
  if (steps.length === 1) {
    if (gone || stderr.includes("File exists")) return [];
    return [{ problem: whyFailed(output), steps }];
  }
  // One element fails the whole: that of a table that is gone, or one that leads to another container by now.
  const parts = gone ? byTable(steps) : steps.map((step) => [step]);
  if (parts.length === 1) return [];
  const problems: Failed[] = [];
  for (const part of parts) append(problems, await undoLines(world, prefixes, part));
  return problems;
}

function isUndoneByOwner({ undo, undoBy }: Line | Sysctl): boolean {
  return undo !== undefined && undoBy !== "gc";
}

function byTable(steps: readonly Line[]): readonly (readonly Line[])[] {
  return [...new Set(steps.map(tableOf))].map((table) => steps.filter((step) => tableOf(step) === table));
}

/** A service that does not answer has forgotten it, or undoes it by itself. */
async function undoSend(world: World, step: Send): Promise<readonly string[]> {
  const undo = step.undo ?? await removalOf(world, step);
  if (undo === undefined) return [];
  const problem = refusalIn(await askAgent(world, step.socket, undo, { timeoutSeconds: 10 }));
  return problem === undefined ? [] : [`Cannot take back "${show([step])}": ${problem}`];
}

async function removalOf(world: World, step: Send): Promise<string | undefined> {
  const list = await world.request(step.socket, listForwards, { looks: true, timeoutSeconds: 10 })
    .catch(() => undefined);
  return list === undefined ? undefined : removeForward(step, list);
}

/** Gives up a claim, if it is the owner's. */
export function undoClaim(world: World, { path, owner }: Claim): void {
  const directory = path.slice(0, path.lastIndexOf("/"));
  if (readUndamagedFile(world, path)?.trim() === owner) world.remove(path);
  world.removeEmpty(directory);
  // It has a directory of its own, where one that was killed may have left what it had begun.
  if (/\/owner$|\/ports\/[^/]+\/[^/]+\/[^/]+$/.test(path) && world.stat(directory)) {
    removeAbandoned(world, directory);
    world.removeEmpty(directory);
  }
  const ranges = /^.*\/ports\/\w+-ranges(?=\/)/.exec(directory)?.[0];
  if (ranges) world.removeEmpty(ranges);
}

/**
 * Ends a program we started, with the group of processes that its keeper leads. While one of ours is in the group, its
 * number cannot be another's.
 */
async function stop(world: World, step: Spawn): Promise<readonly string[]> {
  const { pidFile, cmdlineMarker, gracefulStop, cleanupPaths } = step;
  const pids = readPids(world, pidFile);
  const alive = () => pids.find((pid) => ownerIsAlive(world, pid, cmdlineMarker));
  const ended = gracefulStop && await endBy(world, "SIGTERM", pids, alive) ||
    await endBy(world, "SIGKILL", pids, alive);
  if (!ended) return [`Cannot end process ${alive()} (${cmdlineMarker}): it is still there after 2 s`];
  for (const path of cleanupPaths) {
    world.remove(path);
    world.removeEmpty(path.slice(0, path.lastIndexOf("/")));
  }
  return [];
}

async function endBy(
  world: World,
  signal: "SIGTERM" | "SIGKILL",
  pids: readonly number[],
  alive: () => number | undefined,
): Promise<boolean> {
  const pid = alive();
  if (pid === undefined) return true;
  // One that is only just being started leads no group yet.
  if (!world.signal(-pids[0]!, signal)) world.signal(pid, signal);
  for (let waited = 0; waited < 2000; waited += 5) {
    if (alive() === undefined) return true;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return false;
}
