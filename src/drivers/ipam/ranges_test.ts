import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { anyOf, candidates, covers, parseRangeSets, type RangeSet, show, withLength } from "./ranges.ts";

function parse(...sets: readonly (readonly unknown[])[]): readonly RangeSet[] {
  return parseRangeSets(sets.map((set) => set.map((entry) => fields(entry))));
}

function order(set: readonly unknown[], last?: string): string {
  return [...candidates(parse(set)[0]!, last)].map(({ address }) => address.replace("10.1.2.", "")).join(" ");
}

test("a range is completed from its subnet", () => {
  assert.deepEqual(
    parse([{ subnet: "10.1.2.0/24" }], [{ Subnet: "FD00::/64", RangeStart: "", Gateway: "" }]),
    [
      [{ subnet: "10.1.2.0/24", start: "10.1.2.1", end: "10.1.2.254", gateway: "10.1.2.1" }],
      [{ subnet: "fd00::/64", start: "fd00::1", end: "fd00::ffff:ffff:ffff:ffff", gateway: "fd00::1" }],
    ],
  );
  const range = {
    subnet: "10.1.2.0/24",
    rangeStart: "10.1.2.9",
    rangeEnd: "10.1.2.20",
    gateway: "10.1.2.254",
  };
  const [set] = parse([range]);
  assert.deepEqual(set, [{
    subnet: "10.1.2.0/24",
    start: "10.1.2.9",
    end: "10.1.2.20",
    gateway: "10.1.2.254",
  }]);
  assert.equal(show(set![0]!), "10.1.2.9-10.1.2.20");
  assert.equal(withLength("10.1.2.9", set![0]!), "10.1.2.9/24");
  assert.deepEqual(["10.1.2.9", "10.1.2.21", "fd00::1"].map((address) => covers(set![0]!, address)), [
    true,
    false,
    false,
  ]);
});

test("both addresses of a subnet of two can be had, if they are its ends", () => {
  const ends = { rangeStart: "10.1.2.0", rangeEnd: "10.1.2.1", gateway: "10.1.2.0" };
  const [set] = parse([{ subnet: "10.1.2.0/31", ...ends }]);
  assert.deepEqual([...candidates(set!, undefined)].map(({ address }) => address), ["10.1.2.1"]);
});

test("ranges that cannot be are refused in the reference's words", () => {
  const subnet = "10.1.2.0/24";
  const rows: readonly (readonly [readonly unknown[], string])[] = [
    [[], "empty range set"],
    [[{}], "invalid CIDR address: "],
    [[{ subnet: "bogus" }], "invalid CIDR address: bogus"],
    [[{ subnet: "../10.1.2.0/24" }], "invalid CIDR address: ../10.1.2.0/24"],
    [[{ subnet: "10.1.2.0/31" }], "Network 10.1.2.0/31 too small to allocate from"],
    [[{ subnet: "fd00::/127" }], "Network fd00::/127 too small to allocate from"],
    [
      [{ subnet: "10.1.2.3/24" }],
      "Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0",
    ],
    [[{ subnet, rangeStart: "bogus" }], "invalid IP address: bogus"],
    [[{ subnet, gateway: "10.1.2.1\n" }], "invalid IP address: 10.1.2.1\n"],
    [[{ subnet, rangeStart: "10.1.3.1" }], "RangeStart 10.1.3.1 not in network 10.1.2.0/24"],
    [[{ subnet, rangeEnd: "fd00::1" }], "RangeEnd fd00::1 not in network 10.1.2.0/24"],
    [
      [{ subnet, rangeStart: "10.1.2.9", rangeEnd: "10.1.2.8" }],
      "RangeStart 10.1.2.9 is after RangeEnd 10.1.2.8",
    ],
    [[{ subnet }, { subnet: "fd00::/64" }], "mixed address families"],
    [
      [{ subnet }, { subnet: "10.1.0.0/16" }],
      "subnets 10.1.2.1-10.1.2.254 and 10.1.0.1-10.1.255.254 overlap",
    ],
  ];
  for (const [set, message] of rows) {
    assert.throws(() => parse([{ subnet: "10.9.0.0/24" }], set), {
      code: 999,
      message: `invalid range set 1: ${message}`,
    });
  }
  assert.throws(() => parse([{ subnet }], [{ subnet: "fd00::/64" }], [{ subnet }]), {
    code: 999,
    message: "range set 0 overlaps with 2",
  });
});

test("addresses are tried from the one after the last, around, the gateway left out", () => {
  const small = { subnet: "10.1.2.0/29" };
  assert.equal(order([small]), "2 3 4 5 6");
  assert.equal(order([small], "10.1.2.3"), "4 5 6 2 3");
  assert.equal(order([small], "10.1.2.6"), "2 3 4 5 6");
  assert.equal(order([small], "10.9.9.9"), "2 3 4 5 6");
  assert.equal(order([small], "fd00::1"), "2 3 4 5 6");
  assert.equal(order([{ ...small, gateway: "10.1.2.4" }], "10.1.2.3"), "5 6 1 2 3");
});

test("the ranges of a set are used one after the other", () => {
  const set = [{ subnet: "10.1.2.0/30" }, { subnet: "10.1.2.8/29", rangeEnd: "10.1.2.11" }];
  assert.equal(order(set), "2 10 11");
  assert.equal(order(set, "10.1.2.10"), "11 2 10");
  assert.equal(order(set, "10.1.2.2"), "10 11 2");
});

test("an address at random is of the set, and never a gateway", () => {
  const [last] = parse([{ subnet: "10.1.2.0/30", gateway: "10.1.2.2" }]);
  const drawn = new Set(Array.from({ length: 200 }, () => anyOf(last!, Math.random)?.address));
  assert.deepEqual(drawn, new Set([undefined, "10.1.2.1"]));
  const [six] = parse([{ subnet: "fd00::/64" }]);
  for (let i = 0; i < 200; i++) assert.ok(covers(six![0]!, anyOf(six!, Math.random)!.address));
});
