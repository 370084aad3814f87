import { atLeast, oldestVersion, versions } from "../wire/cni/result.ts";
import * as cluster from "./ipam/cluster.ts";
import * as dockerIpam from "./ipam/docker_ipam.ts";
import * as dhcp from "./ipam/dhcp.ts";
import * as hostLocal from "./ipam/host_local.ts";
import * as statik from "./ipam/static.ts";
import * as bridge from "./main/bridge.ts";
import * as dockerNetwork from "./main/docker_network.ts";
import * as dummy from "./main/dummy.ts";
import * as hostDevice from "./main/host_device.ts";
import * as ipvlan from "./main/ipvlan.ts";
import * as loopback from "./main/loopback.ts";
import * as macvlan from "./main/macvlan.ts";
import * as overlay from "./main/overlay.ts";
import * as ptp from "./main/ptp.ts";
import * as tap from "./main/tap.ts";
import * as vlan from "./main/vlan.ts";
import * as bandwidth from "./meta/bandwidth.ts";
import * as firewall from "./meta/firewall.ts";
import * as flannel from "./meta/flannel.ts";
import * as portmap from "./meta/portmap.ts";
import * as sbr from "./meta/sbr.ts";
import * as tuning from "./meta/tuning.ts";
import * as vrf from "./meta/vrf.ts";
import type { Delegating, Ipam, Main, Meta } from "./plugin.ts";

/** A type, independent of its configuration: the value of `parse` is passed back unread. */
export type Row =
  | { readonly role: "main"; readonly plugin: Main<unknown> }
  | { readonly role: "meta"; readonly plugin: Meta<unknown> }
  | { readonly role: "ipam"; readonly plugin: Ipam<unknown> }
  | { readonly role: "delegating"; readonly plugin: Delegating<unknown> };

/** All types in this file. The object has no prototype, so "constructor" is not a type. */
export const table: Readonly<Record<string, Row>> = Object.assign(
  Object.create(null) as Record<string, Row>,
  {
    "bandwidth": meta(bandwidth),
    "bridge": main(bridge),
    "cluster": ipam(cluster),
    "dhcp": ipam(dhcp),
    "docker-ipam": ipam(dockerIpam),
    "docker-network": main(dockerNetwork),
    "dummy": main(dummy),
    "firewall": meta(firewall),
    "flannel": delegating(flannel),
    "host-device": main(hostDevice),
    "host-local": ipam(hostLocal),
    "ipvlan": main(ipvlan),
    "loopback": main(loopback),
    "macvlan": main(macvlan),
    "overlay": main(overlay),
    "portmap": meta(portmap),
    "ptp": main(ptp),
    "sbr": meta(sbr),
    "static": ipam(statik),
    "tap": main(tap),
    "tuning": meta(tuning),
    "vlan": main(vlan),
    "vrf": meta(vrf),
  },
);

/** Whether a program's name is that of one of our plugin types. */
export function isPluginName(name: string): boolean {
  return Object.hasOwn(table, name);
}

/** The CNI versions that a type supports, as in the reference. */
export function versionsOf(type: string): readonly string[] {
  const row = table[type];
  const since = row?.role === "meta" ? row.plugin.since : undefined;
  return versions.filter((version) => atLeast(version, since ?? oldestVersion));
}

/** Whether a type reads CNI_ARGS. */
export function readsArgs(type: string): boolean {
  return "readsArgs" in (table[type]?.plugin ?? {});
}

/** Whether the links of a main type have no end on the host, and what they are on; of another type nothing is known. */
export function apartOf(type: string): Main<unknown>["apart"] {
  const row = table[type];
  return row?.role === "main" ? row.plugin.apart : undefined;
}

function main<Conf>(plugin: Main<Conf>): Row {
  return { role: "main", plugin: plugin as Main<unknown> };
}

function meta<Conf>(plugin: Meta<Conf>): Row {
  return { role: "meta", plugin: plugin as Meta<unknown> };
}

function ipam<Conf>(plugin: Ipam<Conf>): Row {
  return { role: "ipam", plugin: plugin as Ipam<unknown> };
}

function delegating<Conf>(plugin: Delegating<Conf>): Row {
  return { role: "delegating", plugin: plugin as Delegating<unknown> };
}
