import type { Link } from "../../plan/host_state.ts";
import type { Inside } from "../../plan/inside.ts";
import type { Step } from "../../plan/step.ts";
import type { Protocol } from "../../net/port_mapping.ts";
import type { Description } from "../container/describe.ts";
import type { Listener } from "../container/ports.ts";
import type { Finding } from "../doctor/finding.ts";

/** One check on the way, compared with what should be there. Its keys are stable: docs/usage.md. */
export interface Hop {
  /** What kind of thing: interface, address, route, neighbour, host link … */
  readonly layer: string;
  /** Which one, and where. */
  readonly at: string;
  readonly found: string;
  readonly expected: string;
  readonly ok: boolean;
  /** What to do about it; empty where it is right. */
  readonly remedy: string;
}

/** The target of a trace. */
export type Target =
  | { readonly kind: "world" }
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "container"; readonly id: string }
  | { readonly kind: "port"; readonly port: number; readonly protocol: Protocol };

/** The route that the kernel takes to an address. */
export interface Way {
  readonly dev?: string;
  readonly via?: string;
  /** `local` where it is an address of that namespace. */
  readonly type?: string;
  /** Why there is none. */
  readonly problem?: string;
}

/** Everything that was read about one container. */
export interface Side {
  readonly described: Description;
  /** The reason why its namespace was not entered. */
  readonly closed?: string;
  /** What is to be there, and what of it is missing (drift.ts). */
  readonly steps: readonly Step[];
  readonly missing: readonly Step[];
  readonly inside?: Inside;
  /** The host's links that it is connected by. */
  readonly links: ReadonlyMap<string, Link>;
  /** The host's links by which it reaches the container's addresses. */
  readonly reached: ReadonlyMap<string, string>;
  /** Its own route to the target. */
  readonly way?: Way;
  /** The state of the next hop's entry in its neighbour table; absent where it has none. */
  readonly neighbour?: string;
}

/** An entry of nft's maps of ports. */
export interface PortEntry {
  readonly set: string;
  readonly value?: string;
  readonly owner?: string;
}

/** What was looked at of a published port. */
export interface PortSeen {
  readonly entries: readonly PortEntry[];
  /** The programs that listen in the container; absent if that was not read. */
  readonly inside?: readonly Listener[];
  /** Programs of the host's that listen on it. */
  readonly onHost: readonly string[];
}

/** Everything that was read. */
export interface Seen {
  readonly target: Target;
  /** The address that the target has for the container; for the world, one that stands for it. */
  readonly address?: string;
  readonly from: Side;
  readonly to?: Side;
  /** The network that both containers are on. */
  readonly shared?: string;
  /** Whether the host's forwarding, and the chains for it, have a say. */
  readonly forwarded: boolean;
  /** Our chains that have no rule. */
  readonly emptyChains: readonly string[];
  /** Forwarding's sysctls, by path below /proc/sys, that have a say. */
  readonly switches: ReadonlyMap<string, string>;
  readonly forward: readonly Finding[];
  /** The host's route to the target, and the link that it leads by. */
  readonly hostWay?: Way;
  readonly hostLink?: Link;
  readonly port?: PortSeen;
  readonly nameServers: readonly string[];
}
