import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { claimValue } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { meshLeftovers, type MeshNetwork, meshRoutes, meshRules } from "./mesh.ts";
import { giveMarks, mostPairs, readMarks, writeMarks } from "./mesh_marks.ts";
import { drainedOf, hostsOf, targetsOf } from "./mesh_targets.ts";
import { localMembers, type Member, readMember } from "./services.ts";

const network: MeshNetwork = {
  ...{
    bridge: "ov1",
    internal: false,
    subnets: ["10.9.0.0/24", "fd00:9::/64"],
    own: ["10.9.0.2", "fd00:9::2"],
  },
  hosts: [{ name: "h2", addresses: ["10.9.0.3", "fd00:9::3"], mac: "02:6f:0a:09:00:03", mark: 1 }],
  targets: [{
    ...{ protocol: "tcp", hostPort: 8080, affinity: false },
    members: [
      { address: "10.9.0.4", host: "h1", port: 80 },
      { address: "10.9.0.5", host: "h2", port: 81 },
      { address: "fd00:9::5", host: "h2", port: 81 },
    ],
  }],
  drained: [],
};

test("a port leads to each member in turn, by family, with the client's address", () => {
  const rules = meshRules([network], ["192.0.2.1", "192.0.2.2"]).split("\n");
  const chain = (name: string) =>
    rules.filter((one) => one.startsWith(`add rule inet ocinet_mesh ${name} `)).map((one) =>
      one.slice(`add rule inet ocinet_mesh ${name} `.length)
    );
  // nft 1.0.6 takes a port in `dnat` only beside a match of the transport protocol.
  assert.deepEqual(chain("tcp_8080").slice(-2), [
    "meta nfproto ipv4 meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 10.9.0.4 . 80, 1 : 10.9.0.5 . 81 }",
    "meta nfproto ipv6 meta l4proto tcp dnat ip6 to numgen inc mod 1 map { 0 : fd00:9::5 . 81 }",
  ]);
  assert.deepEqual(chain("ports"), ["tcp dport 8080 goto tcp_8080"]);
  // Those that have another way back are seen with this host's own address: the gateway's is every host's.
  const masked = "ct mark set ct mark and 0x80ffffff or 0x7e000000";
  assert.deepEqual(chain("tcp_8080").slice(1, 4), [
    `fib saddr type local ${masked}`,
    `ip saddr { 192.0.2.1, 192.0.2.2, 10.9.0.0/24 } ${masked}`,
    `ip6 saddr { fd00:9::/64, fe80::/10 } ${masked}`,
  ]);
  const isMasked = "ct direction original ct mark and 0x7f000000 == 0x7e000000";
  assert.deepEqual(chain("leaving"), [
    `oifname ov1 meta nfproto ipv4 ${isMasked} snat ip to 10.9.0.2`,
    `oifname ov1 meta nfproto ipv6 ${isMasked} snat ip6 to fd00:9::2`,
  ]);
  // The answer goes back to the host that the packet came from.
  assert.deepEqual(chain("came"), [
    "iifname ov1 ether saddr 02:6f:0a:09:00:03 ip saddr != 10.9.0.0/24 ct state new " +
    "ct mark set ct mark and 0x80ffffff or 0x01000000",
    "iifname ov1 ether saddr 02:6f:0a:09:00:03 ip6 saddr != fd00:9::/64 ct state new " +
    "ct mark set ct mark and 0x80ffffff or 0x01000000",
    "iifname ov1 ct direction reply ct mark and 0x7f000000 == 0x01000000 " +
    "meta mark set meta mark and 0x80ffffff or 0x01000000",
  ]);
  assert.deepEqual(chain("asking").slice(0, 2), ["ip daddr 127.0.0.0/8 return", "ip6 daddr ::1 return"]);
  assert.equal(meshRules([], []), "add table inet ocinet_mesh\ndelete table inet ocinet_mesh\n");
});

test("a port is open on hosts' addresses in its subnet alone", () => {
  const [target] = network.targets;
  const on = (subnet: string) => ({ ...target!, on: subnet });
  const rules = meshRules([{ ...network, targets: [on("192.0.2.0/24"), on("::/0")] }], []).split("\n");
  assert.deepEqual(rules.filter((one) => one.includes(" dport ")), [
    "add rule inet ocinet_mesh ports ip daddr 192.0.2.0/24 tcp dport 8080 goto tcp_8080_192.0.2.0/24",
    "add rule inet ocinet_mesh ports ip6 daddr ::/0 tcp dport 8080 goto tcp_8080___/0",
  ]);
  assert.ok(rules.includes("add chain inet ocinet_mesh tcp_8080___/0"));
});

test("members that have no way out see the host that was asked", () => {
  assert.match(
    meshRules([{ ...network, internal: true }], []),
    /tcp_8080 ct mark set ct mark and 0x80ffffff or 0x7e000000\n/,
  );
});

