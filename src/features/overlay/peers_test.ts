import assert from "node:assert/strict";
import { test } from "node:test";
import { show } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { claimValue } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { parseClaim, parseHost, parseNetwork, writeNetwork } from "./keys.ts";
import { guardStep, guardTable, linkSteps, mtuOf } from "./links.ts";
import {
  floodSteps,
  guardSteps,
  noEntries,
  observeEntries,
  observeGuard,
  peerSteps,
  wantedEntries,
} from "./peers.ts";

const network = parseNetwork("a", '{"version":1,"vni":7,"subnets":["10.9.0.0/24","fd00:9::/64"]}');
const host = (underlay: string) =>
  parseHost("h", JSON.stringify({ version: 1, underlay, mtu: 1500, port: 4789, instance: "i" }));
const hosts = new Map([["h1", host("192.0.2.1")], ["h2", host("192.0.2.2")], ["h3", host("192.0.2.3")]]);

function claims(...all: readonly (readonly [string, string, string])[]): Map<string, KeyValue> {
  return new Map(all.map(([address, host, id]) => {
    const value = claimValue({ host, id, ifname: "eth0" }, [address]);
    return [address, { key: address, value, created: "1", modified: "1" }];
  }));
}

const names = { bridge: "ov0", vxlan: "vx0" };
const lines = (steps: Parameters<typeof show>[0]) => show(steps).split("\n").filter((line) => line !== "");

test("other hosts' endpoints are entries in three tables; our own and dead hosts' are not", () => {
  const wanted = wantedEntries(
    network,
    claims(["10.9.0.2", "h1", "c1"], ["10.9.0.3", "h2", "c2"], ["10.9.0.4", "dead", "c3"]),
    hosts,
    "h1",
  );
  assert.deepEqual(wanted.problems, []);
  assert.deepEqual([...wanted.hosts], ["192.0.2.2"]);
  assert.deepEqual(lines(peerSteps(noEntries, wanted, names)), [
    "bridge fdb replace 02:6f:0a:09:00:03 dev vx0 dst 192.0.2.2",
    "bridge fdb replace 02:6f:0a:09:00:03 dev vx0 master static sticky",
    "ip neigh replace 10.9.0.3 lladdr 02:6f:0a:09:00:03 dev ov0 nud permanent",
  ]);
});

test("a host whose underlay is of another family is told, and costs no other its entries", () => {
  const mixed = new Map([...hosts, ["h3", host("2001:db8::3")]]);
  const all = claims(["10.9.0.3", "h3", "c3"], ["10.9.0.4", "h2", "c2"]);
  const { vteps, problems } = wantedEntries(network, all, mixed, "h1");
  assert.deepEqual([...vteps.values()], ["192.0.2.2"]);
  assert.match(
    problems[0]!,
    /^Cannot reach host "h3": its underlay has 2001:db8::3, and this host's 192\.0\.2\.1/,
  );
});

test("a host whose underlay is in the network's subnet is told, and costs no other its entries", () => {
  const inside = new Map([...hosts, ["h3", host("10.9.0.200")]]);
  const all = claims(["10.9.0.3", "h3", "c3"], ["10.9.0.4", "h2", "c2"]);
  const { vteps, problems } = wantedEntries(network, all, inside, "h1");
  assert.deepEqual([...vteps.values()], ["192.0.2.2"]);
  assert.match(
    problems[0]!,
    /^Cannot reach host "h3": network "a" contains the underlay's address 10\.9\.0\.200;/,
  );
});

test("a host with this host's own underlay address is told, and nothing is sent to it", () => {
  const twin = new Map([...hosts, ["h3", host("192.0.2.1")]]);
  const all = claims(["10.9.0.3", "h3", "c3"], ["10.9.0.4", "h2", "c2"]);
  const { vteps, problems } = wantedEntries(network, all, twin, "h1");
  assert.deepEqual([...vteps.values()], ["192.0.2.2"]);
  assert.deepEqual(problems, [
    `Cannot reach host "h3": its underlay's address 192.0.2.1 is this host's own`,
  ]);
});

test("multicast goes to hosts that have come since, and to those that have left no more", async () => {
  const rows = ["192.0.2.2", "192.0.2.4"].map((dst) => ({
    mac: "00:00:00:00:00:00",
    dst,
    state: "permanent",
  }));
  const one = { mac: "02:6f:0a:09:00:03", dst: "192.0.2.2", state: "permanent" };
  const world = {
    run: (argv: readonly string[]) =>
      Promise.resolve({ code: 0, stdout: argv[0] === "bridge" ? JSON.stringify([...rows, one]) : "" }),
  } as unknown as World;
  const { floods, vteps } = await observeEntries(world, names);
  assert.deepEqual([...vteps], [["02:6f:0a:09:00:03", "192.0.2.2"]]);
  assert.deepEqual(lines(floodSteps("vx0", floods, new Set(["192.0.2.3", "192.0.2.2"]))), [
    "bridge fdb del 00:00:00:00:00:00 dev vx0 dst 192.0.2.4",
    "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 192.0.2.3",
  ]);
});

