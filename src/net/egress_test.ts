import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEgress, showDestination } from "./egress.ts";

test("places, with ports or without", () => {
  assert.deepEqual(parseEgress(["10.0.0.0/8,192.0.2.1:443"]), [
    { prefix: "10.0.0.0/8" },
    { prefix: "192.0.2.1/32", ports: { first: 443, last: 443 } },
  ]);
  assert.deepEqual(parseEgress(["2001:DB8::/32", "[fd00::1]:53/udp,[fd00::/64]:1-9"]), [
    { prefix: "2001:db8::/32" },
    { prefix: "fd00::1/128", ports: { first: 53, last: 53 }, protocol: "udp" },
    { prefix: "fd00::/64", ports: { first: 1, last: 9 } },
  ]);
  assert.deepEqual(parseEgress(["example.org:443/tcp,db", ":8000-8080"]), [
    { name: "example.org", ports: { first: 443, last: 443 }, protocol: "tcp" },
    { name: "db" },
    { ports: { first: 8000, last: 8080 } },
  ]);
});

test("a destination is shown as it is read", () => {
  const items = [
    ...["10.0.0.0/8", "192.0.2.1:443", "2001:db8::/32", "[fd00::1]:53/udp", "[fd00::/64]:1-9/tcp"],
    ...["example.org:443", "db", ":8000-8080/sctp"],
  ];
  assert.deepEqual(parseEgress(items).map(showDestination), items);
});

test("nowhere", () => {
  assert.deepEqual(parseEgress(["none"]), []);
  assert.throws(() => parseEgress(["none,10.0.0.0/8"]), {
    message: 'Cannot read --egress: "none" stands alone',
  });
});

test("more destinations than nft takes in a moment are refused", () => {
  const many = (count: number) => [Array(count).fill("10.0.0.1:80").join(",")];
  assert.equal(parseEgress(many(4096)).length, 4096);
  assert.throws(() => parseEgress(many(4097)), /it has more than 4096 destinations; use prefixes$/);
});

test("an item that is none is refused", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["", /it is not none, or a list/],
    ["10.0.0.0/33", /it is not/],
    ["10.0.0.256", /it is not/],
    ["10.0.0.1/udp", /it is not/],
    ["10.0.0.1:", /it is not/],
    ["10.0.0.1:80/icmp", /it is not/],
    ["10.0.0.1:0", /ports go from 1 to 65535/],
    ["10.0.0.1:9-8", /the lower one first/],
    ["10.0.0.1:65536", /ports go from 1/],
    ["a b", /it is not/],
    ["a\n; flush ruleset", /it is not/],
    ["-x:80", /"-x" is no address, prefix or name/],
    ["300.1.1.1:80", /"300.1.1.1" is no address/],
    ["fd00::1:80/tcp", /it is not/],
  ];
  for (const [item, message] of rows) assert.throws(() => parseEgress([item]), { message }, item);
});
