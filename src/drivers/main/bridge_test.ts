import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import type { Lease } from "../plugin.ts";
import * as bridge from "./bridge.ts";

const at: Attachment = {
  containerId: "c1",
  network: "n1",
  ifname: "eth0",
  netns: "/proc/7/ns/net",
  digest: "a1".repeat(32) + "b2".repeat(32),
  networkDigest: "c3".repeat(64),
  args: new Map(),
};
const nothing: HostState = { links: new Map(), sysctls: new Map() };
const lease: Lease = {
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.0.0.53"] },
  claims: [],
};
const dual: Lease = { ...lease, ips: [...lease.ips, { address: "fd00::3/64", gateway: "fd00::1" }] };

function parse(conf: unknown) {
  return bridge.parse(fields(conf));
}

function seeing(
  link: Partial<Link> & { name: string },
  sysctls: Readonly<Record<string, string>> = {},
): HostState {
  const found = {
    index: 2,
    mac: "02:00:00:00:00:99",
    mtu: 1500,
    kind: "bridge",
    addresses: [],
    ...link,
  } as Link;
  return { links: new Map([[link.name, found]]), sysctls: new Map(Object.entries(sysctls)) };
}

function link(conf: unknown, seen = nothing, given: Partial<Attachment> = {}) {
  return bridge.link(parse(conf), { ...at, ...given }, seen);
}

function address(conf: unknown, given = lease, seen = nothing) {
  return bridge.address(parse(conf), at, given, link(conf, seen).result, seen);
}

test("a bridge is made for the first container", () => {
  const { steps, result } = link({});
  assert.equal(
    show(steps),
    `ip link add name cni0 address 02:c3:c3:c3:c3:c3 type bridge
ip link set dev cni0 alias ocinet up
sysctl -w net/ipv6/conf/cni0/accept_ra=0
sysctl -w net/ipv6/conf/cni0/accept_dad=0
ip link add name vetha1a1a1a1a1a address 02:a1:a1:a1:a1:a1 master cni0 type veth peer name eth0 address 02:b2:b2:b2:b2:b2 netns /proc/7/ns/net
ip link set dev vetha1a1a1a1a1a type bridge_slave hairpin off isolated off
ip link set dev vetha1a1a1a1a1a up
sysctl -w net/ipv6/conf/vetha1a1a1a1a1a/accept_ra=0
sysctl -w net/ipv6/conf/vetha1a1a1a1a1a/accept_dad=0
container: ip link set dev eth0 up`,
  );
  assert.deepEqual(result, {
    interfaces: [
      { name: "cni0", mac: "02:c3:c3:c3:c3:c3" },
      { name: "vetha1a1a1a1a1a", mac: "02:a1:a1:a1:a1:a1" },
      { name: "eth0", mac: "02:b2:b2:b2:b2:b2", sandbox: "/proc/7/ns/net" },
    ],
    ips: [],
    routes: [],
    dns: {},
  });
});

test("a bridge that is there is joined as it is", () => {
  const { steps, result } = link({ bridge: "br0", mtu: 1400, vlan: 7 }, seeing({ name: "br0" }));
  assert.match(
    show(steps),
    /^ip link add name veth\w+ address \S+ mtu 1400 master br0 type veth peer name eth0 /,
  );
  assert.deepEqual(result.interfaces[0], { name: "br0", mac: "02:00:00:00:00:99" });
});

test("a bridge that is down is set up, and finished and guarded if it is ours", () => {
  const both = ["02:c3:c3:c3:c3:c3", "02:00:00:00:00:99"]
    .map((mac) => seeing({ name: "br0", mac, up: false }));
  const [own, other] = both.map((seen) => show(link({ bridge: "br0" }, seen).steps));
  const guards = both.map((seen) =>
    / own_bridges /.test(show(address({ bridge: "br0" }, lease, seen).steps))
  );
  assert.deepEqual(guards, [true, false]);
  assert.match(own!, /^ip link set dev br0 alias ocinet up\nsysctl -w net\/ipv6\/conf\/br0\/accept_ra=0\n/);
  assert.match(other!, /^ip link set dev br0 up\nip link add name veth/);
});