test("an IPv6 endpoint has its link-local address, too", () => {
  const wanted = wantedEntries(network, claims(["fd00:9::3", "h2", "c2"]), hosts, "h1");
  assert.deepEqual([...wanted.neighbours.keys()], ["fd00:9::3", "fe80::6f:ff:fe00:3"]);
});

test("an endpoint that moves to another host is led there, one that comes home or goes is not led at all", () => {
  const before = wantedEntries(network, claims(["10.9.0.3", "h2", "c2"]), hosts, "h1");
  const moved = wantedEntries(network, claims(["10.9.0.3", "h3", "c2"]), hosts, "h1");
  assert.deepEqual(lines(peerSteps(before, moved, names)), [
    "bridge fdb replace 02:6f:0a:09:00:03 dev vx0 dst 192.0.2.3",
  ]);
  const home = wantedEntries(network, claims(["10.9.0.3", "h1", "c2"]), hosts, "h1");
  assert.deepEqual(lines(peerSteps(before, home, names)), [
    "bridge fdb del 02:6f:0a:09:00:03 dev vx0 master",
    "bridge fdb del 02:6f:0a:09:00:03 dev vx0 dst 192.0.2.2",
    "ip neigh del 10.9.0.3 dev ov0",
  ]);
  assert.deepEqual(peerSteps(before, before, names), []);
});

test("a claim that is none, lies outside, or uses another's MAC address is told and left out", () => {
  const bad = (address: string, value: string) =>
    wantedEntries(
      network,
      new Map([[address, { key: "", value, created: "1", modified: "1" }]]),
      hosts,
      "h1",
    );
  const good = claimValue({ host: "h2", id: "c2", ifname: "eth0" }, ["10.9.0.3"]);
  const record = JSON.parse(good) as Record<string, unknown>;
  const changed = (more: Record<string, unknown>) => JSON.stringify({ ...record, ...more });
  for (
    const [address, value] of [
      ["10.9.0.3", "no JSON"],
      ["10.9.0.3", "[]"],
      ["10.9.0.3", changed({ version: 2 })],
      ["10.9.0.3", changed({ mac: "ff:ff:ff:ff:ff:ff" })],
      ["10.9.0.3", changed({ mac: "01:00:5e:00:00:01" })],
      ["10.9.0.3", changed({ host: "../h2" })],
      ["10.8.0.3", good],
      ["10.9.0.1", good],
      ["10.9.0.255", good],
      ["10.9.0.3\n", good],
      ["010.9.0.3", good],
    ] as const
  ) {
    const wanted = bad(address, value);
    assert.equal(wanted.problems.length, 1, `${address} ${value}`);
    assert.equal(wanted.neighbours.size, 0);
  }
  // Whichever comes first: by address, or by family.
  for (const address of ["10.9.0.2", "10.9.0.9", "fd00:9::9"]) {
    const value = JSON.stringify({ ...record, host: "h3" });
    const thief = [address, { key: "", value, created: "1", modified: "1" }] as const;
    const wanted = wantedEntries(network, new Map([thief, ...claims(["10.9.0.3", "h2", "c2"])]), hosts, "h1");
    assert.deepEqual([...wanted.vteps], [["02:6f:0a:09:00:03", "192.0.2.2"]]);
    assert.equal(wanted.problems.length, 1);
  }
});

test("records that cannot be true are refused", () => {
  const base = { version: 1, underlay: "192.0.2.1", mtu: 1500, port: 4789, instance: "i" };
  for (
    const more of [
      ...["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "x"].map((
        underlay,
      ) => ({
        underlay,
      })),
      ...[{ mtu: 0 }, { mtu: 1e9 }, { port: 0 }, { version: 99 }, { version: "1" }],
    ]
  ) {
    assert.throws(() => parseHost("h", JSON.stringify({ ...base, ...more })), Error, JSON.stringify(more));
  }
  for (const more of [{ vni: 0 }, { vni: 2 ** 24 }, { mtu: 67 }, { subnets: [] }, { subnets: ["x"] }]) {
    const json = { version: 1, vni: 7, subnets: ["10.9.0.0/24"], ...more };
    assert.throws(() => parseNetwork("a", JSON.stringify(json)), Error, JSON.stringify(more));
  }
  for (const name of ["", "a\n", "../a", "__proto__"]) {
    assert.throws(() => parseHost(name, JSON.stringify(base)));
  }
  assert.throws(() => parseNetwork("a\n", '{"version":1,"vni":7,"subnets":["10.9.0.0/24"]}'));
  assert.throws(() => parseClaim('{"version":1,"host":"h1","mac":"00:00:00:00:00:00"}'));
});

