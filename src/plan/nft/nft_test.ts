import assert from "node:assert/strict";
import { test } from "node:test";
import { passMark } from "./chains.ts";
import { again, elementsIn, tableOf } from "./element.ts";
import {
  contain,
  type Endpoint,
  guardBridges,
  guardHost,
  guardLocalnet,
  guardResolver,
  guardVeth,
  join,
  keepApart,
  keepBridgeInternal,
  keepInternal,
  keepUnforwarded,
  letPass,
  masquerade,
  masqueradeInbound,
  neighbour,
  open,
} from "./endpoint.ts";
import { forwardPort, holdPort, mapsOfOthers, showElementStep, sparePort6, takenByOther } from "./ports.ts";
import { baseTable, baseTableWithoutSockets, dropTable, sharedSets } from "./table.ts";
import { allowOnlyMac, bridgeTable, dropBridgeTable, forbidSpoofing } from "./bridge.ts";
import { setLink } from "../ip.ts";
import { show } from "../step.ts";

const ips = [{ address: "10.1.2.3/24" }, { address: "fd00::3/64" }];
const at: Endpoint = { link: "br-1.7", owner: "c1 veth1" };

test("a container's address is known by its link, and is one container's", () => {
  assert.equal(
    show(join(at, ips)),
    `nft create element inet ocinet members4 { "br-1.7" . 10.1.2.3 comment "c1 veth1" }
nft create element inet ocinet members6 { "br-1.7" . fd00::3 comment "c1 veth1" }
nft add element inet ocinet subnets4 { "br-1.7" . 10.1.2.3 . 10.1.2.0/24 }
nft add element inet ocinet subnets6 { "br-1.7" . fd00::3 . fd00::/64 }`,
  );
});

test("an address is masqueraded and contained by one element each", () => {
  assert.equal(
    show([...masquerade(at, ips), ...contain(at, ips)]),
    `nft add element inet ocinet masquerade4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet masquerade6 { "br-1.7" . fd00::3 }
nft add element inet ocinet contained4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet contained6 { "br-1.7" . fd00::3 }`,
  );
  assert.deepEqual(masquerade(at, []), []);
});

test("which hosts reach an address is an element or two", () => {
  const four = ips.slice(0, 1);
  assert.equal(
    show([
      ...letPass(at, four),
      ...open(at, ips),
      ...keepApart(at, four, false),
      ...keepApart(at, four, true),
    ]),
    `nft add element inet ocinet passed4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet open4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet open6 { "br-1.7" . fd00::3 }
nft add element inet ocinet apart4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet apart4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet isolated4 { "br-1.7" . 10.1.2.3 }`,
  );
  assert.throws(() => keepApart({ ...at, link: 'br0" }' }, ips, false), /is not one plain word/);
});

test("whom a published container sees is one element", () => {
  assert.equal(
    show([masqueradeInbound(at, "10.1.2.3/24", true), masqueradeInbound(at, "fd00::3", false)]),
    `nft add element inet ocinet masked4 { "br-1.7" . 10.1.2.3 }
nft add element inet ocinet unmasked6 { "br-1.7" . fd00::3 }`,
  );
});

test("a port is one element, by the address it is published on, that says whose it is", () => {
  const port = { protocol: "tcp", hostPort: 8080, port: 80 };
  assert.equal(
    show([
      forwardPort("c1 veth1", { ...port, address: "10.1.2.3" }),
      forwardPort("c1", { ...port, address: "fd00::3" }),
      forwardPort("c1", { ...port, address: "10.1.2.3", hostIp: "127.0.0.1" }, true),
      forwardPort("x".repeat(200), { ...port, address: "fd00::3", hostIp: "::1" }, true),
    ]),
    `nft create element inet ocinet ports4 { tcp . 8080 comment "c1 veth1" : 10.1.2.3 . 80 }
nft create element inet ocinet ports6 { tcp . 8080 comment "c1" : fd00::3 . 80 }
nft create element inet ocinet hostports4 { 127.0.0.1 . tcp . 8080 comment "c1" : 10.1.2.3 . 80 }
nft create element inet ocinet hostports6 { ::1 . tcp . 8080 comment "${"x".repeat(100)}" : fd00::3 . 80 }`,
  );
});

