import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, unframe } from "./frames.ts";

test("datagrams come out of a stream as they went in, however it is cut", () => {
  const datagrams = [1, 0, 300, 65507, 2].map((length) => new Uint8Array(length).map((_, i) => i % 251));
  const stream = new Uint8Array(datagrams.flatMap((datagram) => [...frame(datagram)]));
  for (const size of [299, 1460, 65536, stream.length]) {
    const told: Uint8Array[] = [];
    const take = unframe((datagram) => told.push(datagram.slice()));
    for (let at = 0; at < stream.length; at += size) take(stream.subarray(at, at + size));
    assert.deepEqual(told, datagrams, `cut to ${size}`);
  }
});

test("even its length may come in two", () => {
  const told: number[][] = [];
  const take = unframe((datagram) => told.push([...datagram]));
  for (const byte of [...frame(new Uint8Array([7, 8])), ...frame(new Uint8Array([9]))]) {
    take(new Uint8Array([byte]));
  }
  assert.deepEqual(told, [[7, 8], [9]]);
});

test("half a datagram is not told", () => {
  const told: Uint8Array[] = [];
  const take = unframe((datagram) => told.push(datagram));
  take(frame(new Uint8Array([1, 2, 3])).subarray(0, 4));
  assert.deepEqual(told, []);
});