test("by client a hash of its address chooses the member", () => {
  const [target] = network.targets;
  const rules = meshRules([{ ...network, targets: [{ ...target!, protocol: "udp", affinity: true }] }], []);
  assert.match(
    rules,
    /meta l4proto udp dnat ip to jhash ip saddr mod 2 seed 0x6f63 map \{ 0 : 10\.9\.0\.4 \. 80,/,
  );
  assert.match(rules, /meta l4proto udp dnat ip6 to jhash ip6 saddr mod 1 seed 0x6f63 map/);
  assert.doesNotMatch(rules, /numgen/);
});

test("packets go to a member by its host, answers by the host that was asked, and each line has its undo", () => {
  assert.deepEqual([...meshRoutes([network], 4)], [
    [
      "rule add pref 82 fwmark 0x01000000/0x7f000000 iif ov1 lookup 28401 protocol kernel",
      "rule del pref 82 fwmark 0x01000000/0x7f000000 iif ov1 lookup 28401",
    ],
    [
      "route replace default via 10.9.0.3 dev ov1 table 28401 protocol kernel",
      "route del default table 28401",
    ],
    [
      "route replace 10.9.0.5 via 10.9.0.3 dev ov1 table 28527 protocol kernel",
      "route del 10.9.0.5 table 28527",
    ],
    [
      "rule add pref 208 fwmark 0x7f000000/0x7f000000 lookup 28527 protocol kernel",
      "rule del pref 208 fwmark 0x7f000000/0x7f000000 lookup 28527",
    ],
  ]);
  assert.equal(
    meshRoutes([network], 6).has("route replace fd00:9::5 via fd00:9::3 dev ov1 table 28527 protocol kernel"),
    true,
  );
  const drained = network.targets.flatMap(({ members }) => members);
  assert.deepEqual(meshRoutes([{ ...network, targets: [], drained }], 4), meshRoutes([network], 4));
  assert.equal(meshRoutes([{ ...network, hosts: [] }], 4).size, 0);
  // Rules of others with the same preference stay.
  const leftovers = meshLeftovers().trim().split("\n");
  assert.equal(
    leftovers.every((one) => /^(rule del pref \d+ fwmark \S+ lookup|route flush table) 28\d{3}$/.test(one)),
    true,
  );
  assert.equal(leftovers.length, 2 * (mostPairs + 1));
});

test("a host keeps its mark whichever hosts come and go, and is given that of one that is gone only when none is free", () => {
  const first = giveMarks(new Map(), ["ov1/h2", "ov1/h3"]);
  assert.deepEqual([...first], [["ov1/h2", 1], ["ov1/h3", 2]]);
  const second = giveMarks(first, ["ov1/h1", "ov1/h3"]);
  assert.deepEqual([...second], [["ov1/h2", 1], ["ov1/h3", 2], ["ov1/h1", 3]]);
  const many = Array.from({ length: mostPairs }, (_, i) => `ov1/n${i}`);
  const full = giveMarks(second, many);
  assert.equal(new Set(full.values()).size, mostPairs);
  assert.deepEqual(many.map((one) => full.has(one)), many.map(() => true));
  assert.equal(giveMarks(full, [...many, "ov1/one-more"]).has("ov1/one-more"), false);
});

test("marks outlive the agent, and what is no mark is not read", () => {
  const { world } = newFake();
  world.makeDirectory("/s");
  writeMarks(world, "/s", new Map([["ov1/h2", 7]]));
  assert.deepEqual([...readMarks(world, "/s")], [["ov1/h2", 7]]);
  world.write("/s/mesh.json", '{"a":0,"b":126,"c":"1","d":1.5,"e":3}');
  assert.deepEqual([...readMarks(world, "/s")], [["e", 3]]);
  world.write("/s/mesh.json", "{");
  assert.equal(readMarks(world, "/s").size, 0);
  writeMarks(world, "/s", new Map());
  assert.equal(world.read("/s/mesh.json"), undefined);
});

const entry = (value: string): KeyValue => ({ key: "", value, created: "1", modified: "1" });
const claimed = (host: string, id: string, ...addresses: readonly string[]) =>
  addresses.map((one) =>
    [one, entry(claimValue({ host, id, ifname: id && "eth0" }, [addresses[0]!]))] as const
  );
const claims = new Map([
  ...claimed("h1", "", "10.9.0.2", "fd00:9::2"),
  ...claimed("h2", "", "10.9.0.3"),
  ...claimed("h3", "", "10.9.0.9", "fd00:9::9"),
  ...claimed("h1", "a", "10.9.0.4", "fd00:9::4"),
  ...claimed("h2", "b", "10.9.0.5", "fd00:9::5"),
  ...claimed("h3", "c", "10.9.0.6"),
  ...claimed("h2", "d", "192.0.2.7"),
]);
const member = (
  host: string,
  id: string,
  addresses: readonly string[],
  more: Partial<Member> = {},
): Member => ({
  ...{ network: "shop", service: "web", ifname: "eth0", affinity: false, host, id, addresses },
  ...{ ports: [{ protocol: "tcp", hostPort: 8080, port: 80 }], ...more },
});
const shop = { name: "shop", vni: 4097, subnets: ["10.9.0.0/24", "fd00:9::/64"], internal: false };

test("a port leads to members whose address is theirs, on hosts that are there and can be reached", () => {
  const hosts = hostsOf(claims, (host) => host !== "h3");
  assert.deepEqual(hosts.map(({ name, addresses }) => [name, ...addresses]), [
    ["h1", "10.9.0.2", "fd00:9::2"],
    ["h2", "10.9.0.3"],
  ]);
  const led = (...all: readonly Member[]) =>
    targetsOf(shop, claims, all, hosts).map((
      { service, affinity, members },
    ) => [service, affinity, ...members.map(({ address }) => address)]);
  // h2 has no IPv6 on the network.
  assert.deepEqual(
    led(member("h2", "b", ["10.9.0.5", "fd00:9::5"]), member("h1", "a", ["10.9.0.4", "fd00:9::4"])),
    [["web", false, "10.9.0.4", "fd00:9::4", "10.9.0.5"]],
  );
  // Another's address, one that no container has, one outside of the network, and a host that is gone.
  assert.deepEqual(led(member("h2", "b", ["10.9.0.4", "10.9.0.8"])), []);
  assert.deepEqual(led(member("h2", "d", ["192.0.2.7"]), member("h3", "c", ["10.9.0.6"])), []);
  // By which addresses a port is asked is part of it.
  const near = { ports: [{ protocol: "tcp", hostPort: 8080, port: 80, on: "192.0.2.0/24" }] } as const;
  assert.deepEqual(
    targetsOf(shop, claims, [member("h1", "a", ["10.9.0.4"], near), member("h2", "b", ["10.9.0.5"])], hosts)
      .map(({ on, members }) => [on, ...members.map(({ address }) => address)]),
    [["192.0.2.0/24", "10.9.0.4"], [undefined, "10.9.0.5"]],
  );
  // No port leads to one that is drained, but packets still go to it by its host.
  const drained = member("h2", "b", [], { drained: ["10.9.0.5", "10.9.0.4"] });
  assert.deepEqual(led(drained), []);
  assert.deepEqual(drainedOf(shop, claims, [drained], hosts), [{ address: "10.9.0.5", host: "h2" }]);
  // As soon as one member wants it, clients stay where they are.
  assert.deepEqual(
    led(member("h1", "a", ["10.9.0.4"]), member("h2", "b", ["10.9.0.5"], { affinity: true })),
    [["web", true, "10.9.0.4", "10.9.0.5"]],
  );
});

test("this host's members are told by network and container, and what another host tells is checked", () => {
  const { world } = newFake();
  const text =
    '{"service":"web","addresses":["10.9.0.4"],"ports":[{"protocol":"tcp","hostPort":8080,"port":80}],"affinity":true}';
  world.makeDirectory("/s/services/shop");
  world.write("/s/services/shop/a eth0", text);
  const [[key, value]] = [...localMembers(world, "/s", "h1")] as [[string, string]];
  assert.equal(key, "shop/h1/a/eth0");
  assert.deepEqual(readMember(key, entry(value)), member("h1", "a", ["10.9.0.4"], { affinity: true }));
  world.makeDirectory("/s/drained/shop");
  world.write("/s/drained/shop/a eth0", "web");
  const [told] = [...localMembers(world, "/s", "h1").values()];
  const drained = { affinity: true, drained: ["10.9.0.4"] };
  assert.deepEqual(readMember(key, entry(told!)), member("h1", "a", [], drained));
  const bad = (at: string, change: Record<string, unknown>) =>
    assert.throws(() => readMember(at, entry(JSON.stringify({ ...JSON.parse(value), ...change }))), at);
  bad("shop/h1/a", {});
  bad("shop/h1/a/eth0/more", {});
  bad("shop/h1/../eth0", {});
  bad(key, { service: "web; drop" });
  bad(key, { ports: [{ protocol: "tcp; drop", hostPort: 8080, port: 80 }] });
  bad(key, { ports: [{ protocol: "tcp", hostPort: "80", port: 80 }] });
  bad(key, { ports: [{ protocol: "tcp", hostPort: 0, port: 80 }] });
  bad(key, { ports: [{ protocol: "tcp", hostPort: 8080, port: 80, on: "192.0.2.0/24 tcp" }] });
  bad(key, { ports: [null] });
  // What is no address is left out.
  const { addresses } = readMember(
    key,
    entry(JSON.stringify({ ...JSON.parse(value), addresses: ["10.9.0.4;", "010.9.0.4"] })),
  );
  assert.deepEqual(addresses, []);
});