test("a link that is no bridge is refused", () => {
  assert.throws(() => link({ bridge: "lo" }, seeing({ name: "lo", kind: "" })), {
    code: 999,
    message: 'failed to create bridge "lo": "lo" already exists but is not a bridge',
  });
});

test("each option of a port adds its line", () => {
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ mtu: 1400 }, "ip link add name cni0 address 02:c3:c3:c3:c3:c3 mtu 1400 type bridge"],
    [{ promiscMode: true }, "ip link set dev cni0 promisc on"],
    [{ hairpinMode: true }, "ip link set dev vetha1a1a1a1a1a type bridge_slave hairpin on isolated off"],
    [{ portIsolation: true }, "ip link set dev vetha1a1a1a1a1a type bridge_slave hairpin off isolated on"],
    [{ vlanTrunk: [] }, "ip link add name cni0 address 02:c3:c3:c3:c3:c3 type bridge vlan_filtering 1"],
    [
      { macspoofchk: true },
      'nft add element bridge ocinet allowed { "vetha1a1a1a1a1a" . 02:b2:b2:b2:b2:b2 }',
    ],
  ];
  for (const [conf, line] of rows) {
    assert.ok(show(link(conf).steps).split("\n").includes(line), line);
    assert.ok(!show(link({}).steps).split("\n").includes(line), `without: ${line}`);
  }
  assert.doesNotMatch(show(link({ disableContainerInterface: true }).steps), /container:/);
});

test("a container with published ports is reached by itself", () => {
  assert.equal(
    show([bridge.reflect(at)]),
    "ip link set dev vetha1a1a1a1a1a type bridge_slave hairpin on",
  );
});

test("the strongest wish for a MAC address counts", () => {
  const args = { args: new Map([["MAC", "02:00:00:00:00:0A"]]) };
  const conf = { args: { cni: { mac: "02:00:00:00:00:0b" } } };
  const macOf = (conf: unknown) => link(conf, nothing, args).result.interfaces[2]!.mac;
  assert.equal(macOf({}), "02:00:00:00:00:0a");
  assert.equal(macOf(conf), "02:00:00:00:00:0b");
  assert.equal(macOf({ ...conf, runtimeConfig: { mac: "02:00:00:00:00:0c" } }), "02:00:00:00:00:0c");
  for (const mac of ["x", "02:00:00:00:00:0a\n", "02:00:00:00:00:0a peer name x"]) {
    assert.throws(() => macOf({ runtimeConfig: { mac } }), {
      code: 7,
      message: `Cannot use MAC address "${mac}": it is not one`,
    });
  }
});

test("the MAC address follows from the IPv4 address, so that neighbours reach the next container with it", () => {
  const macOf = (conf: Record<string, unknown>, given = dual) => {
    const { steps, result } = address(conf, given);
    const first = show(steps).split("\n").find((line) => line.includes("address 02:"));
    return [result.interfaces[2]!.mac, first];
  };
  const mac = "02:6f:0a:01:02:03";
  assert.deepEqual(macOf({}), [mac, `container: ip link set dev eth0 address ${mac}`]);
  const own = ["02:b2:b2:b2:b2:b2", undefined];
  assert.deepEqual(macOf({ macspoofchk: true }), own);
  assert.deepEqual(macOf({ macFromAddress: false }), own);
  // The server has leased the address to the link's own.
  assert.equal(macOf({ ipam: { type: "dhcp" } })[0], own[0]);
  assert.deepEqual(macOf({}, { ...dual, ips: dual.ips.slice(1) }), own);
  assert.deepEqual(macOf({ runtimeConfig: { mac: "02:00:00:00:00:01" } }), ["02:00:00:00:00:01", undefined]);
});

