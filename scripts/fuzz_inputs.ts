/** Input that is right, for fuzzing to start from: every type with its options, and every word a person can say. */

const hostLocal = {
  ...{ type: "host-local", dataDir: "/own/leases", resolvConf: "/own/resolv.conf" },
  ranges: [
    [{ subnet: "10.1.0.0/16", rangeStart: "10.1.2.3", rangeEnd: "10.1.2.9", gateway: "10.1.0.1" }],
    [{ subnet: "fd00:1::/64" }],
  ],
  routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1", mtu: 1400, advmss: 1300, priority: 10, table: 100, scope: 0 }],
};
const fixed = {
  type: "static",
  addresses: [{ address: "10.1.1.9/24", gateway: "10.1.1.1" }, { address: "fd00:1::9/64" }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.1.1.1"], domain: "example.org", search: ["a.example"], options: ["ndots:2"] },
};
const dhcp = {
  type: "dhcp",
  provide: [{ option: "host-name", value: "box" }, { option: "60", fromArg: "K8S_POD_NAME" }],
  request: [{ skipDefault: true }, { option: "routers" }],
};
const mapping = { hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "192.0.2.1" };

/** Of each type a configuration with all its options; those of IPAM types are within `ipam`. */
export const configurations: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> = {
  bridge: [
    {
      ...{
        bridge: "cni0",
        isGateway: true,
        isDefaultGateway: true,
        forceAddress: true,
        ipMasq: true,
        mtu: 1400,
      },
      ...{ hairpinMode: true, promiscMode: false, enabledad: true, macspoofchk: true, portIsolation: true },
      ...{
        ipMasqBackend: "nftables",
        disableContainerInterface: false,
        uplinkInterface: "eth0",
        ipam: hostLocal,
      },
    },
    {
      ...{ bridge: "br1", vlan: 7, preserveDefaultVlan: false, ipam: fixed },
      vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 20 }],
    },
    { bridge: "cni0", ipam: dhcp, mac: "02:00:00:00:00:09" },
  ],
  ptp: [{ ipMasq: true, mtu: 1400, ipam: hostLocal, dns: fixed.dns, ipMasqBackend: "nftables" }],
  macvlan: [{
    master: "eth0",
    mode: "bridge",
    mtu: 1400,
    mac: "02:00:00:00:00:01",
    bcqueuelen: 1000,
    ipam: fixed,
  }],
  ipvlan: [{ master: "eth0", mode: "l3", mtu: 1400, linkInContainer: false, ipam: fixed }],
  vlan: [{ master: "eth0", vlanId: 7, mtu: 1400, linkInContainer: false, ipam: fixed }],
  "host-device": [
    { device: "eth0", ipam: fixed },
    { hwaddr: "02:00:00:00:00:02" },
    { pciBusID: "0000:00:1f.6" },
    { kernelpath: "/sys/devices/pci0000:00/0000:00:1f.6" },
  ],
  loopback: [{}],
  dummy: [{ mtu: 1400, ipam: hostLocal }],
  tap: [{
    multiQueue: true,
    owner: 1000,
    group: 1000,
    selinuxContext: "a:b:c:d",
    bridge: "cni0",
    ipam: fixed,
  }],
  flannel: [{
    subnetFile: "/own/subnet.env",
    dataDir: "/own/flannel",
    delegate: { type: "bridge", hairpinMode: true },
  }],
  "host-local": [{ ipam: hostLocal }],
  static: [{ ipam: fixed }],
  dhcp: [{ ipam: dhcp }],
  portmap: [
    {
      ...{
        snat: true,
        masqAll: true,
        markMasqBit: 13,
        backend: "nftables",
        capabilities: { portMappings: true },
      },
      runtimeConfig: { portMappings: [mapping, { ...mapping, hostPort: 53, protocol: "udp" }] },
    },
  ],
  bandwidth: [
    {
      ...{ ingressRate: 8000000, ingressBurst: 80000, egressRate: 8000000, egressBurst: 80000 },
      ...{
        unshapedSubnets: ["10.0.0.0/8"],
        runtimeConfig: { bandwidth: { ingressRate: 1000, ingressBurst: 2000 } },
      },
    },
  ],
  firewall: [{ backend: "nftables", ingressPolicy: "same-bridge", firewalldZone: "trusted" }, {
    backend: "firewalld",
  }],
  tuning: [
    {
      ...{ mac: "02:00:00:00:00:07", mtu: 1400, promisc: true, allmulti: true, txQLen: 500 },
      dataDir: "/own/tuning",
      sysctl: { "net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1" },
    },
  ],
  sbr: [{ table: 100, addSourceHints: true }],
  vrf: [{ vrfname: "blue", table: 10 }],
};

/** What plugins before have made. */
export const prevResult = {
  cniVersion: "1.0.0",
  interfaces: [
    { name: "cni0", mac: "02:00:00:00:00:03" },
    { name: "veth1", mac: "02:00:00:00:00:04" },
    { name: "eth0", mac: "02:00:00:00:00:05", sandbox: "/run/netns/box" },
  ],
  ips: [{ address: "10.1.2.3/16", gateway: "10.1.0.1", interface: 2 }, {
    address: "fd00:1::3/64",
    interface: 2,
  }],
  routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1" }],
  dns: { nameservers: ["10.1.0.1"] },
};

