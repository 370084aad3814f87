import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import type { Lease } from "../plugin.ts";
import * as macvlan from "./macvlan.ts";

const at: Attachment = {
  containerId: "c1",
  network: "n1",
  ifname: "eth0",
  netns: "/proc/7/ns/net",
  digest: "a1".repeat(32) + "b2".repeat(32),
  networkDigest: "c3".repeat(64),
  args: new Map(),
};
const ens1: Link = { name: "ens1", index: 2, mac: "52:54:00:00:00:01", mtu: 1500, kind: "", addresses: [] };
const seen: HostState = { links: new Map([["ens1", ens1]]), sysctls: new Map(), defaultLink: "ens1" };
const lease: Lease = {
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.0.0.53"] },
  claims: [],
};
const ipam = { type: "static" };

function link(conf: Record<string, unknown>, given: Partial<Attachment> = {}, what = seen) {
  return macvlan.link(macvlan.parse(fields(conf)), { ...at, ...given }, what);
}

function address(conf: Record<string, unknown>, given = lease) {
  return macvlan.address(macvlan.parse(fields(conf)), at, given, link(conf).result);
}

test("without addresses the link comes up as soon as it is there", () => {
  const { steps, result } = link({});
  assert.equal(
    show(steps),
    `ip link add link ens1 name vetha1a1a1a1a1a address 02:b2:b2:b2:b2:b2 netns /proc/7/ns/net type macvlan mode bridge
container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: ip link set dev eth0 up`,
  );
  assert.deepEqual(steps.map((step) => "undo" in step ? step.undo : undefined), [
    undefined,
    "link del dev vetha1a1a1a1a1a",
    "link del dev eth0",
    undefined,
    undefined,
  ]);
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", mac: "02:b2:b2:b2:b2:b2", sandbox: "/proc/7/ns/net" }],
    ips: [],
    routes: [],
    dns: {},
  });
});

test("with addresses it comes up once it has them, and tells the neighbours", () => {
  const conf = { ipam, dns: { search: ["example.org"] } };
  const { steps, result } = address(conf);
  assert.equal(
    show([...link(conf).steps.slice(1), ...steps]),
    `container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: sysctl -w net/ipv4/conf/vetha1a1a1a1a1a/arp_notify=1
container: sysctl -w net/ipv6/conf/vetha1a1a1a1a1a/ndisc_notify=1
container: ip address replace 10.1.2.3/24 dev eth0 brd +
container: ip link set dev eth0 up
container: ip route add 0.0.0.0/0 via 10.1.2.1 dev eth0`,
  );
  assert.deepEqual(result, {
    interfaces: link(conf).result.interfaces,
    ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 }],
    routes: lease.routes,
    dns: { search: ["example.org"] },
  });
  assert.deepEqual(address({ ipam }).result.dns, {});
});

test("DHCP asks through a link that is up, and neighbours hear of its address later; the server's names count", () => {
  const conf = { ipam: { type: "dhcp" } };
  assert.match(show(link(conf).steps), /\ncontainer: ip link set dev eth0 up$/);
  const { steps, result } = address(conf);
  assert.equal(
    show(steps),
    `container: sysctl -w net/ipv4/conf/eth0/arp_notify=1
container: ip address replace 10.1.2.3/24 dev eth0 brd +
container: ip link set dev eth0 up
container: ip link set dev eth0 address 02:b2:b2:b2:b2:b2
container: ip route add 0.0.0.0/0 via 10.1.2.1 dev eth0`,
  );
  assert.deepEqual(result.dns, lease.dns);
  assert.deepEqual(address({ ...conf, dns: { search: [] } }).result.dns, { search: [] });
});

test("IPv6 is turned on under either name of the link", () => {
  assert.match(
    show(address({ ipam }, { ...lease, ips: [{ address: "fd00::3/64" }], routes: [] }).steps),
    /lo\/disable_ipv6=0\n.*vetha1a1a1a1a1a\/disable_ipv6=0\n.*\n.*\n.*eth0\/disable_ipv6=0\n.*eth0\/keep_addr_on_down=1\n.*eth0\/accept_ra=0\n/,
  );
});

test("each option has its words", () => {
  const lineOf = (conf: Record<string, unknown>) => show(link(conf).steps).split("\n")[0]!;
  for (const mode of ["bridge", "private", "vepa"]) {
    assert.match(lineOf({ mode }), new RegExp(`mode ${mode}$`));
  }
  assert.match(lineOf({ mtu: 1400 }), / address 02:b2:b2:b2:b2:b2 mtu 1400 netns /);
  assert.match(lineOf({ bcqueuelen: 7 }), / mode bridge bcqueuelen 7$/);
  assert.doesNotMatch(lineOf({ mtu: 0, bcqueuelen: 0 }), /mtu|bcqueuelen/);
});

test("in mode passthru the address is the master's", () => {
  const { steps, result } = link({ mode: "passthru", mac: "02:00:00:00:00:0a" });
  assert.doesNotMatch(show(steps), /address/);
  assert.equal(result.interfaces[0]!.mac, "52:54:00:00:00:01");
});

