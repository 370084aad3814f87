import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../host/fake.ts";
import { lockToRemove, tryLockToRemove, waitForAll } from "./locks.ts";

/** A machine with a full disk. */
function fullDisk() {
  const fake = newFake();
  fake.place("/s/containers/c1/container.json", "{}");
  fake.fail({ kind: "disk full", call: 1, at: 0 });
  return fake;
}

test("where one of several locks cannot be had, the others are let go", async () => {
  const { world } = newFake();
  await assert.rejects(
    waitForAll([world.lock("/s/locks/a"), Promise.reject(new Error("no")), world.lock("/s/locks/b")]),
    { message: "no" },
  );
  const release = await waitForAll([world.lock("/s/locks/a"), world.lock("/s/locks/b")]);
  assert.equal(await world.tryLock("/s/locks/a"), undefined);
  release();
  assert.notEqual(await world.tryLock("/s/locks/a"), undefined);
});

test("a full disk keeps no call from taking away, and two are not at it at once", async () => {
  const { world } = fullDisk();
  const release = await lockToRemove(world, "/s/locks/c1", "/s/containers/c1");
  await assert.rejects(
    lockToRemove(world, "/s/locks/c1", "/s/containers/c1"),
    /^Error: Cannot take down \/s\/containers\/c1: another process is doing that$/,
  );
  assert.equal(await tryLockToRemove(world, "/s/locks/c1", "/s/containers/c1"), undefined);
  release();
  (await lockToRemove(world, "/s/locks/c1", "/s/containers/c1"))();
  (await lockToRemove(world, "/s/locks/gone", "/s/containers/gone"))();
});

test("another error than that of a full disk is told", async () => {
  const fake = newFake();
  for (const lock of [lockToRemove, tryLockToRemove]) {
    fake.fail({ kind: "refused", call: 1, at: 0 });
    await assert.rejects(lock(fake.world, "/s/locks/c1", "/s/containers/c1"), /EIO/);
  }
});
