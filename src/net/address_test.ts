import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressOf,
  contains,
  family,
  fromNumber,
  hostLength,
  lastOf,
  lengthOf,
  networkOf,
  parseAddress,
  parseCidr,
  plus,
  toNumber,
} from "./address.ts";

const texts: readonly (readonly [string, string])[] = [
  ["10.1.2.3", "10.1.2.3"],
  ["0.0.0.0", "0.0.0.0"],
  ["FD00:0:0:0::2", "fd00::2"],
  ["2001:0db8::1", "2001:db8::1"],
  ["0:0:1:2:3:0:0:4", "::1:2:3:0:0:4"],
  ["1:0:0:2:0:0:0:4", "1:0:0:2::4"],
  ["1:2:0:4:5:6:7:8", "1:2:0:4:5:6:7:8"],
  ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
  ["::", "::"],
  ["::ffff:1.2.3.4", "1.2.3.4"],
  ["::ffff:102:304", "1.2.3.4"],
  ["::1.2.3.4", "::102:304"],
  ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
];

test("an address comes out as Go writes it", () => {
  for (const [text, wanted] of texts) assert.equal(parseAddress(text), wanted, text);
});

test("text that is not exactly one address is refused", () => {
  const bad = [
    ...[
      "",
      " ",
      "10.1.2",
      "10.1.2.3.4",
      "10.1.2.256",
      "010.1.1.1",
      "10.1.1.01",
      "0x0a.1.1.1",
      "1",
      "4294967297",
    ],
    ...["10.1.2.3 ", " 10.1.2.3", "10.1.2.3\n", "10.1.2.3/24", "-10.1.2.3", "10.1.2.3;reboot", "１.2.3.4"],
    ...[
      "fe80::1%eth0",
      "::ffff:010.1.1.1",
      "::ffff:1.2.3",
      "[::1]",
      "1::2::3",
      ":::",
      "::g",
      "12345::",
      "::1\0",
    ],
    ...["1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:1.2.3.4", "../1", "localhost", "%d", '"::1"'],
  ];
  for (const text of bad) assert.equal(parseAddress(text), undefined, JSON.stringify(text));
});

test("a prefix keeps the host bits of its address", () => {
  assert.deepEqual(parseCidr("10.1.2.3/24"), { address: "10.1.2.3", length: 24 });
  assert.deepEqual(parseCidr("FD00::5/64"), { address: "fd00::5", length: 64 });
  assert.deepEqual(parseCidr("0.0.0.0/0"), { address: "0.0.0.0", length: 0 });
});

test("text that is not exactly one prefix is refused", () => {
  const bad = [
    ...["", "/", "10.1.2.3", "10.1.2.3/", "/24", "10.1.2.3/33", "::/129", "10.1.2.3/-1", "10.1.2.3/024"],
    ...[
      "10.1.2.3/24/24",
      "10.1.2.3/ 24",
      "10.1.2.3/24\n",
      "10.1.2.3/2x",
      "010.1.2.3/24",
      "10.1.2.3/255.0.0.0",
    ],
    ...["::ffff:1.2.3.4/24", "::ffff:1.2.3.4/120", "10.1.2.3/99999999999999999999"],
  ];
  for (const text of bad) assert.equal(parseCidr(text), undefined, JSON.stringify(text));
});

test("a prefix tells its parts, its network and its last address", () => {
  assert.deepEqual([addressOf("10.1.2.3/24"), lengthOf("10.1.2.3/24")], ["10.1.2.3", 24]);
  assert.deepEqual([family("10.1.2.3"), family("fd00::/64")], [4, 6]);
  assert.deepEqual([hostLength("10.1.2.3"), hostLength("::1")], [32, 128]);
  const rows = [
    ["10.1.2.3/24", "10.1.2.0/24", "10.1.2.255"],
    ["10.1.2.3/32", "10.1.2.3/32", "10.1.2.3"],
    ["10.1.2.3/0", "0.0.0.0/0", "255.255.255.255"],
    ["fd00::1:2/112", "fd00::1:0/112", "fd00::1:ffff"],
    ["fd00::1/0", "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ] as const;
  for (const [cidr, network, last] of rows) {
    assert.deepEqual([networkOf(cidr), lastOf(cidr)], [network, last]);
  }
});

test("a prefix covers addresses of its own family only", () => {
  assert.equal(contains("10.1.2.0/24", "10.1.2.255"), true);
  assert.equal(contains("10.1.2.0/24", "10.1.3.0"), false);
  assert.equal(contains("0.0.0.0/0", "::1"), false);
  assert.equal(contains("::/0", "10.1.2.3"), false);
});

test("counting carries over bytes and back", () => {
  assert.equal(plus("10.1.2.255", 1n), "10.1.3.0");
  assert.equal(plus("fd00::ffff", 1n), "fd00::1:0");
  assert.equal(plus("10.1.3.0", -1n), "10.1.2.255");
  for (const address of ["0.0.0.0", "255.255.255.255", "fd00::2", "::"]) {
    assert.equal(fromNumber(toNumber(address), family(address)), address);
  }
});
