import type { Inside } from "./inside.ts";

/** A link as the kernel reports it. */
export interface Link {
  /** The kernel's name. The plugin may have asked for one of the alternative names. */
  readonly name: string;
  readonly altNames?: readonly string[];
  readonly index: number;
  /** Lower case, e.g. `02:00:5e:10:00:00`; empty for a link without a MAC address. */
  readonly mac: string;
  readonly mtu: number;
  /** `bridge`, `vlan`, …; "" for a hardware link, or if the kernel reports none. */
  readonly kind: string;
  /** The ifalias; empty without one. Shared links that we made have the alias `ownAlias`. */
  readonly alias?: string;
  /** Addresses with prefix lengths, without those of link scope; absent if they were not looked up. */
  readonly addresses?: readonly string[];
  /** The name of its master, e.g. of the bridge that it is a port of. */
  readonly master?: string;
  /** It is set up (IFF_UP), with or without a carrier. */
  readonly up?: boolean;
  /** It is in promiscuous mode. */
  readonly promiscuous?: boolean;
  /** It accepts all multicast frames. */
  readonly allMulticast?: boolean;
  /** The transmit queue length in packets. */
  readonly queueLength?: number;
  /** DEVTYPE in its uevent in /sys; "" for links without one, such as a veth. */
  readonly deviceType?: string;
  /** The ifindex of a veth's peer, or of the link below it. */
  readonly lower?: number;
  /** The hardware device behind it, as /sys names it, and the device's port. */
  readonly device?: { readonly name: string; readonly port: string };
  /**
   * It is a bridge whose MAC address was never set. The kernel then copies one of a port, and changes it as ports come
   * and go.
   */
  readonly floatingMac?: true;
  /** Of a bridge: whether it filters VLANs, and the default VLAN of its ports; 0 for none. */
  readonly vlans?: { readonly filtering: boolean; readonly default: number };
  /** Its settings as a bridge port. */
  readonly port?: PortFlags;
  /** It is hardware: the kernel moves it to the initial network namespace when its current one ends. */
  readonly hardware?: boolean;
}

/** What a port of a bridge has on, and loses when it leaves the bridge. */
export interface PortFlags {
  readonly hairpin: boolean;
  readonly isolated: boolean;
  /** Where `ip` tells. */
  readonly learning?: boolean;
}

/** A hardware device. */
export interface Device {
  /** The name of its first link. */
  readonly link?: string;
  /** e.g. `e1000e`. */
  readonly driver?: string;
}

/** The host's state that was looked up before planning. It has only what the plugins asked for and what exists. */
export interface HostState {
  /** The links, by the names that were asked for. */
  readonly links: ReadonlyMap<string, Link>;
  /** The asked-for names that are in use by links. */
  readonly names?: ReadonlySet<string>;
  /** The link of the host's first default route, if there is one. */
  readonly defaultLink?: string;
  /**
   * Links that have an IPv6 default route and accept router advertisements only while the host does not forward IPv6.
   */
  readonly advertised?: readonly string[];
  /** Lists the names of all links, which only a host needs that does not forward a family yet. */
  readonly unforwarded?: () => readonly string[];
  /** The devices that exist, by the key that was asked for. */
  readonly devices?: ReadonlyMap<string, Device>;
  /** The values of sysctls, by path below /proc/sys. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** The contents of files that exist, by path. */
  readonly files?: ReadonlyMap<string, string>;
  /** For each address that was asked for: the name of the link that the route to it uses. */
  readonly reached?: ReadonlyMap<string, string>;
  /** The output of commands, by command. */
  readonly answers?: ReadonlyMap<string, string>;
  /** The container's side. Absent if it was not asked for, or if the namespace is gone. */
  readonly inside?: Inside;
}
