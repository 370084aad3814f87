import type { Result } from "../wire/cni/result.ts";
import type { Step } from "./step.ts";

/** What to do, and what will be true once it is done. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly result: Result;
}
