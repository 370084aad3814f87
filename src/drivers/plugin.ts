import type { Fields } from "../wire/cni/fields.ts";
import type { Dns, Ip, Result, Route } from "../wire/cni/result.ts";
import type { Attachment } from "../plan/attachment.ts";
import type { Plan } from "../plan/plan.ts";
import type { HostState } from "../plan/host_state.ts";
import type { Claim, Step } from "../plan/step.ts";
import type { Output, World } from "../plan/world.ts";

/** The properties of the host that are looked up before a plugin plans. */
export interface Lookups {
  readonly links?: readonly string[];
  /** Names for which only the existence of a link matters. */
  readonly names?: readonly string[];
  /**
   * Bridges that we may have made, with the MAC address they then have. If it matches, the bridge is not looked up
   * further.
   */
  readonly ownBridges?: readonly { readonly name: string; readonly mac: string }[];
  readonly sysctls?: readonly string[];
  /** The link of the default route: it is also added to `links` under its name. */
  readonly defaultMaster?: boolean;
  /** Links that would ignore router advertisements if IPv6 forwarding were turned on. */
  readonly advertised?: boolean;
  /** Devices, by directory in /sys or by their link's MAC address. The link of each is also added to `links`. */
  readonly devices?: readonly string[];
  /** Files, by absolute path. */
  readonly files?: readonly string[];
  /** Addresses: the link of the route to each is looked up. */
  readonly reached?: readonly string[];
  /** The container's links, routes and rules. This takes a process. */
  readonly inside?: boolean;
  /** Sysctls of the container. They are read together with `inside`. */
  readonly insideSysctls?: readonly string[];
  /** Read-only commands to run on the host, as words separated by blanks. Each takes a process. */
  readonly answers?: readonly string[];
  /** Requests to the agent of an overlay (wire/overlay), sent over a socket. */
  readonly agent?: readonly string[];
}

