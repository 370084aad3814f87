import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRate } from "./rate.ts";

test("rates in tc's words", () => {
  const rows = [["8bit", 8], ["500kbit", 5e5], ["10mbit", 1e7], ["1.5gbit", 1.5e9], [
    "100gbit",
    1e11,
  ]] as const;
  for (const [text, bits] of rows) assert.equal(parseRate("--rate-in", text), bits);
});

test("what is no rate is refused", () => {
  for (
    const text of [
      "",
      "10",
      "7bit",
      "0mbit",
      "101gbit",
      "-1mbit",
      "1mbps",
      "1 mbit",
      "1mbit\n",
      "1e3kbit",
      "1.mbit",
    ]
  ) {
    assert.throws(() => parseRate("--rate-in", text), {
      message: /^Cannot read --rate-in ".*": it is not a rate/,
    }, text);
  }
});
