import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import * as ipvlan from "./ipvlan.ts";

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
const ipam = { type: "static" };

function link(conf: Record<string, unknown>, before?: Result) {
  return ipvlan.link(ipvlan.parse(fields(conf)), at, seen, before);
}

test("the link has its master's MAC address", () => {
  const { steps, result } = link({ ipam, mtu: 1400, dns: { domain: "example.org" } });
  assert.equal(
    show(steps),
    `ip link add link ens1 name vetha1a1a1a1a1a mtu 1400 netns /proc/7/ns/net type ipvlan mode l2
container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: sysctl -w net/ipv4/conf/vetha1a1a1a1a1a/arp_notify=1
container: sysctl -w net/ipv6/conf/vetha1a1a1a1a1a/ndisc_notify=1`,
  );
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", mac: "52:54:00:00:00:01", sandbox: "/proc/7/ns/net" }],
    ips: [],
    routes: [],
    dns: { domain: "example.org" },
  });
});

test("the lease's addresses are the link's, its dns is not", () => {
  const conf = ipvlan.parse(fields({ ipam }));
  const lease = { ips: [{ address: "10.1.2.3/24" }], routes: [], dns: { domain: "x" }, claims: [] };
  const { steps, result } = ipvlan.address(conf, at, lease, link({ ipam }).result);
  assert.equal(
    show(steps),
    "container: ip address replace 10.1.2.3/24 dev eth0 brd +\ncontainer: ip link set dev eth0 up",
  );
  assert.deepEqual([result.ips, result.dns], [[{ address: "10.1.2.3/24", interface: 0 }], {}]);
});

test("each mode has its word", () => {
  for (const mode of ["l2", "l3", "l3s"]) {
    assert.match(show(link({ ipam, mode }).steps), new RegExp(`type ipvlan mode ${mode}\n`));
  }
  assert.throws(() => link({ ipam, mode: "l4" }), { code: 999, message: 'unknown ipvlan mode: "l4"' });
});

test("in a chain the master is the interface there is, and without ipam its addresses are the link's", () => {
  const before: Result = {
    interfaces: [{ name: "ens1" }],
    ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 }],
    routes: [{ dst: "0.0.0.0/0" }],
    dns: {},
  };
  assert.deepEqual(ipvlan.lookups(ipvlan.parse(fields({})), at, before), { links: ["ens1"] });
  const { steps, result } = link({}, before);
  assert.match(show(steps), /^ip link add link ens1 /);
  assert.match(
    show(steps),
    /\ncontainer: ip address replace 10.1.2.3\/24 dev eth0 brd \+\n.* up\ncontainer: ip route add 0.0.0.0\/0 via 10.1.2.1 dev eth0$/,
  );
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", mac: "52:54:00:00:00:01", sandbox: "/proc/7/ns/net" }],
    ips: before.ips,
    routes: before.routes,
    dns: {},
  });
  const several = { ...before, interfaces: [{ name: "ens1" }, { name: "ens2" }] };
  assert.throws(() => link({}, several), {
    code: 999,
    message: "chained master failure. PrevResult lacks a single named interface",
  });
  assert.match(show(link({ master: "ens1" }, several).steps), /^ip link add link ens1 /);
});

test("without addresses it is refused", () => {
  assert.throws(() => link({}), {
    code: 7,
    message: 'Cannot use type "ipvlan" without addresses: give it an "ipam" with a "type"',
  });
});
