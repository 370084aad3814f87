import type { Destination } from "./egress.ts";

/** What a container may do, by rules in its own namespace. */
export interface Limits {
  /** Where it may go; everywhere, if that is not said. */
  readonly egress?: readonly Destination[];
  /** Bits a second that may enter, and leave, each of its interfaces. */
  readonly rateIn?: number;
  readonly rateOut?: number;
}
