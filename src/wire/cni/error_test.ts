import assert from "node:assert/strict";
import { test } from "node:test";
import { CniError, codes, errorJson, messageOf } from "./error.ts";

test("an error has a code by name or by number", () => {
  assert.equal(new CniError("decode", "x").code, 6);
  assert.equal(new CniError(100, "x").code, 100);
  assert.equal(codes.internal, 999);
});

test("an error is printed as the reference prints it, empty details left out", () => {
  assert.equal(
    errorJson(new CniError("invalidConfig", "missing network name")),
    '{\n    "code": 7,\n    "msg": "missing network name"\n}',
  );
  assert.deepEqual(JSON.parse(errorJson(new CniError("tryAgainLater", 'a\n"b"', "c\x1b"), "1.0.0")), {
    cniVersion: "1.0.0",
    code: 11,
    msg: 'a "b"',
    details: "c\\u001b",
  });
});

test("JSON that is nested too deeply is told as such", () => {
  const descend = (level: number): number => 1 + descend(level + 1);
  assert.throws(() => descend(0), (error) => /^Cannot use the JSON .*: it is nested/.test(messageOf(error)));
});

test("what is no CNI error is one of code 999", () => {
  assert.deepEqual(JSON.parse(errorJson(new TypeError("x"))), { code: 999, msg: "x" });
  assert.deepEqual(JSON.parse(errorJson("x")), { code: 999, msg: "x" });
});

test("a person is told the message and the details", () => {
  assert.equal(messageOf(new CniError("io", "a", "b")), "a: b");
  assert.equal(messageOf(new CniError("io", "a")), "a");
  assert.equal(messageOf(new Error("a")), "a");
  assert.equal(messageOf(7), "7");
});
