import type { Destination } from "./egress.ts";

/** Limits on a container's traffic. Rules in its own namespace enforce them. */
export interface Limits {
  /** The allowed destinations. Without this, every destination is allowed. */
  readonly egress?: readonly Destination[];
  /** The limits in bits per second for traffic into and out of each of its interfaces. */
  readonly rateIn?: number;
  readonly rateOut?: number;
}
