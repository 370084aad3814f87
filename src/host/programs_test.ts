import assert from "node:assert/strict";
import { test } from "node:test";
import { endedBy, whyFailed } from "../plan/world.ts";
import { realWorld } from "./runtime.ts";

const world = realWorld();

test("a program that takes too long is ended, also where what it started has its output", async () => {
  for (const script of ["exec sleep 3", "sleep 3 & wait"]) {
    const output = await world.run(["setsid", "sh", "-c", script], { timeout: 100 });
    assert.deepEqual([output.code, endedBy(output)], [137, "it did not end within 0.1 s"]);
  }
});

test("a program that a signal ended is told from one with a high status", async () => {
  const ended = await world.run(["sh", "-c", "kill -KILL $$"]);
  assert.deepEqual([ended.code, endedBy(ended), whyFailed(ended)], [
    137,
    ...Array(2).fill("it was ended by signal 9"),
  ]);
  for (const code of [1, 127, 252, 255]) {
    const output = await world.run(["sh", "-c", `exit ${code}`]);
    assert.equal(endedBy(output), undefined);
    assert.equal(whyFailed(output), `it ended with status ${code} and said nothing`);
  }
  assert.equal(whyFailed({ code: 2, stdout: "out\n", stderr: "why\n" }), "why");
});
