import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOfText, textOfBytes, writeAll } from "./output.ts";

/** A stream that takes a few bytes at a time, and fails at given calls. */
function stream(failures: Readonly<Record<number, string>>) {
  const taken: number[] = [];
  let calls = 0;
  const write = (part: Uint8Array) => {
    const code = failures[calls++];
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    taken.push(...part.subarray(0, 3));
    return Math.min(3, part.length);
  };
  return { write, taken };
}

test("what is written to a stream that is full for a while is whole", () => {
  const { write, taken } = stream({ 1: "EAGAIN", 2: "EAGAIN" });
  writeAll("standard output", new Uint8Array([1, 2, 3, 4, 5, 6, 7]), write);
  assert.deepEqual(taken, [1, 2, 3, 4, 5, 6, 7]);
});

test("a reader who is gone is no error, a full disk is", () => {
  const bytes = new Uint8Array(10);
  const gone = stream({ 1: "EPIPE" });
  writeAll("standard output", bytes, gone.write);
  assert.equal(gone.taken.length, 3);
  assert.throws(
    () => writeAll("standard output", bytes, stream({ 0: "ENOSPC" }).write),
    { message: "Cannot write to standard output: ENOSPC" },
  );
});

test("bytes stay the same as a text", () => {
  const all = Uint8Array.from({ length: 20000 }, (_, i) => i % 256);
  assert.deepEqual(bytesOfText(textOfBytes(all)), all);
});
