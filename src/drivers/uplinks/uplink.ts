import type { Result } from "../../wire/cni/result.ts";
import type { Offer } from "../../wire/helper/wire.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { ResolvConf } from "../../net/resolv_conf.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Send, Step } from "../../plan/step.ts";
import type { Key, UplinkOptions } from "./options.ts";

/** A way to the world for containers whose user has no power over the host's links. */
export interface Uplink {
  /** Also the name of its program, unless root provides it. */
  readonly name: string;
  /** Whether root provides it on this host; absent: it is a program on PATH. */
  provided?(host: Host): boolean;
  /** The options it has. */
  readonly keys: readonly Key[];
  /** The oldest version that will do, as a text that sorts, and what is wrong with those before. */
  readonly oldest?: { readonly version: string; readonly why: string };
  /** Whether the container sees who connects from another host. */
  readonly keepsClientAddress: boolean;
  /** The one family that it publishes ports of, where that is not said. */
  readonly publishes?: 4;
  /** Why it cannot connect anything on such a host, or undefined when it can. */
  problem(host: Host, restricted: boolean, options: UplinkOptions): string | undefined;
  /** Why it may well fail all the same, so that it is taken only when it is asked for; absent: it does not. */
  doubt?(host: Host): string | undefined;
  /** Why a container would find no names by it, for whom no servers are asked for; absent: it finds them. */
  losesNames?(host: Host): string | undefined;
  /** Why a port cannot be published, or undefined when it can. */
  refusal(mapping: PortMapping, host: Host, restricted: boolean): string | undefined;
  /** Publishes a port of a container that runs; absent: it took its ports when it started. */
  publish?(running: Running, mapping: PortMapping): Send;
  /** Connects the container to the world, and its published ports to it. There must be no `problem` and no `refusal`. */
  connect(target: Target, options: UplinkOptions, ports: readonly PortMapping[]): Plan | Asked;
}

/** A container that has been connected: its id, the socket to ask the uplink through, and its address. */
export interface Running {
  readonly id: string;
  readonly socket: string;
  readonly guest: string;
}

/** A plan whose result somebody else decides on. */
export interface Asked {
  /** They are written down, and done, before anybody is asked. */
  readonly steps: readonly Step[];
  /** A socket that is asked, or a file that the steps leave. */
  readonly answer: { readonly socket: string; readonly request: string } | { readonly file: string };
  /** @param answer a file's is empty in a dry run @throws Error with the reason when it was refused */
  read(answer: string): Result;
}

/** What an uplink has to know of the host. */
export interface Host {
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean;
  /** Families in which the host has a default route. */
  readonly routes: { readonly 4: boolean; readonly 6: boolean };
  /** The first port that an ordinary user may listen on (net.ipv4.ip_unprivileged_port_start). */
  readonly lowestPort: number;
  /** What the host says about names that is true elsewhere, too. */
  readonly names?: ResolvConf;
  /** How the host itself finds names; absent: by IPv4. */
  readonly resolvers?: Resolvers;
  /** Root's service, where it listens for this user. */
  readonly service?: Service;
  /** lxc-user-nic, where it is installed. */
  readonly userNic?: UserNic;
}

/** The families of the host's name servers, and where its resolv.conf is, if that is beyond /etc and /run. */
export interface Resolvers {
  readonly families: { readonly 4: boolean; readonly 6: boolean };
  readonly stray?: string;
}

/** Root's service, and what it offers this user, or else why it does not answer. */
export interface Service {
  readonly socket: string;
  readonly offer: Offer | string;
}

/** lxc-user-nic, and what it may do for this user. */
export interface UserNic {
  /** Absolute path of the program. */
  readonly path: string;
  /** Why it cannot be used, whatever is granted. */
  readonly problem?: string;
  /** The user's name, by which root grants them something. */
  readonly user: string;
  /** The bridges that they are granted. */
  readonly bridges: readonly GrantedBridge[];
}

/** A bridge that is granted, whether it is there, and whether somebody on this host serves DHCP on it. */
export interface GrantedBridge {
  readonly name: string;
  readonly there: boolean;
  readonly servesDhcp: boolean;
}

/** A rootless container to connect. */
export interface Target extends Entrance {
  readonly host: Host;
  readonly id: string;
  /** Path of its network namespace, valid now. */
  readonly netns: string;
  readonly ifname: string;
  /** Path of a socket to ask the uplink through, shorter than 108 bytes. */
  readonly socket: string;
  /** No way out: only what is published, from outside. */
  readonly restricted: boolean;
}

/** How a program gets into a container, and is kept running as long as that is. */
export interface Entrance {
  /** A process in its namespaces, which may end before it, and whether it has a pid namespace of its own. */
  readonly pid: number;
  readonly ownPidNamespace: boolean;
  /** Its first process, which ends when it does, but may not be one that lets us in yet. */
  readonly init: number;
  /** A process in its namespaces that is there as long as it is. */
  readonly lasting: number;
  /** Words for nsenter that give power over its pid namespace. */
  readonly enter: readonly string[];
  /** Where process ids, logs and fifos go. */
  readonly directory: string;
  /** The command that starts it again, should it die before the container. */
  readonly again: readonly string[];
}