test("a gateway has its address on the bridge, and forwards", () => {
  const { steps, result } = address({ isGateway: true, ipMasq: true }, dual);
  assert.equal(
    show(steps),
    `ip address replace 10.1.2.1/24 dev cni0 brd +
ip address replace fd00::1/64 dev cni0 nodad
sysctl -w net/ipv4/ip_forward=1
sysctl -w net/ipv6/conf/all/forwarding=1
sysctl -w net/ipv4/conf/cni0/forwarding=1
container: ip link set dev eth0 address 02:6f:0a:01:02:03
container: sysctl -w net/ipv6/conf/eth0/accept_dad=0
container: sysctl -w net/ipv6/conf/lo/disable_ipv6=0
container: sysctl -w net/ipv6/conf/eth0/disable_ipv6=0
container: sysctl -w net/ipv6/conf/eth0/keep_addr_on_down=1
container: sysctl -w net/ipv6/conf/eth0/accept_ra=0
container: sysctl -w net/ipv4/conf/eth0/arp_notify=1
container: ip address replace 10.1.2.3/24 dev eth0 brd +
container: ip address replace fd00::3/64 dev eth0 nodad
container: ip route add 0.0.0.0/0 via 10.1.2.1 dev eth0
nft add element inet ocinet bridges { "cni0" . "cni0" }
nft add element inet ocinet own_bridges { "cni0" }
nft create element inet ocinet members4 { "cni0" . 10.1.2.3 comment "c1 vetha1a1a1a1a1a" }
nft create element inet ocinet members6 { "cni0" . fd00::3 comment "c1 vetha1a1a1a1a1a" }
nft add element inet ocinet subnets4 { "cni0" . 10.1.2.3 . 10.1.2.0/24 }
nft add element inet ocinet subnets6 { "cni0" . fd00::3 . fd00::/64 }
nft add element inet ocinet masquerade4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet masquerade6 { "cni0" . fd00::3 }`,
  );
  assert.deepEqual(result.ips, dual.ips.map((ip) => ({ ...ip, interface: 2 })));
  assert.deepEqual([result.routes, result.dns], [lease.routes, lease.dns]);
});

test("without being a gateway, only the container is touched, and its address noted", () => {
  assert.equal(
    show(address({ vlan: 7 }, { ...lease, routes: [] }).steps),
    `container: ip link set dev eth0 address 02:6f:0a:01:02:03
container: sysctl -w net/ipv6/conf/eth0/accept_dad=0
container: sysctl -w net/ipv4/conf/eth0/arp_notify=1
container: ip address replace 10.1.2.3/24 dev eth0 brd +
nft add element inet ocinet bridges { "cni0" . "cni0" }
nft add element inet ocinet own_bridges { "cni0" }
nft create element inet ocinet members4 { "cni0" . 10.1.2.3 comment "c1 vetha1a1a1a1a1a" }
nft add element inet ocinet subnets4 { "cni0" . 10.1.2.3 . 10.1.2.0/24 }`,
  );
});

test("a link that will have addresses comes up with them, so that the neighbours hear of these", () => {
  const conf = { ipam: { type: "host-local" } };
  assert.doesNotMatch(show(link(conf).steps), /container: .* up/);
  assert.match(
    show(address(conf).steps),
    /dev eth0 brd \+\ncontainer: ip link set dev eth0 up\ncontainer: ip route/,
  );
  assert.match(show(link({ ipam: { type: "dhcp" } }).steps), /\ncontainer: ip link set dev eth0 up$/);
});

test("a gateway without an address of its own gets the first of the subnet", () => {
  const { result } = address({ isGateway: true }, { ...lease, ips: [{ address: "10.1.2.3/24" }] });
  assert.deepEqual(result.ips, [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 2 }]);
});

test("what the host has already is not done again", () => {
  const seen = seeing({ name: "cni0", addresses: ["10.1.2.1/24"] }, { "net/ipv4/ip_forward": "1" });
  assert.doesNotMatch(show(address({ isGateway: true }, lease, seen).steps), /^ip address|ip_forward/m);
});

