import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import * as vlan from "./vlan.ts";

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
const seen: HostState = { links: new Map([["ens1", ens1]]), sysctls: new Map() };

function link(conf: Record<string, unknown>) {
  return vlan.link(vlan.parse(fields({ master: "ens1", ipam: { type: "static" }, ...conf })), at, seen);
}

test("the link is made on its master, and comes up with its addresses", () => {
  const { steps, result } = link({ vlanId: 7 });
  const conf = vlan.parse(fields({ master: "ens1", ipam: { type: "static" } }));
  const lease = {
    ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }],
    routes: [{ dst: "0.0.0.0/0" }],
    dns: { domain: "x" },
    claims: [],
  };
  const addressed = vlan.address(conf, at, lease, result);
  assert.equal(
    show([...steps, ...addressed.steps]),
    `ip link add link ens1 name vetha1a1a1a1a1a netns /proc/7/ns/net type vlan id 7
container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: ip address replace 10.1.2.3/24 dev eth0 brd +
container: ip link set dev eth0 up
container: ip route add 0.0.0.0/0 via 10.1.2.1 dev eth0`,
  );
  assert.deepEqual(addressed.result, {
    interfaces: [{ name: "eth0", mac: "52:54:00:00:00:01", sandbox: "/proc/7/ns/net" }],
    ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 }],
    routes: lease.routes,
    dns: {},
  });
});

test("the id is 0 unless given, the MTU the master's", () => {
  assert.match(show(link({}).steps), /type vlan id 0\n/);
  assert.match(show(link({ vlanId: 4094, mtu: 1400 }).steps), / mtu 1400 netns \S+ type vlan id 4094\n/);
  assert.match(
    show(link({ linkInContainer: true }).steps),
    /^container: ip link add link ens1 name eth0 type vlan/,
  );
});

test("what cannot be is refused in the reference's words", () => {
  const refusals: readonly (readonly [Record<string, unknown>, string])[] = [
    [
      { master: "" },
      '"master" field is required. It specifies the host interface name to create the VLAN for',
    ],
    [{ vlanId: 4095 }, "invalid VLAN ID 4095 (must be between 0 and 4095 inclusive)"],
    [{ vlanId: -1 }, "invalid VLAN ID -1 (must be between 0 and 4095 inclusive)"],
    [{ mtu: 1501 }, "invalid MTU 1501, must be [0, master MTU(1500)]"],
    [{ mtu: -100 }, "invalid MTU -100, must be [0, master MTU(1500)]"],
    [{ master: "ens2" }, 'failed to lookup master "ens2": Link not found'],
    [{ ipam: {} }, "failed to execute IPAM delegate: no plugin name provided"],
  ];
  for (const [conf, message] of refusals) assert.throws(() => link(conf), { code: 999, message });
});
