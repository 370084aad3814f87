import assert from "node:assert/strict";
import { test } from "node:test";
import {
  baseTable,
  contain,
  dropTable,
  elementsIn,
  keepApart,
  letPass,
  masquerade,
  masqueradeInbound,
  open,
  passMark,
  publish,
  tableOf,
} from "./nft.ts";
import { allowOnlyMac, bridgeTable, dropBridgeTable, forbidSpoofing } from "./nft_bridge.ts";
import { setLink } from "./ip.ts";
import { show } from "./step.ts";

test("an address is masqueraded and contained by one element each, beside its own subnet", () => {
  assert.equal(
    show([...masquerade([{ address: "10.1.2.3/24" }]), ...contain([{ address: "fd00::3/64" }])]),
    `nft add element inet ocinet own4 { 10.1.2.3 . 10.1.2.0/24 }
nft add element inet ocinet masquerade4 { 10.1.2.3 }
nft add element inet ocinet own6 { fd00::3 . fd00::/64 }
nft add element inet ocinet contained6 { fd00::3 }`,
  );
  assert.deepEqual(masquerade([]), []);
});

test("who reaches an address is an element or two", () => {
  const ips = [{ address: "10.1.2.3/24" }, { address: "fd00::3/64" }];
  assert.equal(
    show([...letPass(ips), ...open(ips), ...keepApart(ips, "br-1.7", false), ...keepApart(ips, "br0", true)]),
    `nft add element inet ocinet passed4 { 10.1.2.3 }
nft add element inet ocinet passed6 { fd00::3 }
nft add element inet ocinet open4 { 10.1.2.3 }
nft add element inet ocinet open6 { fd00::3 }
nft add element inet ocinet apart4 { 10.1.2.3 . "br-1.7" }
nft add element inet ocinet apart6 { fd00::3 . "br-1.7" }
nft add element inet ocinet apart4 { 10.1.2.3 . "br0" }
nft add element inet ocinet isolated4 { 10.1.2.3 . "br0" }
nft add element inet ocinet apart6 { fd00::3 . "br0" }
nft add element inet ocinet isolated6 { fd00::3 . "br0" }`,
  );
  assert.throws(() => keepApart(ips, 'br0" }', false), /is not one plain word/);
});

test("whom a published container sees is one element", () => {
  assert.equal(
    show([masqueradeInbound("10.1.2.3/24", true), masqueradeInbound("fd00::3", false)]),
    `nft add element inet ocinet masked4 { 10.1.2.3 }
nft add element inet ocinet unmasked6 { fd00::3 }`,
  );
});

test("a port is one element, by the address it is published on", () => {
  const port = { protocol: "tcp", hostPort: 8080, port: 80 };
  assert.equal(
    show([
      publish({ ...port, address: "10.1.2.3" }),
      publish({ ...port, address: "fd00::3" }),
      publish({ ...port, address: "10.1.2.3", hostIp: "127.0.0.1" }),
      publish({ ...port, address: "fd00::3", hostIp: "::1" }),
    ]),
    `nft add element inet ocinet ports4 { tcp . 8080 : 10.1.2.3 . 80 }
nft add element inet ocinet ports6 { tcp . 8080 : fd00::3 . 80 }
nft add element inet ocinet hostports4 { 127.0.0.1 . tcp . 8080 : 10.1.2.3 . 80 }
nft add element inet ocinet hostports6 { ::1 . tcp . 8080 : fd00::3 . 80 }`,
  );
});

test("an element is taken away whether or not it is there", () => {
  assert.equal(
    publish({ protocol: "udp", hostPort: 53, address: "10.1.2.3", port: 53 }).undo,
    "add element inet ocinet ports4 { udp . 53 : 10.1.2.3 . 53 }\n" +
      "delete element inet ocinet ports4 { udp . 53 : 10.1.2.3 . 53 }",
  );
});

test("the elements and tables of steps are known", () => {
  const port = publish({ protocol: "tcp", hostIp: "fd00::1", hostPort: 8080, address: "fd00::2", port: 80 });
  const steps = [port, ...masquerade([{ address: "10.1.2.3/24" }]), setLink("host", "a", "up")];
  assert.deepEqual(elementsIn(steps).map(({ set, key, value }) => [set, key, value]), [
    ["inet ocinet hostports6", "fd00::1 . tcp . 8080", "fd00::2 . 80"],
    ["inet ocinet own4", "10.1.2.3 . 10.1.2.0/24", undefined],
    ["inet ocinet masquerade4", "10.1.2.3", undefined],
  ]);
  assert.deepEqual(steps.map(tableOf), ["inet ocinet", "inet ocinet", "inet ocinet", undefined]);
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
    () => publish({ ...port, protocol: "tcp }\ndelete table inet ocinet" }),
    () => publish({ ...port, hostIp: "@own4" }),
    () => publish({ ...port, address: "10.0.0.1, 10.0.0.2" }),
    () => allowOnlyMac('veth1" }', "02:00:00:00:00:02"),
    () => allowOnlyMac("veth1", "*"),
  ];
  for (const line of lines) assert.throws(line, /is not one plain word/);
});

test("every element's set is in the tables, each chain is emptied before its rules, and every rule's set exists", () => {
  const text = baseTable + bridgeTable;
  const sets = new Set([...text.matchAll(/^add (?:set|map) \w+ ocinet (\w+)/gm)].map(([, name]) => name));
  const used = [...text.matchAll(/@(?!ll,|th,)(\w+)/g)].map(([, name]) => name);
  assert.deepEqual(used.filter((name) => !sets.has(name)), []);
  const elements = [
    ...masquerade([{ address: "10.0.0.1/8" }, { address: "fd00::1/64" }]),
    ...contain([{ address: "10.0.0.1/8" }, { address: "fd00::1/64" }]),
    ...allowOnlyMac("a", "b"),
    ...forbidSpoofing("a", "02:00:00:00:00:02", [{ address: "10.0.0.1/8" }, { address: "fd00::1/64" }]),
    ...letPass([{ address: "10.0.0.1/8" }, { address: "fd00::1/64" }]),
    ...open([{ address: "10.0.0.1/8" }, { address: "fd00::1/64" }]),
    ...keepApart([{ address: "10.0.0.1/8" }, { address: "fd00::1/64" }], "a", true),
    ...["10.0.0.1", "fd00::1"].flatMap((ip) => [masqueradeInbound(ip, true), masqueradeInbound(ip, false)]),
  ].map(({ run }) => run.split(" ")[4]);
  assert.deepEqual(elements.filter((name) => !sets.has(name)), []);
  for (const [, chain] of text.matchAll(/^add chain (\w+ ocinet \w+)/gm)) {
    assert.ok(text.indexOf(`flush chain ${chain}\n`) < text.indexOf(`add rule ${chain} `), chain);
  }
  assert.ok(baseTable.endsWith("\n") && bridgeTable.endsWith("\n"));
  assert.match(
    baseTable,
    new RegExp(`add rule inet ocinet pass meta mark set meta mark \\| ${passMark} accept`),
  );
});

test("nothing from outside reaches 127.0.0.1", () => {
  assert.ok(baseTable.includes(
    'add rule inet ocinet input iifname != "lo" ip daddr 127.0.0.0/8 ct state != { established, related } drop\n',
  ));
});

test("a table is dropped whether or not it is there", () => {
  assert.equal(dropTable, "add table inet ocinet\ndelete table inet ocinet\n");
  assert.equal(dropBridgeTable, "add table bridge ocinet\ndelete table bridge ocinet\n");
});