test("a bridge has one IPv4 subnet, and IPv6 ones that do not overlap", () => {
  const problem = (gateway: string) => ({
    code: 999,
    message: `failed to set bridge addr: "cni0" already has an IP address different from ${gateway}`,
  });
  const at4 = seeing({ name: "cni0", addresses: ["10.9.0.1/24", "fd09::1/64"] });
  const at6 = seeing({ name: "cni0", addresses: ["fd00::ffff/48"] });
  assert.throws(() => address({ isGateway: true }, lease, at4), problem("10.1.2.1/24"));
  assert.throws(() => address({ isGateway: true }, dual, at6), problem("fd00::1/64"));
  assert.match(
    show(address({ isGateway: true, forceAddress: true }, dual, at4).steps),
    /^ip address del 10\.9\.0\.1\/24 dev cni0\nip address replace 10\.1\.2\.1\/24 dev cni0 brd \+\nip address replace fd00::1/,
  );
});

test("the default route is the bridge's, once a family, unless IPAM names another gateway", () => {
  const two = { ...dual, ips: [...dual.ips, { address: "10.1.3.3/24", gateway: "10.1.3.1" }] };
  const own = [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }, { dst: "::/0", gw: "fd00::1" }];
  const other = { dst: "0.0.0.0/0", gw: "10.1.2.254" };
  const rows: readonly (readonly [Lease, readonly unknown[]])[] = [
    [{ ...two, routes: [] }, own],
    [{ ...two, routes: [{ dst: "0.0.0.0/0" }, { dst: "10.9.0.0/16" }] }, [{ dst: "10.9.0.0/16" }, ...own]],
    [{ ...two, routes: [other] }, [other, own[1]]],
    [{ ...lease, routes: [] }, [own[0]]],
  ];
  for (const [given, routes] of rows) {
    const plan = address({ isDefaultGateway: true }, given);
    assert.deepEqual(plan.result.routes, routes);
    assert.equal(show(plan.steps).match(/route add 0\.0\.0\.0\/0 /g)?.length, 1);
  }
});

test("in a VLAN, the gateway is a link of its own on a port of the bridge", () => {
  const conf = { bridge: "br0", vlan: 100, isGateway: true, mtu: 1400 };
  const mac = "02:c3:c3:c3:00:64";
  const { steps, result } = address(conf);
  assert.equal(
    show(steps.slice(0, 8)),
    `ip link add name br0+100 mtu 1400 master br0 type veth peer name br0.100 address ${mac} mtu 1400
ip link set dev br0+100 up
ip link set dev br0.100 alias ocinet up
sysctl -w net/ipv6/conf/br0.100/accept_ra=0
sysctl -w net/ipv6/conf/br0.100/accept_dad=0
bridge vlan del dev br0+100 vid 1
bridge vlan add dev br0+100 vid 100 pvid untagged
ip address replace 10.1.2.1/24 dev br0.100 brd +`,
  );
  assert.deepEqual(result.interfaces[3], { name: "br0.100", mac });
  // An administrator's bridge may lead the host what is sent from anywhere.
  const gateway = seeing({ name: "br0.100", kind: "veth", addresses: ["10.1.2.1/24"] });
  const links = new Map([...gateway.links, ...seeing({ name: "br0", alias: "lan" }).links]);
  const again = address(conf, lease, { ...gateway, links });
  assert.deepEqual(show(again.steps).split("\n").filter((line) => line.includes("br0")), [
    "sysctl -w net/ipv4/conf/br0.100/forwarding=1",
    'nft add element inet ocinet bridges { "br0" . "br0" }',
    'nft add element inet ocinet bridges { "br0.100" . "br0.100" }',
    'nft create element inet ocinet members4 { "br0.100" . 10.1.2.3 comment "c1 vetha1a1a1a1a1a" }',
    'nft add element inet ocinet subnets4 { "br0.100" . 10.1.2.3 . 10.1.2.0/24 }',
  ]);
  assert.deepEqual(again.result.interfaces[3], { name: "br0.100", mac: "02:00:00:00:00:99" });
});

test("what to look at is the bridge, its VLAN's link and forwarding", () => {
  const look = (conf: unknown) => bridge.lookups(parse(conf), at);
  assert.deepEqual(look({ bridge: "br0", vlan: 7 }).links, ["br0.7"]);
  const ownBridges = [{ name: "cni0", mac: "02:c3:c3:c3:c3:c3" }];
  assert.deepEqual(look({}), { links: [], ownBridges });
  assert.deepEqual(look({ isGateway: true }), {
    ...{ links: [], ownBridges, advertised: true },
    sysctls: ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"],
  });
  // Its other addresses matter only if forceAddress removes them.
  assert.deepEqual(look({ forceAddress: true }).links, ["cni0"]);
});

