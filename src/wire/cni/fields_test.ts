import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fields, fields, parseJson } from "./fields.ts";

test("keys match in any case, and the last of equal ones wins", () => {
  const conf = fields(parseJson('{"HostPort":1,"hostport":2,"HOSTIP":"10.0.0.1"}'));
  assert.equal(conf.integer("hostPort"), 2);
  assert.equal(conf.string("hostIP"), "10.0.0.1");
});

test("null and unknown keys are passed over, and an empty string is unset", () => {
  const conf = fields(parseJson('{"a":null,"b":"","c":1,"C":null,"__proto__":{"d":1},"unknown":[]}'));
  assert.deepEqual([conf.has("a"), conf.string("a"), conf.boolean("a"), conf.objects("a")], [
    false,
    undefined,
    undefined,
    undefined,
  ]);
  assert.equal(conf.string("b"), undefined);
  assert.equal(conf.integer("c"), 1);
  assert.equal(conf.has("d"), false);
  assert.equal(conf.has("constructor"), false);
});

test("each reader gives its kind of value", () => {
  const conf = fields({
    s: "x",
    t: true,
    n: -3,
    l: ["a", "b"],
    o: { k: 1 },
    os: [{ k: 1 }, { K: 2 }],
    r: [[1]],
  });
  assert.equal(conf.string("s"), "x");
  assert.equal(conf.boolean("t"), true);
  assert.equal(conf.integer("n"), -3);
  assert.deepEqual(conf.strings("l"), ["a", "b"]);
  assert.equal(conf.object("o")?.integer("k"), 1);
  assert.deepEqual(conf.objects("os")?.map((entry) => entry.integer("k")), [1, 2]);
  assert.deepEqual(conf.list("r"), [[1]]);
  assert.deepEqual(conf.raw("r"), [[1]]);
});

test("a value of another kind is refused with where it stands", () => {
  const conf = fields({
    a: 1,
    b: "x".repeat(99),
    c: 1.5,
    d: [1],
    e: [{}, "x"],
    f: { g: true },
    h: 2 ** 53,
    i: [],
  });
  const rows: readonly (readonly [(conf: Fields) => unknown, string])[] = [
    [(conf) => conf.string("a"), 'Cannot read "a" of network configuration: 1 is a number, not a string'],
    [
      (conf) => conf.integer("b"),
      `Cannot read "b" of network configuration: "${"x".repeat(56)}... is a string, not a whole number`,
    ],
    [
      (conf) => conf.integer("c"),
      'Cannot read "c" of network configuration: 1.5 is a number, not a whole number',
    ],
    [
      (conf) => conf.integer("h"),
      'Cannot read "h" of network configuration: 9007199254740992 is a number, not a whole number',
    ],
    [
      (conf) => conf.integer("a", { min: 2, max: 9 }),
      'Cannot read "a" of network configuration: 1 is outside 2 to 9',
    ],
    [
      (conf) => conf.boolean("a"),
      'Cannot read "a" of network configuration: 1 is a number, not true or false',
    ],
    [
      (conf) => conf.strings("d"),
      'Cannot read "d" of network configuration: [1] is a list, not a list of strings',
    ],
    [(conf) => conf.object("i"), 'Cannot read "i" of network configuration: it is a list, not an object'],
    [
      (conf) => conf.objects("e"),
      'Cannot read "e" 2 of network configuration: it is a string, not an object',
    ],
    [
      (conf) => conf.list("f"),
      'Cannot read "f" of network configuration: {"g":true} is an object, not a list',
    ],
    [
      (conf) => conf.object("f")?.string("g"),
      'Cannot read "g" of "f" of network configuration: true is a boolean, not a string',
    ],
  ];
  for (const [read, message] of rows) assert.throws(() => read(conf), { name: "CniError", code: 6, message });
});

test("what is no object, or no JSON at all, is refused", () => {
  for (
    const [json, kind] of [[null, "null"], [[], "a list"], ["x", "a string"], [undefined, "missing"]] as const
  ) {
    assert.throws(() => fields(json, "x"), {
      code: 6,
      message: `Cannot read x: it is ${kind}, not an object`,
    });
  }
  assert.throws(() => parseJson("{", "x"), { code: 6, message: "Cannot read x: it is not JSON" });
});

test("no text has a NUL in it, which would end it for the kernel", () => {
  const conf = fields({ name: "a\0b", ips: ["10.0.0.1", "\0"] });
  assert.throws(() => conf.string("name"), {
    code: 6,
    message: 'Cannot read "name" of network configuration: it has a NUL character in it',
  });
  assert.throws(() => conf.strings("ips"), { code: 6 });
});