/** What GC is told. */
export const valid = { "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }] };

/** A plugin's environment. */
export const environment: Readonly<Record<string, string>> = {
  ...{ CNI_CONTAINERID: "c1", CNI_NETNS: "/run/netns/box", CNI_IFNAME: "eth0", CNI_PATH: "/opt/cni/bin" },
  ...{ CNI_ARGS: "IgnoreUnknown=1;IP=10.1.2.4;MAC=02:00:00:00:00:08;K8S_POD_NAME=pod", PATH: "/usr/bin" },
  CAP_ARGS: JSON.stringify({ portMappings: [mapping], ips: ["10.1.2.5/16"], mac: "02:00:00:00:00:06" }),
};

/** Files that others write, and ours read. */
export const others: Readonly<Record<string, string>> = {
  "/own/subnet.env":
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
  "/own/resolv.conf": "nameserver 10.1.1.1\nsearch a.example\ndomain example.org\noptions ndots:2\n",
  "/own/leases/n1/10.1.2.3": "c0\neth0",
  "/own/leases/n1/last_reserved_ip.0": "10.1.2.3",
  "/etc/resolv.conf": "nameserver 192.0.2.53\nsearch example.org\n",
  "/etc/hosts": "127.0.0.1 localhost\n",
};

/** What a person says of a container's network. */
export const containerWords: readonly (readonly string[])[] = [
  [
    "--net",
    "default",
    "-p",
    "8080:80",
    "--dns",
    "10.1.1.1",
    "--dns-search",
    "a.example",
    "--hosts-entry",
    "10.1.1.1=a",
  ],
  ["--net", "shop:IP=10.20.0.9;K=V,default-restricted", "--dns-opt", "ndots:2", "--dns-domain", "b.example"],
  ["--net=none"],
  ["--net=host"],
  ["--net=all", "-p", "[2001:db8:1::1]:8443-8444:443-444/tcp", "-p", "192.0.2.1:53:53/udp"],
  ["--egress", "10.0.0.0/8:443/tcp,:53/udp", "--rate-in", "10mbit", "--rate-out", "500kbit"],
  ["--uplink", "slirp4netns:cidr=10.9.0.0/24,mtu=1400,ipv6=off", "-p", "8080:80", "--hostname", "box"],
  ["--uplink", "pasta:dns=10.1.1.1,outbound-addr=192.0.2.1", "--net", "default-restricted"],
  ["--uplink", "lxc-user-nic:bridge=lxcbr0,mac=02:00:00:00:00:01", "--rate-in", "1mbit"],
];

/** A container's state, as a runtime gives it to a hook. */
export const state = {
  ...{ ociVersion: "1.0.2", id: "c1", status: "created", pid: 4242, bundle: "/own/bundle" },
  annotations: {
    "org.ocinet.net": "shop",
    "org.ocinet.publish": "8081:81 8082:82",
    "org.ocinet.rate-in": "1mbit",
  },
};

/** A bundle's config.json. */
export const bundle = {
  ...{ ociVersion: "1.0.2", root: { path: "rootfs" }, hostname: "runc", process: { args: ["sh"] } },
  linux: { namespaces: [{ type: "pid" }, { type: "network" }, { type: "mount" }], uidMappings: [] },
  hooks: { createRuntime: [{ path: "/bin/true", args: ["true"] }] },
  mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
};

/** A network of root's own. */
export const network = {
  ...{ cniVersion: "1.0.0", cniVersions: ["0.4.0", "1.0.0"], name: "shop", disableCheck: false },
  plugins: [
    {
      type: "bridge",
      bridge: "shop0",
      isDefaultGateway: true,
      ipMasq: true,
      ipam: { ...hostLocal, ranges: [[{ subnet: "10.20.0.0/16" }]] },
    },
    { type: "portmap", capabilities: { portMappings: true } },
    { type: "firewall", ingressPolicy: "isolated" },
    { type: "bandwidth", ingressRate: 8000000, ingressBurst: 80000 },
    { type: "tuning", sysctl: { "net.core.somaxconn": "500" } },
  ],
};

/** What users ask of root's service, and a policy that grants it. */
export const helperRequests = [
  {
    do: "attach",
    id: "c1",
    pid: 4242,
    ifname: "eth0",
    network: "ocinet0",
    ports: ["8080:80/tcp", "192.0.2.1:53:53/udp"],
  },
  { do: "attach", id: "c1", pid: 4242, ifname: "net0" },
  { do: "detach", id: "c1" },
  { do: "publish", id: "c1", ports: ["8081:81/tcp", "[2001:db8::1]:53:53/udp"] },
  { do: "unpublish", id: "c1", ports: ["8081:81/tcp"] },
  { do: "show" },
];
export const helperRules =
  "# users\nalice veth ocinet0 10\n1000 veth shop 2\n@web port 53\nalice port 8000-8100/tcp\n";

/** What a script says to `ocinet cni`. */
export const cniWords: readonly (readonly string[])[] = [
  ["add", "shop", "/run/netns/box"],
  ["del", "shop", "/run/netns/box", "--container-id", "c1"],
  ["check", "shop", "/run/netns/box", "--ifname=eth0", "--args", "IP=10.20.0.7"],
  ["gc", "shop", "--valid", "c1/eth0"],
  ["status", "shop"],
];
