import type { Fields } from "../wire/cni/fields.ts";
import type { Dns, Ip, Result, Route } from "../wire/cni/result.ts";
import type { Attachment } from "../plan/attachment.ts";
import type { Plan } from "../plan/plan.ts";
import type { HostState } from "../plan/host_state.ts";
import type { Claim, Step } from "../plan/step.ts";
import type { Output, World } from "../plan/world.ts";

/** What to look up of the host before a plugin plans. */
export interface Lookups {
  readonly links?: readonly string[];
  /** Names of which it matters only whether a link has them. */
  readonly names?: readonly string[];
  /** Bridges that we may have made, by name and the MAC address that they then have: one that we did is not asked of. */
  readonly ownBridges?: readonly { readonly name: string; readonly mac: string }[];
  readonly sysctls?: readonly string[];
  /** The default route's link, as if it were one of `links`, and its name. */
  readonly defaultMaster?: boolean;
  /** Links that would lose what routers tell them, were IPv6's forwarding turned on. */
  readonly advertised?: boolean;
  /** Devices, each by its directory in /sys or its link's MAC address; the link of each is one of `links`, too. */
  readonly devices?: readonly string[];
  /** Files, by absolute path. */
  readonly files?: readonly string[];
  /** Addresses, for the link that each is reached by. */
  readonly reached?: readonly string[];
  /** The container's links, routes and rules: a look that takes a process. */
  readonly inside?: boolean;
  /** Sysctls of the container, which are seen with its inside. */
  readonly insideSysctls?: readonly string[];
  /** Commands for the host that only look, as words with a blank between them. Each takes a process. */
  readonly answers?: readonly string[];
  /** Requests to the agent of an overlay (wire/overlay), which is asked over a socket. */
  readonly agent?: readonly string[];
}

