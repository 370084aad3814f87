import assert from "node:assert/strict";
import { test } from "node:test";
import { roomOf } from "./room.ts";

test("no more descriptors are taken than there are, but for a reserve", () => {
  const room = roomOf(68);
  assert.deepEqual([room.take(2), room.take(2), room.take(1)], [true, true, false]);
  room.give(1);
  assert.deepEqual([room.take(2), room.take(1)], [false, true]);
  assert.equal(roomOf(10).take(1), false);
  assert.equal(roomOf(Infinity).take(16_384), true);
});
