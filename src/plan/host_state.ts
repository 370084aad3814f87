import type { Inside } from "./inside.ts";

/** A link as the kernel shows it. */
export interface Link {
  /** The kernel's own; what was asked for may be one of the alternative names. */
  readonly name: string;
  readonly altNames?: readonly string[];
  readonly index: number;
  /** Lower case, e.g. `02:00:5e:10:00:00`; empty for a link without one. */
  readonly mac: string;
  readonly mtu: number;
  /** `bridge`, `vlan`, …; "" for a hardware link or where the kernel gives none away. */
  readonly kind: string;
  /** e.g. that by which shared links are known that we made; empty without one. */
  readonly alias?: string;
  /** Addresses with prefix lengths, those of link scope left out; absent where they were not looked at. */
  readonly addresses?: readonly string[];
  /** The link that it is a port of. */
  readonly master?: string;
  /** Set up by somebody, whether or not anything is at its other end. */
  readonly up?: boolean;
  /** It takes frames that are not for it, too. */
  readonly promiscuous?: boolean;
  /** It takes all frames for groups. */
  readonly allMulticast?: boolean;
  /** In packets. */
  readonly queueLength?: number;
  /** DEVTYPE of its uevent in /sys: "" for a veth, and for others that have none. */
  readonly deviceType?: string;
  /** The index of a veth's other end, or of the link that it stands on. */
  readonly lower?: number;
  /** The piece of hardware that it is of, as /sys leads to it, and which of its ports. */
  readonly device?: { readonly name: string; readonly port: string };
  /** It is a bridge whose address was never set: it takes one of its ports', and changes as these come and go. */
  readonly floatingMac?: true;
  /** Of a bridge: whether it tells VLANs apart, and that of a port which is in no other; 0 for none. */
  readonly vlans?: { readonly filtering: boolean; readonly default: number };
  /** How it is a port of a bridge. */
  readonly port?: { readonly hairpin: boolean; readonly isolated: boolean };
  /** A piece of hardware: the kernel gives it back to the first network namespace when the one it is in ends. */
  readonly hardware?: boolean;
}

/** A device behind links. */
export interface Device {
  /** The name of its first link. */
  readonly link?: string;
  /** e.g. `e1000e`. */
  readonly driver?: string;
}

/** What was looked up of the host before planning: only the links a plugin asked for, and those that are there. */
export interface HostState {
  /** By the names that they were asked for with. */
  readonly links: ReadonlyMap<string, Link>;
  /** Of names that were asked for, those that links have. */
  readonly names?: ReadonlySet<string>;
  /** The link of the host's first default route, if it has one. */
  readonly defaultLink?: string;
  /** Links with an IPv6 default route that take router advertisements only while the host does not forward IPv6. */
  readonly advertised?: readonly string[];
  /** The names of all links, where those were asked for, and IPv4 or IPv6 is not forwarded yet. */
  readonly unforwarded?: readonly string[];
  /** The devices that are there, by what they were asked for with. */
  readonly devices?: ReadonlyMap<string, Device>;
  /** Sysctls that were asked for, by path below /proc/sys. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** Files that were asked for and are there, by path. */
  readonly files?: ReadonlyMap<string, string>;
  /** The names of the links by which addresses that were asked for are reached. */
  readonly reached?: ReadonlyMap<string, string>;
  /** What commands that were asked for printed. */
  readonly answers?: ReadonlyMap<string, string>;
  /** The container's side, where somebody asked for it and it is still there. */
  readonly inside?: Inside;
}
