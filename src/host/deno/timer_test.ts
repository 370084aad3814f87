import assert from "node:assert/strict";
import { test } from "node:test";
import { later } from "./timer.ts";

test("a time is told of once it is over, be it short or long, unless that is called off before", async () => {
  const told: string[] = [];
  later(1, () => told.push("called off"))();
  await new Promise<void>((resolve) => later(2, () => resolve(void told.push("short"))));
  // What waits keeps the process; these times alone do not.
  const waiting = setInterval(() => {}, 1000);
  await new Promise<void>((resolve) => {
    const callOff = later(520, () => told.push("called off"));
    later(510, () => {
      callOff();
      told.push("long");
      later(20, resolve);
    });
  });
  clearInterval(waiting);
  assert.deepEqual(told, ["short", "long"]);
});