test("duplicate address detection is on only if asked for", () => {
  const shown = show(address({ enabledad: true }, dual).steps);
  assert.match(shown, /conf\/eth0\/enhanced_dad=1\n.*conf\/eth0\/accept_dad=1\n/);
});

test("dns of the configuration stands in for IPAM's, even an empty list", () => {
  assert.deepEqual(address({ dns: { nameservers: [] } }).result.dns, { nameservers: [] });
  assert.deepEqual(address({ dns: {} }).result.dns, lease.dns);
});

test("a configuration that cannot be is refused in the reference's words", () => {
  const rows: readonly (readonly [unknown, number, string])[] = [
    [{ vlan: 4095 }, 999, "invalid VLAN ID 4095 (must be between 0 and 4094)"],
    [{ vlan: -1 }, 999, "invalid VLAN ID -1 (must be between 0 and 4094)"],
    [
      { hairpinMode: true, promiscMode: true },
      999,
      "cannot set hairpin mode and promiscuous mode at the same time",
    ],
    [
      { disableContainerInterface: true, ipam: { type: "host-local" } },
      999,
      "cannot use IPAM when DisableContainerInterface flag is set",
    ],
    [{ ipMasq: true, ipMasqBackend: "ipfw" }, 999, 'unknown ipmasq backend "ipfw"'],
    [{ mtu: 65536 }, 6, 'Cannot read "mtu" of network configuration: 65536 is outside 0 to 65535'],
    [{ mtu: -1 }, 6, 'Cannot read "mtu" of network configuration: -1 is outside 0 to 65535'],
    [{ bridge: "all" }, 7, 'Cannot use bridge link "all": interface name is all or default'],
    [
      { bridge: "br-123456789", vlan: 4094, isGateway: true },
      7,
      'Cannot use bridge link "br-123456789.4094": interface name is too long',
    ],
  ];
  for (const [conf, code, message] of rows) assert.throws(() => parse(conf), { code, message });
  for (const ipMasqBackend of ["", "iptables", "nftables"]) parse({ ipMasq: true, ipMasqBackend });
  parse({ ipMasqBackend: "ipfw" });
  assert.throws(() => address({}, { ...lease, ips: [] }), {
    message: "IPAM plugin returned missing IP config",
  });
});

test("no name of a bridge reaches a line or a path unless it can be one", () => {
  for (
    const name of [
      "a\nb",
      "a;b",
      "../../kernel",
      'a"b',
      "a b",
      "-a",
      "veth%d",
      "é",
      "a@b",
    ]
  ) {
    assert.throws(() => parse({ bridge: name }), { code: 7 }, JSON.stringify(name));
  }
  assert.throws(() => parse({ bridge: "x".repeat(128) }), { code: 7 });
});

test("a bridge of ours that was renamed has its name again, and there is no second one", () => {
  const found = seeing({ name: "br8", alias: "ocinet" });
  const seen = { ...found, links: new Map([["br7", found.links.get("br8")!]]) };
  const { steps, result } = link({ bridge: "br7" }, seen);
  assert.match(
    show(steps),
    /^ip link set dev br8 name br7\nip link add name \S+ address \S+ master br7 type veth/,
  );
  assert.equal(
    bridge.checkDrift(parse({ bridge: "br7" }), at, result, seen),
    'bridge "br7" is called "br8" by now',
  );
});

test("a bridge is found by an alternative name, which may be longer than a name, and called by its own", () => {
  const long = "uplink-bridge-of-the-lab";
  const found = seeing({ name: "br7", up: false, addresses: ["10.1.2.1/24"] });
  const seen = { ...found, links: new Map([[long, found.links.get("br7")!]]) };
  const { steps, result } = link({ bridge: long }, seen);
  assert.match(
    show(steps),
    /^ip link set dev br7 up\nip link add name vetha1a1a1a1a1a .* master br7 type veth/,
  );
  assert.doesNotMatch(show(steps), /alias/);
  assert.equal(result.interfaces[0]?.name, "br7");
  assert.doesNotMatch(
    show(address({ bridge: long, isGateway: true }, lease, seen).steps),
    /address replace 10.1.2.1/,
  );
  assert.throws(() => link({ bridge: long }), { code: 7, message: /interface name is too long$/ });
});

