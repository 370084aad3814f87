import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { show } from "../../plan/step.ts";
import * as tap from "./tap.ts";

const at: Attachment = {
  containerId: "c1",
  network: "n1",
  ifname: "eth0",
  netns: "/proc/7/ns/net",
  digest: "a1".repeat(32) + "b2".repeat(32),
  networkDigest: "c3".repeat(64),
  args: new Map(),
};

function link(conf: Record<string, unknown>, given: Partial<Attachment> = {}) {
  return tap.link(tap.parse(fields(conf)), { ...at, ...given });
}

test("the device is made on the host and moved into the container", () => {
  const { steps, result } = link({ mtu: 1400, bridge: "br0" });
  assert.equal(
    show(steps),
    `ip tuntap add mode tap name vetha1a1a1a1a1a
ip link set dev vetha1a1a1a1a1a address 02:b2:b2:b2:b2:b2 mtu 1400
ip link set dev vetha1a1a1a1a1a netns /proc/7/ns/net
container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: ip link set dev eth0 master br0
container: ip link set dev eth0 up`,
  );
  assert.equal("undo" in steps[0]! && steps[0].undo, "link del dev vetha1a1a1a1a1a");
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", mac: "02:b2:b2:b2:b2:b2", sandbox: "/proc/7/ns/net" }],
    ips: [],
    routes: [],
    dns: {},
  });
  assert.deepEqual(tap.lookups(), {});
});

test("owners, queues and headers are the reference's", () => {
  const madeBy = (conf: Record<string, unknown>) =>
    show(link(conf).steps).split("\n")[0]!.replace("ip tuntap add mode tap name vetha1a1a1a1a1a", "").trim();
  assert.equal(madeBy({ owner: 0 }), "user 0");
  assert.equal(madeBy({ group: 7, multiQueue: true }), "multi_queue group 7");
  assert.equal(madeBy({ owner: 1000, group: 7 }), "vnet_hdr pi user 1000 group 7");
  assert.equal(madeBy({ owner: 1000, group: 7, multiQueue: true }), "multi_queue vnet_hdr user 1000 group 7");
  assert.deepEqual(link({ selinuxContext: "u:r:t:s0:c1,c2", owner: 1, group: 2 }).steps[0], {
    tool: "exec",
    on: "host",
    id: { kind: "link", link: "vetha1a1a1a1a1a" },
    run: "runcon u:r:t:s0:c1,c2 ip tuntap add mode tap name vetha1a1a1a1a1a user 1 group 2".split(" "),
    undo: "ip link del dev vetha1a1a1a1a1a".split(" "),
  });
});

test("addresses come before the link is up, so that the neighbours hear of them", () => {
  const conf = { ipam: { type: "static" }, dns: { domain: "y" } };
  const lease = {
    ips: [{ address: "10.1.2.3/24" }],
    routes: [{ dst: "10.9.0.0/16", gw: "10.1.2.9" }],
    dns: { domain: "x" },
    claims: [],
  };
  const made = link(conf);
  const { steps, result } = tap.address(tap.parse(fields(conf)), at, lease, made.result);
  assert.equal(
    show([...made.steps.slice(3), ...steps]),
    `container: sysctl -w net/ipv4/conf/vetha1a1a1a1a1a/arp_notify=1
container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: ip address replace 10.1.2.3/24 dev eth0 brd +
container: ip link set dev eth0 up
container: ip route add 10.9.0.0/16 via 10.1.2.9 dev eth0`,
  );
  assert.deepEqual(result.ips, [{ address: "10.1.2.3/24", interface: 0 }]);
  assert.deepEqual(result.dns, { domain: "y" });
});

test("the strongest wish for a MAC address counts", () => {
  const args = { args: new Map([["MAC", "02:00:00:00:00:0b"]]) };
  const own = { mac: "02:00:00:00:00:0a" };
  const macOf = (...given: Parameters<typeof link>) => link(...given).result.interfaces[0]!.mac;
  assert.equal(macOf(own), "02:00:00:00:00:0a");
  assert.equal(macOf(own, args), "02:00:00:00:00:0b");
  assert.equal(macOf({ ...own, runtimeConfig: { mac: "02:00:00:00:00:0c" } }, args), "02:00:00:00:00:0c");
});

test("what cannot be is refused", () => {
  assert.throws(() => link({ mac: "zz" }), {
    code: 999,
    message: "invalid args zz for MAC addr: address zz: invalid MAC address",
  });
  assert.throws(() => link({ selinuxContext: "-r x" }), {
    code: 7,
    message: 'Cannot use SELinux context "-r x": it is not one plain word',
  });
  assert.throws(() => link({ owner: -1 }), { code: 6 });
  assert.throws(() => link({ bridge: "a\nb" }), /not one plain word/);
});