test("a port on one address is refused where it leads elsewhere on all, unless its container has both", () => {
  const port = { protocol: "tcp", hostIp: "10.0.0.1", hostPort: 8080, address: "10.1.2.3", port: 80 };
  const made = `create element inet ocinet hostports4 { 10.0.0.1 . tcp . 8080 comment "c1" : 10.1.2.3 . 80 }`;
  const probe = "element inet ocinet ports4 { tcp . 8080 : 10.1.2.3 . 80 }";
  assert.equal(forwardPort("c1", port).run, `create ${probe}; delete ${probe}; ${made}`);
  assert.equal(forwardPort("c1", port, true).run, made);
  assert.equal(again(forwardPort("c1", port, true)).run, made.replace("create", "add"));
});

test("a port on all addresses is found to be another container's on one", () => {
  const port = { protocol: "tcp", hostPort: 8080, port: 80 };
  const steps = [
    forwardPort("c1 veth1", { ...port, address: "10.1.2.3" }),
    forwardPort("c1 veth1", { ...port, address: "fd00::3" }),
    forwardPort("c1 veth1", { ...port, hostIp: "10.0.0.1", hostPort: 81, address: "10.1.2.3" }),
  ];
  assert.deepEqual(
    mapsOfOthers(steps),
    ["hostports4", "ranges4", "hostports6", "ranges6"].map((map) => `inet ocinet ${map}`),
  );
  const listed = (owner: string, key = "10.0.0.9 . tcp . 8080") => [{ set: "hostports4", key, owner }];
  assert.deepEqual(takenByOther(steps, listed("c2 veth2")), { step: steps[0], by: listed("c2 veth2")[0] });
  assert.equal(takenByOther(steps, listed("c1 veth9")), undefined);
  for (const other of ["10.0.0.9 . udp . 8080", "10.0.0.1 . tcp . 81"]) {
    assert.equal(takenByOther(steps, listed("c2", other)), undefined);
  }
  const range = forwardPort("c1", { ...port, count: 20, address: "10.1.2.3" });
  assert.equal(range.run, 'create element inet ocinet ranges4 { tcp . 8080-8099 comment "c1" : 10.1.2.3 }');
  assert.deepEqual(mapsOfOthers([range]), ["inet ocinet ports4", "inet ocinet hostports4"]);
  for (const key of ["tcp . 8080", "tcp . 8099", "tcp . 8079", "tcp . 8100", "udp . 8080"]) {
    const by = { set: "ports4", key, owner: "c2" };
    const isTaken = /tcp . 80[89]/.test(key);
    assert.deepEqual(takenByOther([range], [by]), isTaken ? { step: range, by } : undefined, key);
  }
  assert.deepEqual([...steps, ...join(at, ips)].map(showElementStep), [
    "publish port 8080/tcp",
    "publish port 8080/tcp",
    "publish port 81/tcp on 10.0.0.1",
    "use address 10.1.2.3 on link br-1.7",
    "use address fd00::3 on link br-1.7",
    ...neighbour(at, ips).map((step) => `do "${show([step])}"`),
  ]);
});

test("an element is taken away whether or not it is there", () => {
  assert.equal(
    forwardPort("c1", { protocol: "udp", hostPort: 53, address: "10.1.2.3", port: 53 }).undo,
    "add element inet ocinet ports4 { udp . 53 : 10.1.2.3 . 53 }\n" +
      "delete element inet ocinet ports4 { udp . 53 : 10.1.2.3 . 53 }",
  );
});

test("the elements and tables of steps are known", () => {
  const target = { address: "fd00::2", port: 80 };
  const port = forwardPort("c1", { protocol: "tcp", hostIp: "fd00::1", hostPort: 8080, ...target });
  const steps = [port, ...masquerade(at, ips.slice(0, 1)), setLink("host", "a", "up")];
  assert.deepEqual(elementsIn(steps).map(({ set, key, value }) => [set, key, value]), [
    ["inet ocinet hostports6", "fd00::1 . tcp . 8080", "fd00::2 . 80"],
    ["inet ocinet masquerade4", '"br-1.7" . 10.1.2.3', undefined],
  ]);
  assert.deepEqual(steps.map(tableOf), ["inet ocinet", "inet ocinet", undefined]);
});

test("only one source address passes a checked bridge port", () => {
  assert.equal(
    show(allowOnlyMac("veth1", "02:00:00:00:00:02")),
    `nft add element bridge ocinet allowed { "veth1" . 02:00:00:00:00:02 }
nft add element bridge ocinet checked { "veth1" }`,
  );
});

test("no element takes more than a word", () => {
  const port = { protocol: "tcp", hostPort: 1, port: 1, address: "10.0.0.1" };
  const lines = [
    () => forwardPort("c1", { ...port, protocol: "tcp }\ndelete table inet ocinet" }),
    () => forwardPort("c1", { ...port, hostIp: "@subnets4" }),
    () => forwardPort("c1", { ...port, address: "10.0.0.1, 10.0.0.2" }),
    () => forwardPort('c1" }', port),
    () => allowOnlyMac('veth1" }', "02:00:00:00:00:02"),
    () => allowOnlyMac("veth1", "*"),
  ];
  for (const line of lines) assert.throws(line, /is not one plain word/);
});