test("our own bridge is given the gateway's address without a look at those that it has", () => {
  const seen = seeing({ name: "cni0", mac: "02:c3:c3:c3:c3:c3", addresses: undefined });
  assert.match(
    show(address({ isGateway: true }, lease, seen).steps),
    /^ip address replace 10.1.2.1\/24 dev cni0 brd \+\n/,
  );
});

test("without an MTU of its own, a port has that of the host's way out, and never more than its bridge", () => {
  const madeWith = (conf: unknown, mtu = 1500) =>
    show(link(conf, seeing({ name: "cni0", mtu })).steps).match(/ mtu \d+/g)?.join("");
  assert.equal(madeWith({}), undefined);
  assert.equal(madeWith({ pathMtu: 1400 }), " mtu 1400 mtu 1400");
  assert.equal(madeWith({ pathMtu: 9000 }), " mtu 1500 mtu 1500");
  assert.equal(madeWith({ pathMtu: 9000 }, 9000), " mtu 9000 mtu 9000");
  assert.equal(madeWith({ pathMtu: 1400, mtu: 1450 }), " mtu 1450 mtu 1450");
  assert.match(
    show(link({ pathMtu: 1400 }).steps),
    /^ip link add name cni0 address \S+ mtu 1400 type bridge/,
  );
});

test("a bridge whose address follows its ports keeps the one that it has (cni#285)", () => {
  const { steps, result } = link({}, seeing({ name: "cni0", floatingMac: true }));
  assert.equal(show(steps.slice(0, 1)), "ip link set dev cni0 address 02:00:00:00:00:99");
  assert.equal(result.interfaces[0]!.mac, "02:00:00:00:00:99");
  assert.doesNotMatch(show(link({}, seeing({ name: "cni0" })).steps), /dev cni0 address/);
});

test("a VLAN on a bridge that does not filter is refused by ADD, STATUS and CHECK (talos#8941)", () => {
  const remedy = "ip link set dev cni0 type bridge vlan_filtering 1 has it do so";
  const problem = `bridge "cni0": it does not keep VLANs apart; ${remedy}`;
  const off = seeing({ name: "cni0", up: true, vlans: { filtering: false, default: 1 } });
  for (const conf of [{ vlan: 100 }, { vlanTrunk: [{ id: 5 }] }]) {
    assert.throws(() => link(conf, off), { message: `Cannot use a VLAN on ${problem}` });
    assert.throws(() => bridge.statusProblem(parse(conf), off), {
      message: `Cannot use a VLAN on ${problem}`,
    });
  }
  link({}, off);
  const on = seeing({ name: "cni0", vlans: { filtering: true, default: 10 } });
  assert.match(show(link({ vlan: 100 }, on).steps), /vlan del dev vetha1a1a1a1a1a vid 10\n/);
});

test("the gateway of a network's second subnet comes beside the first's (plugins#45)", () => {
  const ranges = [[{ subnet: "10.1.1.0/24" }, { subnet: "10.1.2.0/24", gateway: "10.1.2.1" }]];
  const conf = { isGateway: true, ipam: { type: "host-local", ranges } };
  const seen = seeing({ name: "cni0", addresses: ["10.1.1.1/24"] });
  const { steps } = address(conf, lease, seen);
  assert.match(show(steps), /^ip address replace 10\.1\.2\.1\/24 dev cni0 brd \+\n/);
  const forced = show(address({ ...conf, forceAddress: true }, lease, seen).steps);
  assert.doesNotMatch(forced, /address del/);
  const other = seeing({ name: "cni0", addresses: ["10.1.9.1/24"] });
  assert.throws(() => address(conf, lease, other), /already has an IP address different/);
});
