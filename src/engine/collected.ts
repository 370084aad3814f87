/** A container whose state is to be removed, and the reason. */
export interface Stale {
  readonly id: string;
  readonly reason: string;
}

/** The removed ones, and the problems with others. */
export interface Collected {
  readonly collected: readonly Stale[];
  readonly problems: readonly string[];
}
