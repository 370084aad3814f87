import assert from "node:assert/strict";
import { test } from "node:test";
import {
  digest,
  identifierProblem,
  linkLocalFrom,
  linkNameProblem,
  macFrom,
  parseMac,
  vethFrom,
} from "./names.ts";

const hostile = [
  "a\nb",
  "a;b",
  "a b",
  "a'b",
  'a"b',
  "a/b",
  "../a",
  "-a",
  "a\0b",
  "a%db",
  "a@b",
  "a$b",
  "é",
  "a\tb",
  "a*",
];

test("container ids and network names are letters, digits and _ . -", () => {
  for (const good of ["a", "A9", "0", "a_b.c-d", "a..b", "x".repeat(200)]) {
    assert.equal(identifierProblem(good), undefined, good);
  }
  assert.equal(identifierProblem(""), "it is empty");
  assert.equal(identifierProblem("x".repeat(201)), "it is longer than 200 characters");
  for (const bad of [...hostile, ".", "..", ".a", "_a", "a\n", "a+b"]) {
    assert.equal(
      identifierProblem(bad),
      'it may have only letters, digits, "_", "." and "-", and starts with a letter or digit',
      JSON.stringify(bad),
    );
  }
});

test("link names are what the kernel and ip take without a second meaning", () => {
  for (const good of ["eth0", "br-abc.100", "x".repeat(15), "a_b+c", "_", "...", "0"]) {
    assert.equal(linkNameProblem(good), undefined, good);
  }
  const rows: readonly (readonly [string, string])[] = [
    ["", "interface name is empty"],
    ["x".repeat(16), "interface name is too long"],
    ["é".repeat(8), "interface name is too long"],
    [".", "interface name is . or .."],
    ["..", "interface name is . or .."],
    ["all", "interface name is all or default"],
    ["default", "interface name is all or default"],
    ...["a/b", "a:b", "a b", "a\tb", "a\n", "a\u00a0b", "a\u2028b"].map((name) =>
      [name, "interface name contains / or : or whitespace characters"] as const
    ),
    ...["-a", "veth%d", "a@b", "a;b", 'a"b', "a'b", "a\0b", "é", "a$b"].map((name) =>
      [name, "interface name has characters other than A-Z a-z 0-9 _ . + -"] as const
    ),
  ];
  for (const [name, problem] of rows) assert.equal(linkNameProblem(name), problem, JSON.stringify(name));
  for (const name of hostile) assert.notEqual(linkNameProblem(name), undefined, JSON.stringify(name));
});

test("a MAC address comes out as the kernel writes it", () => {
  assert.equal(parseMac("02:AB:cd:00:11:22"), "02:ab:cd:00:11:22");
  assert.equal(parseMac("02-AB-cd-00-11-22"), "02:ab:cd:00:11:22");
  for (const bad of ["", "02:ab:cd:00:11", "02:ab:cd:00:11:22:33", "2:ab:cd:00:11:22", "02:ab:cd:00:11:2g"]) {
    assert.equal(parseMac(bad), undefined, bad);
  }
  for (const bad of ["02:ab:cd:00:11:22\n", " 02:ab:cd:00:11:22", "02:ab:cd:00:11:22;x"]) {
    assert.equal(parseMac(bad), undefined, JSON.stringify(bad));
  }
});

test("no two lists of words have one digest", async () => {
  assert.match(await digest("a", "b"), /^[0-9a-f]{128}$/);
  assert.equal(await digest("a", "b"), await digest("a", "b"));
  const all = await Promise.all([
    digest("a", "b"),
    digest("ab"),
    digest("a", "b", ""),
    digest("", "ab"),
    digest("1:a1:b"),
  ]);
  assert.equal(new Set(all).size, all.length);
});

test("names and addresses are cut from a digest", () => {
  const hex = "0123456789abcdef".repeat(8);
  assert.equal(vethFrom(hex), "veth0123456789a");
  assert.equal(linkNameProblem(vethFrom(hex)), undefined);
  assert.equal(macFrom(hex), "02:67:89:ab:cd:ef");
});

test("a MAC address gives Linux's link-local address", () => {
  assert.equal(linkLocalFrom("02:00:00:00:00:01"), "fe80::ff:fe00:1");
  assert.equal(linkLocalFrom("00:1b:21:0a:ff:10"), "fe80::21b:21ff:fe0a:ff10");
});