test("the strongest wish for a MAC address counts", () => {
  const args = { args: new Map([["MAC", "02:00:00:00:00:0B"]]) };
  const runtimeConfig = { mac: "02-00-00-00-00-0c" };
  const macOf = (...given: Parameters<typeof link>) => link(...given).result.interfaces[0]!.mac;
  assert.equal(macOf({ mac: "02:00:00:00:00:0a" }), "02:00:00:00:00:0a");
  assert.equal(macOf({ mac: "02:00:00:00:00:0a" }, args), "02:00:00:00:00:0b");
  assert.equal(macOf({ mac: "02:00:00:00:00:0a", runtimeConfig }, args), "02:00:00:00:00:0c");
  assert.throws(() => link({ mac: "zz" }), {
    code: 999,
    message: "invalid args zz for MAC addr: address zz: invalid MAC address",
  });
});

test("a master in the container is found there, and the link is made there", () => {
  const conf = { linkInContainer: true, master: "net1", mtu: 9000, ipam };
  const [made, ...rest] = link(conf, {}, { links: new Map(), sysctls: new Map() }).steps;
  assert.deepEqual(made, {
    tool: "exec",
    on: "container",
    id: { kind: "link", link: "eth0" },
    run: "ip link add link net1 name eth0 address 02:b2:b2:b2:b2:b2 mtu 9000 type macvlan mode bridge".split(
      " ",
    ),
    undo: ["ip", "link", "del", "dev", "eth0"],
  });
  assert.equal(rest[0]?.tool === "ip" && rest[0].undo, "link del dev vetha1a1a1a1a1a");
  assert.equal(
    show(rest),
    "container: ip link property add dev eth0 altname vetha1a1a1a1a1a\ncontainer: sysctl -w net/ipv4/conf/eth0/arp_notify=1\ncontainer: sysctl -w net/ipv6/conf/eth0/ndisc_notify=1",
  );
  assert.equal(
    show(link({ linkInContainer: true }).steps.slice(0, 1)),
    'container: ip link add link "$the_default_routes" name eth0 address 02:b2:b2:b2:b2:b2 type macvlan mode bridge',
  );
});

test("what to look at is the master", () => {
  const lookupsOf = (conf: Record<string, unknown>) => macvlan.lookups(macvlan.parse(fields(conf)));
  assert.deepEqual(lookupsOf({ master: "ens2" }), { links: ["ens2"] });
  assert.deepEqual(lookupsOf({ master: "" }), { defaultMaster: true });
  assert.deepEqual(lookupsOf({ linkInContainer: true }), {});
});

test("what cannot be is refused in the reference's words", () => {
  const refusals: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ mode: "vlan" }, 'unknown macvlan mode: "vlan"'],
    [{ mtu: 9000 }, "invalid MTU 9000, must be [0, master MTU(1500)]"],
    [{ mtu: -1 }, "invalid MTU -1, must be [0, master MTU(1500)]"],
    [{ mtu: -1, linkInContainer: true }, "invalid MTU -1, must be [0, master MTU]"],
    [{ master: "ens2" }, 'failed to lookup master "ens2": Link not found'],
  ];
  for (const [conf, message] of refusals) assert.throws(() => link(conf), { code: 999, message });
  assert.throws(() => link({}, {}, { links: new Map(), sysctls: new Map() }), {
    code: 999,
    message: "no default route interface found",
  });
  assert.throws(() => address({ ipam }, { ...lease, ips: [] }), {
    code: 999,
    message: "IPAM plugin returned missing IP config",
  });
  assert.throws(() => link({ master: "a b", linkInContainer: true }), /not one plain word/);
});

test("a parent that is a VLAN, or a dummy link, is made with the first container and marked as ours", () => {
  const made = (conf: Record<string, unknown>, what = seen) =>
    show(link(conf, {}, what).steps).split("\n").filter((line) => !line.startsWith("container: "));
  const child = (on: string) =>
    `ip link add link ${on} name vetha1a1a1a1a1a address 02:b2:b2:b2:b2:b2 netns /proc/7/ns/net type macvlan mode bridge`;
  const vlan = { master: "ens1.50", makeMaster: "vlan" };
  assert.deepEqual(macvlan.lookups(macvlan.parse(fields(vlan))), { links: ["ens1.50", "ens1"] });
  assert.deepEqual(made(vlan), [
    "ip link add link ens1 name ens1.50 type vlan id 50",
    "ip link set dev ens1.50 alias ocinet",
    "ip link set dev ens1.50 up",
    child("ens1.50"),
  ]);
  assert.deepEqual(made({ master: "dm-0123", makeMaster: "dummy" }), [
    "ip link add name dm-0123 type dummy",
    "ip link set dev dm-0123 alias ocinet",
    "ip link set dev dm-0123 up",
    child("dm-0123"),
  ]);
  const there = { ...seen, links: new Map([...seen.links, ["ens1.50", { ...ens1, name: "ens1.50" }]]) };
  assert.deepEqual(made(vlan, there), [child("ens1.50")]);
  assert.throws(() => link({ master: "ens7.50", makeMaster: "vlan" }), /failed to lookup master "ens7"/);
  // As the reference has it, unless `network create` has said so.
  assert.throws(() => link({ master: "ens1.50" }), /failed to lookup master "ens1.50"/);
});
