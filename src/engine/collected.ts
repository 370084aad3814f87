/** A container whose state is to go, and why. */
export interface Stale {
  readonly id: string;
  readonly reason: string;
}

/** Those that are gone, and what went wrong with others. */
export interface Collected {
  readonly collected: readonly Stale[];
  readonly problems: readonly string[];
}