/** The addresses from an IPAM type, and the claims that hold them. */
export interface Lease {
  readonly ips: readonly Ip[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
  readonly claims: readonly Claim[];
  /** Further steps; undoing them releases the addresses. */
  readonly steps?: readonly Step[];
  /** If an ADD fails: reverts side effects that are not in the claims. */
  readonly giveUp?: () => void;
}

/** A type that creates an interface. */
export interface Main<Conf> {
  /** The container's link existed before and is not ours to delete. */
  readonly keepsLink?: boolean;
  /** The container's link has no end on the host: it is on a link of the host's, or on none. */
  readonly apart?: "link" | "alone";
  /**
   * The host's link that links of several containers are on. Neither a rule of ours nor the kernel keeps one address from
   * two of them. Undefined if the link is in a container.
   */
  sharedLink?(conf: Conf, seen: HostState, before?: Result): string | undefined;
  /** It reads CNI_ARGS, so ADD refuses unknown keys in them. */
  readonly readsArgs?: true;
  parse(conf: Fields): Conf;
  /** @param made the result of other plugins, if they have run already */
  lookups(conf: Conf, at: Attachment, made?: Result): Lookups;
  /**
   * Plans the link, before the addresses are known.
   * @param before the result of the previous plugins in the chain, if any
   */
  link(conf: Conf, at: Attachment, seen: HostState, before?: Result): Plan;
  /** Plans the addresses. Not called if the configuration has no `ipam`. */
  address(conf: Conf, at: Attachment, lease: Lease, made: Result, seen: HostState): Plan;
  /** Steps whose undo reverts an ADD without a record, if the undo of ADD's current steps would not. */
  unrecorded?(at: Attachment, conf: Conf): readonly Step[];
  /**
   * Another program makes the link, and is asked for it once the addresses are known. The answers are added to the host's
   * state.
   * @throws Error if there is no link
   */
  ask?(conf: Conf, at: Attachment, lease: Lease, world: World): Promise<ReadonlyMap<string, string>>;
  /** Steps that only have an undo, which tells that program that the attachment is over. They are recorded first. */
  askSteps?(conf: Conf, at: Attachment): readonly Step[];
  /** The look-ups for `address`, once it has answered. */
  answerLookups?(conf: Conf, at: Attachment, answers: ReadonlyMap<string, string>): Lookups;
  /** The part of a result that lasts as long as the attachment; by default all of it. */
  lasting?(conf: Conf, made: Result, seen: HostState): Result;
  /** Look-ups for CHECK, in addition to those for ADD and the container's inside. */
  evidence?(conf: Conf, at: Attachment, made: Result): Lookups;
  /** What has changed since ADD, beside the lasting links, addresses and routes of its result, and our rules. */
  checkDrift?(conf: Conf, at: Attachment, made: Result, seen: HostState): string | undefined;
  /** Commands that must succeed in an empty network namespace. They test for programs and kernel features. */
  kernelProbe?(conf: Conf): readonly string[];
  /** @throws CniError if ADD would fail now because of the host's state */
  statusProblem?(conf: Conf, seen: HostState): void;
}

/** A type that changes what other plugins made. */
export interface Meta<Conf> {
  /** The oldest CNI version in which it can be used; by default all. */
  readonly since?: string;
  /** The error if no plugin came before; by default "must be called as chained plugin". */
  readonly unchained?: string;
  /** It reads CNI_ARGS, so ADD refuses unknown keys in them. */
  readonly readsArgs?: true;
  parse(conf: Fields): Conf;
  /** @param made the result of other plugins, if they have run already */
  lookups(conf: Conf, at: Attachment, made?: Result): Lookups;
  plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan;
  /** Steps whose undo reverts an ADD without a record, if the undo of ADD's current steps would not. */
  unrecorded?(conf: Conf, at: Attachment, made: Result, seen: HostState): readonly Step[];
  /** Look-ups for CHECK, in addition to those for ADD. */
  evidence?(conf: Conf, at: Attachment, made: Result): Lookups;
  /** What has changed since ADD, beside our rules. */
  checkDrift?(conf: Conf, at: Attachment, made: Result, seen: HostState): string | undefined;
  /** Commands that must succeed in an empty network namespace. They test for programs and kernel features. */
  kernelProbe?(conf: Conf): readonly string[];
  /** @throws CniError if ADD would fail now because of the host's state */
  statusProblem?(conf: Conf, seen: HostState): void;
}

/** A type that gives addresses: its own, or those of a server. */
export type Ipam<Conf> = LocalIpam<Conf> | LinkIpam<Conf>;

/** A type whose addresses are known before the link exists. */
export interface LocalIpam<Conf> {
  readonly kind: "local";
  /** It reserves nothing: two containers may be given one address. */
  readonly unreserved?: true;
  /** Another program gives the addresses, so what releases them is recorded before they are used. */
  readonly remote?: true;
  /** It reads CNI_ARGS, so ADD refuses unknown keys in them. */
  readonly readsArgs?: true;
  parse(conf: Fields): Conf;
  /** What has to be known before an address is taken. */
  prepare?(conf: Conf, at: Attachment, world: World): Promise<void>;
  /** It may have to be waited for. @throws CniError when none is free, or the one asked for is not. */
  lease(conf: Conf, at: Attachment, world: World): Lease | Promise<Lease>;
  /**
   * The reason why the attachment gets no address: it has one already. All addresses of the attachment are checked. It
   * is called only if the type is called by itself; otherwise an existing interface shows the same.
   */
  held?(conf: Conf, at: Attachment, world: World): string | undefined;
  /** Releases all addresses of the attachment. Absent: the type holds none. */
  release?(conf: Conf, at: Attachment, world: World): void;
  /** Releases addresses of the network that no attachment in `valid` holds. Each entry is `containerID ifname`. */
  collect?(conf: Conf, at: Attachment, valid: ReadonlySet<string>, world: World): void;
  /**
   * The reason why the attachment does not hold its addresses; undefined if it does.
   * @param made the result that CHECK was given, if any
   */
  checkDrift?(conf: Conf, at: Attachment, world: World, made: Result | undefined): string | undefined;
  /** The reason why no address is available now; undefined if one is. */
  exhausted?(conf: Conf, at: Attachment, world: World): string | undefined;
}

/**
 * A type that requests addresses through the link, which must exist first. It stores what it gets in a directory of the
 * attachment. Undoing its steps releases the addresses and removes the directory.
 */
export interface LinkIpam<Conf> {
  readonly kind: "link";
  parse(conf: Fields): Conf;
  /** The steps that request addresses, each with its undo. */
  requestSteps(conf: Conf, at: Attachment, directory: string): readonly Step[];
  /** The command that prints what the steps have received. */
  readCommand(directory: string): readonly string[];
  /**
   * Reads the lease.
   * @param said the output of that command; empty in a dry run, which sends no request
   * @throws CniError if there is no lease, or no usable one
   */
  readLease(conf: Conf, at: Attachment, said: Output): Lease;
  /** The reason why the attachment does not hold its addresses; undefined if it does. */
  checkDrift(conf: Conf, at: Attachment, directory: string, world: World): string | undefined;
  /** The reason why no request can be made now; undefined if one can. */
  exhausted(conf: Conf, at: Attachment, world: World): string | undefined;
}

/** A type that delegates to another type, whose configuration it writes. */
export interface Delegating<Conf> {
  parse(conf: Fields): Conf;
  delegateType(conf: Conf): string;
  /** The file from which the configuration is made. */
  source(conf: Conf): string;
  /** The file that keeps the configuration for DEL, because the source may be gone by then. */
  savedAs(conf: Conf, containerId: string): string;
  /** @param text the text of the source, if it exists */
  delegateConf(conf: Conf, text: string | undefined): Readonly<Record<string, unknown>>;
}
