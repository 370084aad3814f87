import type { Result } from "../../wire/cni/result.ts";
import type { Offer } from "../../wire/helper/wire.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { ResolvConf } from "../../net/resolv_conf.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Send, Step } from "../../plan/step.ts";
import type { Key, UplinkOptions } from "./options.ts";

/** A way to connect the container of a user who has no privileges over the host's links. */
export interface Uplink {
  /** The name; also that of its program, unless root provides it. */
  readonly name: string;
  /** Whether root provides it on this host. Absent: it is a program on PATH. */
  provided?(host: Host): boolean;
  /** The options that it supports. */
  readonly keys: readonly Key[];
  /** The oldest usable version, as a text that sorts, and the reason why older ones are not usable. */
  readonly oldest?: { readonly version: string; readonly why: string };
  /** Whether the container sees the address of a client on another host. */
  readonly keepsClientAddress: boolean;
  /** The family to which published ports are limited. Absent: both are supported. */
  readonly publishes?: 4;
  /** Its program sets the container's link lo up by itself. */
  readonly setsLoUp?: true;
  /** Settings for each container whose traffic it carries: its own, or those in a session. Absent: none. */
  readonly settings?: readonly Step[];
  /** The reason why it cannot connect any container on this host; undefined if it can. */
  problem(host: Host, restricted: boolean, options: UplinkOptions): string | undefined;
  /** The reason why it may fail although it can be tried. Then it is used only if requested. Absent: there is none. */
  doubt?(host: Host): string | undefined;
  /** The reason why DNS would not work in a container for which no name servers are given. Absent: DNS works. */
  losesNames?(host: Host): string | undefined;
  /**
   * The reason why a port cannot be published; undefined if it can.
   * @param others the ports that it publishes already
   */
  refusal(
    mapping: PortMapping,
    host: Host,
    restricted: boolean,
    others?: readonly PortMapping[],
  ): string | undefined;
  /** The reason why it cannot publish all of these ports together. Absent: it can. */
  tooMany?(ports: readonly PortMapping[]): string | undefined;
  /** Publishes a port of a running container. Absent: ports can be published only at start. */
  publish?(running: Running, mapping: PortMapping): Send;
  /** Connects the container and its published ports. Call it only if there is no `problem` and no `refusal`. */
  connect(target: Target, options: UplinkOptions, ports: readonly PortMapping[]): Plan | Asked;
}

/** A connected container: its id, the socket for requests to the uplink, and its address. */
export interface Running {
  readonly id: string;
  readonly socket: string;
  readonly guest: string;
}

/** A plan whose result is determined by another program. */
export interface Asked {
  /** The steps that are recorded and done before the result is requested. */
  readonly steps: readonly Step[];
  /** The source of the answer: a socket and a request, or a file that the steps write. */
  readonly answer: { readonly socket: string; readonly request: string } | { readonly file: string };
  /** Reads the answer. A file's is empty in a dry run. @throws Error with the reason of a refusal */
  read(answer: string): Result;
}

/** The properties of the host that uplinks depend on. */
export interface Host {
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean;
  /** The families in which the host has a default route. */
  readonly routes: { readonly 4: boolean; readonly 6: boolean };
  /** The lowest port that an ordinary user may listen on (net.ipv4.ip_unprivileged_port_start). */
  readonly lowestPort: number;
  /** Why no relay can run; absent if one can. */
  readonly relayProblem?: string;
  /** The host's DNS settings that are valid in a container too. */
  readonly names?: ResolvConf;
  /** The host's name servers; absent: they have IPv4 addresses. */
  readonly resolvers?: Resolvers;
  /** Root's service, if it listens for this user. */
  readonly service?: Service;
  /** lxc-user-nic, if it is installed. */
  readonly userNic?: UserNic;
}

/** The families of the host's name servers, and the path of its resolv.conf if that is outside /etc and /run. */
export interface Resolvers {
  readonly families: { readonly 4: boolean; readonly 6: boolean };
  readonly stray?: string;
}

/** Root's service: what it grants this user, or the reason why it does not answer. */
export interface Service {
  readonly socket: string;
  readonly offer: Offer | string;
}

/** lxc-user-nic, and what it grants this user. */
export interface UserNic {
  /** The absolute path of the program. */
  readonly path: string;
  /** The reason why it cannot be used, independent of grants. */
  readonly problem?: string;
  /** The user's name in root's grants. */
  readonly user: string;
  /** The bridges that are granted to the user. */
  readonly bridges: readonly GrantedBridge[];
}

/** A granted bridge, whether it exists, and whether a process on this host serves DHCP on it. */
export interface GrantedBridge {
  readonly name: string;
  readonly there: boolean;
  readonly servesDhcp: boolean;
}

/** A rootless container to connect. */
export interface Target extends Entrance {
  readonly host: Host;
  readonly id: string;
  /** The path of its network namespace, which exists now. */
  readonly netns: string;
  readonly ifname: string;
  /** The path of a socket for requests to the uplink, shorter than 108 bytes. */
  readonly socket: string;
  /** The container has no outgoing connections; published ports can be reached from outside. */
  readonly restricted: boolean;
}

/** How a program enters a container and is kept running as long as the container. */
export interface Entrance {
  /**
   * A process in its namespaces, which may end before the container. `ownPidNamespace`: the container has a pid
   * namespace of its own.
   */
  readonly pid: number;
  readonly ownPidNamespace: boolean;
  /** Its first process, which ends when the container does. Its namespaces may not be ready to be entered yet. */
  readonly init: number;
  /** A process in its namespaces that exists as long as the container. */
  readonly lasting: number;
  /** Words for nsenter that give privileges over its pid namespace. */
  readonly enter: readonly string[];
  /** The directory for pid files, logs and fifos. */
  readonly directory: string;
  /** The command that starts it again if it ends before the container. */
  readonly again: readonly string[];
}