test("every element's set is in the tables, each chain is emptied before its rules, and every rule's set exists", () => {
  const text = baseTable + bridgeTable();
  const sets = new Set([...text.matchAll(/^add (?:set|map) \w+ ocinet (\w+)/gm)].map(([, name]) => name));
  const used = [...text.matchAll(/@(?!ll,|th,)(\w+)/g)].map(([, name]) => name);
  assert.deepEqual(used.filter((name) => !sets.has(name)), []);
  const elements = [
    ...[join, masquerade, contain, letPass, open].flatMap((make) => make(at, ips)),
    ...keepApart(at, ips, true),
    ...[
      ...guardVeth(at),
      ...guardBridges("br0"),
      ...guardHost("br0"),
      guardLocalnet("br0", false),
      keepInternal(at),
    ],
    ...[holdPort, sparePort6].map((make) =>
      make({ protocol: "tcp", hostPort: 1, port: 1, address: "fd00::2" })
    ),
    ...allowOnlyMac("a", "b"),
    ...forbidSpoofing("a", "02:00:00:00:00:02", ips),
    ...ips.flatMap(({ address }) => [true, false].map((always) => masqueradeInbound(at, address, always))),
  ].map(({ run }) => run.split(" ")[4]);
  assert.deepEqual(elements.filter((name) => !sets.has(name)), []);
  for (const [, chain] of text.matchAll(/^add chain (\w+ ocinet \w+)/gm)) {
    assert.ok(text.indexOf(`flush chain ${chain}\n`) < text.indexOf(`add rule ${chain} `), chain);
  }
  assert.ok(baseTable.endsWith("\n") && bridgeTable().endsWith("\n"));
  assert.match(
    baseTable,
    new RegExp(`add rule inet ocinet pass meta mark set meta mark \\| ${passMark} accept`),
  );
});

test("a guard is an element by its link; what containers share has no undo", () => {
  const guards = [...guardVeth({ ...at, link: "veth1" }), keepInternal(at), guardLocalnet("veth1", true)];
  assert.equal(
    show(guards),
    `nft add element inet ocinet links { "veth1" }
nft add element inet ocinet routed { "veth1" }
nft add element inet ocinet internal { "br-1.7" }
nft add element inet ocinet localnet { "veth1" }`,
  );
  assert.ok(guards.every(({ undo }) => undo !== undefined));
  const shared = [
    ...guardBridges("br0", "br0.7"),
    ...guardHost("br0"),
    ...[keepBridgeInternal({ ...at, link: "br0" }), guardLocalnet("br0", false)],
    ...([4, 6] as const).map((version) => keepUnforwarded(version, ["eth0", "eth1"])),
    ...["10.1.2.1", "fd00::1"].map(guardResolver),
  ];
  assert.equal(
    show(shared),
    `nft add element inet ocinet bridges { "br0" . "br0" }
nft add element inet ocinet bridges { "br0.7" . "br0.7" }
nft add element inet ocinet own_bridges { "br0" }
nft add element inet ocinet internal { "br0" }
nft add element inet ocinet localnet { "br0" }
nft add element inet ocinet unforwarded4 { "eth0" . "eth0", "eth1" . "eth1" }
nft add element inet ocinet unforwarded6 { "eth0" . "eth0", "eth1" . "eth1" }
nft add element inet ocinet resolvers4 { 10.1.2.1 }
nft add element inet ocinet resolvers6 { fd00::1 }`,
  );
  assert.ok(shared.every(({ undo, undoBy }) => undo === undefined && undoBy === "gc"));
  assert.deepEqual([...new Set(elementsIn(shared).map(({ set }) => set.split(" ")[2]))], [...sharedSets]);
});

test("a kernel that knows nothing of sockets has all other rules", () => {
  const left = baseTable.split("\n").filter((line) => !baseTableWithoutSockets.split("\n").includes(line));
  assert.deepEqual(
    left.map((line) => line.replace(/.* socket /, "socket ")),
    Array(2).fill("socket wildcard { 0, 1 } return"),
  );
});

test("a table is dropped whether or not it is there", () => {
  assert.equal(dropTable, "add table inet ocinet\ndelete table inet ocinet\n");
  assert.equal(dropBridgeTable, "add table bridge ocinet\ndelete table bridge ocinet\n");
});
