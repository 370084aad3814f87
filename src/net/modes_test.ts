import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNets } from "./modes.ts";

function contained(all: boolean, networks: Readonly<Record<string, string>>) {
  return { kind: "contained", all, networks: new Map(Object.entries(networks)) };
}

test("names and arguments are read as rkt reads them", () => {
  const rows: readonly (readonly [readonly string[], unknown])[] = [
    [[], contained(false, { default: "" })],
    [["default"], contained(false, { default: "" })],
    [["a,b"], contained(false, { a: "", b: "" })],
    [["a", "b:IP=10.0.0.1;K=V"], contained(false, { a: "", b: "IP=10.0.0.1;K=V" })],
    [["all"], contained(true, {})],
    [["all,a:IP=10.0.0.1"], contained(true, { a: "IP=10.0.0.1" })],
    [["a:"], contained(false, { a: "" })],
    // rkt refuses values with colons, which MAC and IPv6 addresses have.
    [["a:mac=02:00:00:00:00:01;IP=fd00::1"], contained(false, { a: "mac=02:00:00:00:00:01;IP=fd00::1" })],
  ];
  for (const [values, wanted] of rows) assert.deepEqual(parseNets(values), wanted, values.join(" "));
});

test("host, none and networks exclude each other", () => {
  assert.deepEqual(parseNets(["host"]), { kind: "host" });
  assert.deepEqual(parseNets(["none"]), { kind: "none" });
  const message = (kind: string) => `Cannot read --net: "${kind}" and other networks exclude each other`;
  for (const values of [["none,host"], ["a", "host", "none"], ["all,host"], ["host", "default"]]) {
    assert.throws(() => parseNets(values), { message: message("host") });
  }
  for (const values of [["a,none"], ["all", "none"], ["none,default"]]) {
    assert.throws(() => parseNets(values), { message: message("none") });
  }
});

test("what rkt refuses is refused in its words", () => {
  const rows: readonly (readonly [readonly string[], string])[] = [
    [[""], "netname must not be empty"],
    [["a,"], "netname must not be empty"],
    [[":IP=1.2.3.4"], "netname must not be empty"],
    [["a:b:c"], 'network "a" provided with invalid arguments: [c]'],
    [["a,a"], 'found duplicate netname "a"'],
    [["a", "a:IP=1.2.3.4"], 'found duplicate netname "a"'],
    [["none", "none"], 'found duplicate netname "none"'],
    [["all:K=V"], 'arguments are not supported by special netname "all"'],
    [["host:K=V"], 'arguments are not supported by special netname "host"'],
    [["none:IP=1.2.3.4"], 'arguments are not supported by special netname "none"'],
  ];
  for (const [values, message] of rows) {
    assert.throws(() => parseNets(values), { message: `Cannot read --net: ${message}` });
  }
});