test("what a later ocinet adds to records of this version does no harm", () => {
  const later = (text: string) => JSON.stringify({ ...JSON.parse(text), later: { than: "this" } });
  const told = [...claims(["10.9.0.3", "h2", "c2"])].map(([address, entry]) =>
    [address, { ...entry, value: later(entry.value) }] as const
  );
  const record = '{"version":1,"underlay":"192.0.2.2","mtu":1500,"port":4789,"instance":"i"}';
  assert.deepEqual(parseHost("h", later(record)), parseHost("h", record));
  assert.deepEqual(wantedEntries(network, new Map(told), hosts, "h1").problems, []);
  assert.deepEqual(parseNetwork("a", later(writeNetwork(network))), network);
});

test("a guard that lacks a rule is none", async () => {
  const lines = "add table inet t\nadd set inet t peers { x }\nadd chain inet t c\nadd rule inet t c drop\n";
  const whole =
    "table inet t { # handle 9\nset peers { # handle 1\nelements = { 192.0.2.2,\n 192.0.2.3 }\n}\n" +
    "chain c { # handle 2\ndrop # handle 3\n}\n}\n";
  const seen = async (stdout: string) => {
    const world = { run: () => Promise.resolve({ code: 0, stdout, stderr: "" }) } as unknown as World;
    return await observeGuard(world, "inet t", lines);
  };
  assert.deepEqual([...(await seen(whole))!], ["192.0.2.2", "192.0.2.3"]);
  assert.equal(await seen(whole.replace("drop # handle 3\n", "")), undefined);
});

test("the links of a network, and the rules that guard it", () => {
  const local = {
    ...{ network, digest: "abcdef0123456789", own: ["10.9.0.5/24", "fd00:9::5/64"], port: 4789 },
    underlay: { address: "192.0.2.1", mtu: 1500 },
  };
  const ip = lines(linkSteps(local, 1450)).filter((line) => line.startsWith("ip "));
  assert.deepEqual(ip, [
    "ip link add name ovabcdef01234 address 02:6f:0a:09:00:05 mtu 1450 type bridge",
    "ip link add name vxabcdef01234 address 02:6e:0a:09:00:05 mtu 1450 master ovabcdef01234 type vxlan id 7 " +
    "dstport 4789 local 192.0.2.1 nolearning noudpcsum",
    "ip link set dev vxabcdef01234 type bridge_slave neigh_suppress on learning off",
    "ip link set dev vxabcdef01234 up",
    "ip link set dev ovabcdef01234 up",
    "ip address replace 10.9.0.5/24 dev ovabcdef01234 brd +",
    "ip address replace fd00:9::5/64 dev ovabcdef01234 nodad",
    "ip address replace 10.9.0.1/32 dev ovabcdef01234 noprefixroute",
    "ip address replace fd00:9::1/128 dev ovabcdef01234 nodad noprefixroute preferred_lft 0",
  ]);
  const rules = show([guardStep(local)]);
  assert.match(rules, /arriving udp dport 4789 @th,96,24 7 ip saddr @peers notrack accept/);
  assert.match(rules, /arriving udp dport 4789 @th,96,24 7 fib daddr type local counter drop/);
  assert.match(rules, /hook forward priority filter; /);
  assert.doesNotMatch(rules, /pkttype/);
  // Multicast goes out, but no ARP, and nothing for a container that no host is known to have.
  const many = { ...local, network: { ...network, multicast: true as const } };
  assert.deepEqual(parseNetwork("a", writeNetwork(many.network)), many.network);
  const links = show(linkSteps(many, 1450));
  assert.match(links, / nolearning proxy noudpcsum\n/);
  assert.match(links, / neigh_suppress on learning off flood off\n/);
  assert.match(
    show([guardStep(many)]),
    /hook forward priority filter - 2; .*forwarded oifname "ovabcdef01234" meta pkttype \{ broadcast, multicast \} meta mark set/s,
  );
  const table = guardTable(network);
  assert.deepEqual(lines(guardSteps(table, new Set(["192.0.2.3"]), new Set(["192.0.2.2"]))), [
    "nft delete element inet ocinet_7 peers { 192.0.2.3 }",
    "nft add element inet ocinet_7 peers { 192.0.2.2 }",
  ]);
  const over6 = { ...local, underlay: { address: "2001:db8::1", mtu: 1500 } };
  assert.doesNotMatch(show(linkSteps(over6, 1430)), /noudpcsum/);
  assert.match(show([guardStep(over6)]), /ip6 saddr @peers/);
});

test("the MTU is what the smallest underlay leaves", () => {
  const underlays = [{ address: "192.0.2.1", mtu: 9000 }, { address: "192.0.2.2", mtu: 1500 }];
  assert.equal(mtuOf(network, underlays), 1450);
  assert.equal(mtuOf({ ...network, mtu: 1400 }, underlays), 1400);
  assert.equal(mtuOf(network, [{ address: "2001:db8::1", mtu: 1500 }]), 1430);
  // IPv6 works with no less, whatever a host says.
  const small = [{ address: "192.0.2.1", mtu: 576 }];
  assert.equal(mtuOf(network, small), 1280);
  assert.equal(mtuOf({ ...network, subnets: ["10.9.0.0/24"] }, small), 526);
});
