import type { Result } from "../wire/cni/result.ts";
import type { Step } from "./step.ts";

/** The steps to do, and the result once they are done. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly result: Result;
}
