import type { Step } from "../../plan/step.ts";
import type { Rootfs } from "./file_mounts.ts";
import type { Namespace } from "../../engine/record.ts";
import type { ChosenNetwork } from "../networks/networks.ts";
import type { AttachOptions } from "./options.ts";

/** A container to attach. */
export interface Request {
  readonly id: string;
  /** Its runtime's id for it, where ours is another. */
  readonly runtimeId?: string;
  /** As it can be entered now. */
  readonly container: Namespace;
  /** As it will be known, if not by that. */
  readonly lasting?: Namespace;
  readonly options: AttachOptions;
  /** In place of the networks that the options names. */
  readonly networks?: readonly ChosenNetwork[];
  readonly rootfs?: Rootfs;
  /** IPv6 is off in it, or its runtime is going to switch it off. */
  readonly withoutIpv6?: "now" | "later";
  /** The container's host name, as its runtime is going to set it. */
  readonly hostname?: string;
  /** It is the user's session, on a host with this first port for ordinary users; the step, taken back last, ends it. */
  readonly session?: { readonly lowestPort: number; readonly ending: Step };
  /** Ends what may be left of what ran in it; it is taken back last. */
  readonly ending?: Step;
  /** Take down what is there under this id, instead of refusing. */
  readonly replace: boolean;
}
