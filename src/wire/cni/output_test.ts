import assert from "node:assert/strict";
import { test } from "node:test";
import { oneLine, printJson } from "./output.ts";

test("what acts on a terminal is shown instead, and lines become one", () => {
  assert.equal(oneLine("a \n  b\r\n\u001b[31mc\u009bd\u007f\0\n"), "a b \\u001b[31mc\\u009bd\\u007f\\u0000");
  assert.equal(oneLine("größer 😀"), "größer 😀");
  assert.equal(oneLine("a\u202eb\u2028c\u2066"), "a\\u202eb\\u2028c\\u2066");
});

test("what is longer than a person reads is cut, and keeps its end, which says why", () => {
  const text = `${"a".repeat(9_999_990)}: no room.`;
  assert.equal(
    oneLine(text),
    `${"a".repeat(1000)} ... (10000000 characters) ... ${"a".repeat(1990)}: no room.`,
  );
});

test("JSON means the same with such letters, and shows them", () => {
  const value = { a: "\u009b\u007f\u001b\n" };
  const text = printJson(value);
  assert.deepEqual(JSON.parse(text), value);
  assert.equal(text, '{\n    "a": "\\u009b\\u007f\\u001b\\n"\n}');
});
