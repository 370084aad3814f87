import assert from "node:assert/strict";
import { test } from "node:test";
import { apartOf, readsArgs, table } from "./table.ts";

test("every type has a row, in the order of the alphabet", () => {
  const names = Object.keys(table);
  assert.deepEqual(names, [...names].sort());
  for (const [name, row] of Object.entries(table)) {
    assert.match(name, /^[a-z0-9-]+$/);
    assert.equal(typeof row.plugin.parse, "function", name);
  }
});

test("what every object has is no type", () => {
  for (const name of ["constructor", "toString", "__proto__"]) {
    assert.equal(Object.hasOwn(table, name), false);
    assert.equal(table[name], undefined, name);
  }
});

test("CNI_ARGS are read by those that the reference has read them", () => {
  const readers = [
    "bridge",
    "cluster",
    "docker-ipam",
    "docker-network",
    "host-local",
    "macvlan",
    "overlay",
    "static",
    "tap",
    "tuning",
  ];
  assert.deepEqual(Object.keys(table).filter(readsArgs), readers);
  assert.equal(readsArgs("toString"), false);
});

test("a type says that its links have no end on the host, and whether they are on a link of the host's", () => {
  const of = (kind: string | undefined) => Object.keys(table).filter((type) => apartOf(type) === kind);
  assert.deepEqual(of("link"), ["host-device", "ipvlan", "macvlan", "vlan"]);
  assert.deepEqual(of("alone"), ["dummy", "tap"]);
  assert.deepEqual([apartOf("uplink"), apartOf("toString")], [undefined, undefined]);
});
