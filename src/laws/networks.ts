/** A network for each type in drivers/table.ts. */
import { type NetworkList, parseNetworkList } from "../wire/cni/network_list.ts";

const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];

const hostLocal = {
  type: "host-local",
  ranges: [[{ subnet: "10.1.1.0/24" }], [{ subnet: "fd00:1::/64" }]],
  routes,
};

const bridge = { type: "bridge", bridge: "br0", isGateway: true, ipMasq: true, ipam: hostLocal };

const ptp = { type: "ptp", ipMasq: true, ipam: hostLocal };

/** Ports that a container publishes. */
export const portMappings = [
  { hostPort: 8080, containerPort: 80, protocol: "tcp" },
  { hostPort: 53, containerPort: 53, protocol: "udp", hostIP: "192.0.2.1" },
];

type Plugins = readonly Readonly<Record<string, unknown>>[];

/** The plugins of a network by the type that it is there for: the one of that type is the last that matters. */
const plugins: Readonly<Record<string, Plugins>> = {
  bridge: [bridge],
  "bridge with VLANs": [{ ...bridge, vlan: 7, macspoofchk: true, promiscMode: false }],
  ptp: [ptp],
  macvlan: [{ type: "macvlan", master: "eth0", ipam: hostLocal }],
  "macvlan with static": [{
    type: "macvlan",
    master: "eth0",
    ipam: { type: "static", addresses: [{ address: "10.1.1.77/24", gateway: "10.1.1.1" }], routes },
  }],
  ipvlan: [{ type: "ipvlan", master: "eth0", ipam: hostLocal }],
  vlan: [{ type: "vlan", master: "eth0", vlanId: 7, ipam: hostLocal }],
  "host-device": [{ type: "host-device", device: "eth9", ipam: hostLocal }],
  dummy: [{ type: "dummy", ipam: hostLocal }],
  tap: [{ type: "tap", ipam: hostLocal }],
  loopback: [{ type: "loopback" }],
  flannel: [{ type: "flannel", delegate: { isDefaultGateway: true } }],
  "host-local": [bridge],
  static: [{
    ...ptp,
    ipam: { type: "static", addresses: [{ address: "10.1.1.77/24", gateway: "10.1.1.1" }], routes },
  }],
  dhcp: [{ type: "macvlan", master: "eth0", ipam: { type: "dhcp" } }],
  portmap: [bridge, {
    type: "portmap",
    capabilities: { portMappings: true },
  }],
  bandwidth: [ptp, {
    ...{
      type: "bandwidth",
      ingressRate: 8000000,
      ingressBurst: 80000,
      egressRate: 8000000,
      egressBurst: 80000,
    },
  }],
  firewall: [bridge, { type: "firewall", ingressPolicy: "isolated" }],
  tuning: [ptp, {
    ...{ type: "tuning", mac: "02:00:00:00:00:07", mtu: 1400, promisc: true },
    sysctl: { "net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1" },
  }],
  sbr: [ptp, { type: "sbr" }],
  vrf: [ptp, { type: "vrf", vrfname: "blue" }],
};

/** Their names. */
export const networkTypes: readonly string[] = Object.keys(plugins);

/** The network that a type is tried on. Where its address or device is in the configuration, each container has its own. */
export function networkOf(type: string, id: string): NetworkList {
  return parseNetworkList(
    JSON.stringify({ cniVersion: "1.1.0", name: "blue", plugins: plugins[type] })
      .replace("10.1.1.77", id === "c2" ? "10.1.1.78" : "10.1.1.77")
      .replace("eth9", id === "c2" ? "eth8" : "eth9")
      // A VLAN of a link can have one link only.
      .replace('"vlanId":7', `"vlanId":${Number(id.slice(1)) + 7}`),
    type,
  );
}