/** Addresses that an IPAM type gives, and the claims by which it holds them. */
export interface Lease {
  readonly ips: readonly Ip[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
  readonly claims: readonly Claim[];
  /** Other steps by whose undoing they are given back. */
  readonly steps?: readonly Step[];
  /** Takes back what getting them changed beside the claims, where an ADD fails. */
  readonly giveUp?: () => void;
}

/** A type that makes an interface. */
export interface Main<Conf> {
  /** The container's link is not ours to delete: it was there before. */
  readonly keepsLink?: boolean;
  /** It reads CNI_ARGS, and so ADD refuses what nobody knows in them. */
  readonly readsArgs?: true;
  parse(conf: Fields): Conf;
  /** @param made what others made, where they have made it already */
  lookups(conf: Conf, at: Attachment, made?: Result): Lookups;
  /** Before there is an address. @param before what others in the chain made, or will have made, if there are any */
  link(conf: Conf, at: Attachment, seen: HostState, before?: Result): Plan;
  /** Once there is one; not called where the configuration has no `ipam`. */
  address(conf: Conf, at: Attachment, lease: Lease, made: Result, seen: HostState): Plan;
  /** Steps whose undoing takes back an ADD of which nothing is written down, where those of ADD now would not. */
  unrecorded?(at: Attachment, conf: Conf): readonly Step[];
  /** That of a result which lasts as long as the attachment; all of it, unless told. */
  lasting?(conf: Conf, made: Result, seen: HostState): Result;
  /** What CHECK has to see, beside what ADD has and the container's inside. */
  evidence?(conf: Conf, at: Attachment, made: Result): Lookups;
  /** What is no longer as ADD left it, beside the lasting links, addresses and routes of its result, and our rules. */
  checkDrift?(conf: Conf, at: Attachment, made: Result, seen: HostState): string | undefined;
  /** Commands that have to be possible, of programs and of the kernel, tried in an empty network namespace. */
  kernelProbe?(conf: Conf): readonly string[];
  /** @throws CniError for what of the host ADD would refuse now */
  statusProblem?(conf: Conf, seen: HostState): void;
}

/** A type that changes what others made. */
export interface Meta<Conf> {
  /** The oldest version of CNI that it can be used in; every one, unless told. */
  readonly since?: string;
  /** What to say where there are no others; "must be called as chained plugin" unless told. */
  readonly unchained?: string;
  /** It reads CNI_ARGS, and so ADD refuses what nobody knows in them. */
  readonly readsArgs?: true;
  parse(conf: Fields): Conf;
  /** @param made what others made, where they have made it already */
  lookups(conf: Conf, at: Attachment, made?: Result): Lookups;
  plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan;
  /** Steps whose undoing takes back an ADD of which nothing is written down, where those of ADD now would not. */
  unrecorded?(conf: Conf, at: Attachment, made: Result, seen: HostState): readonly Step[];
  /** What CHECK has to see, beside what ADD has. */
  evidence?(conf: Conf, at: Attachment, made: Result): Lookups;
  /** What is no longer as ADD left it, beside our rules. */
  checkDrift?(conf: Conf, at: Attachment, made: Result, seen: HostState): string | undefined;
  /** Commands that have to be possible, of programs and of the kernel, tried in an empty network namespace. */
  kernelProbe?(conf: Conf): readonly string[];
  /** @throws CniError for what of the host ADD would refuse now */
  statusProblem?(conf: Conf, seen: HostState): void;
}

/** A type that gives addresses: its own, or such as it has to ask somebody for. */
export type Ipam<Conf> = LocalIpam<Conf> | LinkIpam<Conf>;

/** A type whose addresses are there before the link is. */
export interface LocalIpam<Conf> {
  readonly kind: "local";
  /** It reads CNI_ARGS, and so ADD refuses what nobody knows in them. */
  readonly readsArgs?: true;
  parse(conf: Fields): Conf;
  /** What has to be known before an address is taken. */
  prepare?(conf: Conf, at: Attachment, world: World): Promise<void>;
  /** It may have to be waited for. @throws CniError when none is free, or the one asked for is not. */
  lease(conf: Conf, at: Attachment, world: World): Lease | Promise<Lease>;
  /**
   * Why the attachment is given no address, if it has one already; all that are given are looked at. Where it is not
   * asked, because the type is not called by itself, the interface that is there speaks for it.
   */
  held?(conf: Conf, at: Attachment, world: World): string | undefined;
  /** Gives back all that the attachment holds, without knowing what that is. Without it, nothing is held. */
  release?(conf: Conf, at: Attachment, world: World): void;
  /** Gives back what no attachment of the network in `valid` holds; each is `containerID ifname`. */
  collect?(conf: Conf, at: Attachment, valid: ReadonlySet<string>, world: World): void;
  /**
   * Why the attachment does not hold its addresses (any more), or undefined when it does.
   * @param made the result that CHECK was given, if it was given one
   */
  checkDrift?(conf: Conf, at: Attachment, world: World, made: Result | undefined): string | undefined;
  /** Why no address can be had now, or undefined when one can. */
  exhausted?(conf: Conf, at: Attachment, world: World): string | undefined;
}

/**
 * A type that asks through the link, which has to be there first. What it learns it keeps in a directory of the
 * attachment's own; undoing its steps gives back what it holds, and takes the directory away.
 */
export interface LinkIpam<Conf> {
  readonly kind: "link";
  parse(conf: Fields): Conf;
  /** The steps that ask, each with its undoing. */
  requestSteps(conf: Conf, at: Attachment, directory: string): readonly Step[];
  /** The program that tells what the steps have learnt. */
  readCommand(directory: string): readonly string[];
  /**
   * @param said what that program left; in a dry run, in which nobody is asked, it says nothing
   * @throws CniError when nothing was learnt, or nothing that can be used
   */
  readLease(conf: Conf, at: Attachment, said: Output): Lease;
  /** Why the attachment does not hold its addresses (any more), or undefined when it does. */
  checkDrift(conf: Conf, at: Attachment, directory: string, world: World): string | undefined;
  /** Why nobody can be asked now, or undefined when somebody can. */
  exhausted(conf: Conf, at: Attachment, world: World): string | undefined;
}

/** A type that leaves its work to another, whose configuration it writes. */
export interface Delegating<Conf> {
  parse(conf: Fields): Conf;
  delegateType(conf: Conf): string;
  /** The file that the configuration is written from. */
  source(conf: Conf): string;
  /** Where it is kept for DEL, when what it was written from may be gone. */
  savedAs(conf: Conf, containerId: string): string;
  /** @param text what is in the source, if it is there */
  delegateConf(conf: Conf, text: string | undefined): Readonly<Record<string, unknown>>;
}
