/** What a step fails with. */
import { showElementStep } from "../plan/nft/ports.ts";
import { show, type Step } from "../plan/step.ts";
import { messageOf } from "../wire/cni/error.ts";
import { toolProblem } from "./tool_problem.ts";

/** A step that failed, with the output of its tool. */
export class StepError extends Error {
  readonly step: Step;
  readonly details: string;
  /** The tool was killed, so it is unknown how much it did. */
  readonly killed: boolean;

  constructor(step: Step, details: string, killed = false) {
    super(`Cannot do "${show([step])}"`);
    this.step = step;
    this.details = details.trim();
    this.killed = killed;
  }
}

/** Another container has the address or the port. */
export class TakenError extends StepError {
  constructor(step: Step, id: string) {
    const what = step.tool === "claim"
      ? `use address ${/[^ ]+(?=\/owner$)/.exec(step.path)}`
      : showElementStep(step);
    const remedy = what.startsWith("use") ? "; choose another, or end that container" : "";
    super(step, `container "${id}" has it${remedy}`);
    this.name = "TakenError";
    this.message = `Cannot ${what}`;
  }
}

/** A step failed, and not all done steps could be undone. */
export class RollbackError extends Error {
  readonly first: unknown;
  readonly problems: readonly string[];
  /** The steps that may still be in effect. */
  readonly left: ReadonlySet<Step>;

  constructor(first: unknown, problems: readonly string[], left: ReadonlySet<Step> = new Set()) {
    super(problems.join("; "));
    this.first = first;
    this.problems = problems;
    this.left = left;
  }
}

/** Whether a link could not be made in the container, by us or by its uplink's program. */
export function isOfLinks(error: unknown): boolean {
  return error instanceof StepError && !(error instanceof TakenError) &&
    (error.step.on === "container" || error.step.tool === "spawn" || error.step.tool === "ip");
}

/** Adds to a failed step's error what the user can do about it. */
export function explain(error: unknown): unknown {
  if (error instanceof RollbackError) {
    const first = explain(error.first);
    return new Error(`${messageOf(first)}; then could not undo all: ${error.message}; ocinet gc tries again`);
  }
  if (!(error instanceof StepError)) return error;
  return new Error(toolProblem(error.message, error.details) ?? `${error.message}: ${error.details}`);
}
