import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import type { Lease } from "../plugin.ts";
import * as ptp from "./ptp.ts";

const at: Attachment = {
  containerId: "c1",
  network: "n1",
  ifname: "eth0",
  netns: "/proc/7/ns/net",
  digest: "a1".repeat(32) + "b2".repeat(32),
  networkDigest: "c3".repeat(64),
  args: new Map(),
};
const seen: HostState = { links: new Map(), sysctls: new Map(), advertised: ["ens1"] };
const lease: Lease = {
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.0.0.53"] },
  claims: [],
};

function parse(conf: Record<string, unknown>) {
  return ptp.parse(fields({ ipam: { type: "static" }, ...conf }));
}

function address(conf: Record<string, unknown>, given = lease) {
  return ptp.address(parse(conf), at, given, ptp.link(parse(conf), at).result, seen);
}

test("the link is a veth with one end left alone on the host", () => {
  const { steps, result } = ptp.link(parse({ mtu: 1400 }), at);
  assert.equal(
    show(steps),
    `ip link add name vetha1a1a1a1a1a address 02:a1:a1:a1:a1:a1 mtu 1400 type veth peer name eth0 address 02:b2:b2:b2:b2:b2 mtu 1400 netns /proc/7/ns/net
ip link set dev vetha1a1a1a1a1a up
sysctl -w net/ipv6/conf/vetha1a1a1a1a1a/accept_ra=0
sysctl -w net/ipv6/conf/vetha1a1a1a1a1a/accept_dad=0
container: ip link set dev eth0 up`,
  );
  assert.deepEqual(result.interfaces, [
    { name: "vetha1a1a1a1a1a", mac: "02:a1:a1:a1:a1:a1" },
    { name: "eth0", mac: "02:b2:b2:b2:b2:b2", sandbox: "/proc/7/ns/net" },
  ]);
});

test("an IPv4 address is routed between the two ends", () => {
  const { steps, result } = address({ ipMasq: true });
  assert.equal(
    show(steps),
    `ip address replace 10.1.2.1/32 dev vetha1a1a1a1a1a
ip route add 10.1.2.3/32 dev vetha1a1a1a1a1a
container: ip address replace 10.1.2.3/24 dev eth0 brd + noprefixroute
container: ip route add 10.1.2.1/32 dev eth0 scope link src 10.1.2.3
container: ip route add 10.1.2.0/24 via 10.1.2.1 dev eth0 src 10.1.2.3
sysctl -w net/ipv4/ip_forward=1
sysctl -w net/ipv4/conf/vetha1a1a1a1a1a/forwarding=1
container: ip route add 0.0.0.0/0 via 10.1.2.1 dev eth0
nft add element inet ocinet links { "vetha1a1a1a1a1a" }
nft add element inet ocinet routed { "vetha1a1a1a1a1a" }
nft create element inet ocinet members4 { "vetha1a1a1a1a1a" . 10.1.2.3 comment "c1 vetha1a1a1a1a1a" }
nft add element inet ocinet subnets4 { "vetha1a1a1a1a1a" . 10.1.2.3 . 10.1.2.0/24 }
nft add element inet ocinet masquerade4 { "vetha1a1a1a1a1a" . 10.1.2.3 }`,
  );
  assert.deepEqual(result, {
    ...ptp.link(parse({}), at).result,
    ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 1 }],
    routes: lease.routes,
    dns: lease.dns,
  });
});

test("an IPv6 address too, and the host keeps its own default route", () => {
  assert.equal(
    show(address({}, { ...lease, ips: [{ address: "fd00::3/64", gateway: "fd00::1" }], routes: [] }).steps),
    `ip address replace fd00::1/128 dev vetha1a1a1a1a1a nodad
ip route add fd00::3/128 dev vetha1a1a1a1a1a
container: ip address replace fd00::3/64 dev eth0 nodad noprefixroute
container: ip route add fd00::1/128 dev eth0 scope link src fd00::3
container: ip route add fd00::/64 via fd00::1 dev eth0 src fd00::3
sysctl -w net/ipv6/conf/ens1/accept_ra=2
sysctl -w net/ipv6/conf/all/forwarding=1
container: sysctl -w net/ipv6/conf/lo/disable_ipv6=0
container: sysctl -w net/ipv6/conf/eth0/disable_ipv6=0
container: sysctl -w net/ipv6/conf/eth0/keep_addr_on_down=1
container: sysctl -w net/ipv6/conf/eth0/accept_ra=0
nft add element inet ocinet links { "vetha1a1a1a1a1a" }
nft add element inet ocinet routed { "vetha1a1a1a1a1a" }
nft create element inet ocinet members6 { "vetha1a1a1a1a1a" . fd00::3 comment "c1 vetha1a1a1a1a1a" }
nft add element inet ocinet subnets6 { "vetha1a1a1a1a1a" . fd00::3 . fd00::/64 }`,
  );
});

test("an internal network's container is known by its link, whatever it sends", () => {
  const lines = (conf: Record<string, unknown>) => show(address(conf).steps).split("\n");
  assert.deepEqual(
    lines({ internal: true }).filter((line) => !lines({}).includes(line)),
    ['nft add element inet ocinet internal { "vetha1a1a1a1a1a" }'],
  );
});

test("dns of the configuration stands in for IPAM's", () => {
  assert.deepEqual(address({ dns: { search: [] } }).result.dns, { search: [] });
});

test("an IPAM that gives no address is refused", () => {
  const message = "IPAM plugin returned missing IP config";
  assert.throws(() => address({}, { ...lease, ips: [] }), { code: 999, message });
});

test("what cannot be is refused", () => {
  assert.throws(() => ptp.parse(fields({})), {
    code: 7,
    message: 'Cannot use type "ptp" without addresses: give it an "ipam" with a "type"',
  });
  assert.throws(() => parse({ mtu: 65536 }), { code: 6 });
  assert.throws(() => parse({ ipMasq: true, ipMasqBackend: "ipfw" }), {
    code: 999,
    message: 'unknown ipmasq backend "ipfw"',
  });
  assert.throws(() => address({}, { ...lease, ips: [{ address: "10.1.2.3/24" }] }), {
    code: 7,
    message: 'Cannot route 10.1.2.3/24: its IPAM gives no gateway, which type "ptp" needs',
  });
});
