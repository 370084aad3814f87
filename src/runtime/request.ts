import type { Step } from "../plan/step.ts";
import type { Rootfs } from "./file_mounts.ts";
import type { Container } from "./journal.ts";
import type { ChosenNetwork } from "./networks.ts";
import type { Wish } from "./wish.ts";

/** A container to attach. */
export interface Request {
  readonly id: string;
  /** As it can be entered now. */
  readonly container: Container;
  /** As it will be known, if not by that. */
  readonly lasting?: Container;
  readonly wish: Wish;
  /** In place of the networks that the wish names. */
  readonly networks?: readonly ChosenNetwork[];
  readonly rootfs?: Rootfs;
  /** It is the user's session, on a host with this first port for ordinary users; the step, taken back last, ends it. */
  readonly session?: { readonly lowestPort: number; readonly ending: Step };
  /** Ends what may be left of what ran in it; it is taken back last. */
  readonly ending?: Step;
  /** Take down what is there under this id, instead of refusing. */
  readonly replace: boolean;
}
