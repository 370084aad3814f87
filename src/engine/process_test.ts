import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { bootId, identify, isAlive, ownerIsAlive } from "./process.ts";

function having(files: Readonly<Record<string, string>>): World {
  return { read: (path: string) => files[path] } as unknown as World;
}

/** Fields 1 to 22 of /proc/PID/stat. */
function stat(command: string, state: string, startTime: string): string {
  return `7 (${command}) ${state} ${Array.from({ length: 18 }, (_, i) => i).join(" ")} ${startTime} 23 24\n`;
}

test("a process is known by when it started, whatever its command is called", () => {
  for (const command of ["sleep", "a b", "a) S 1 2 (", ")"]) {
    const world = having({ "/proc/7/stat": stat(command, "S", "4711") });
    assert.deepEqual(identify(world, 7), { pid: 7, startTime: "4711" });
    assert.equal(isAlive(world, { pid: 7, startTime: "4711" }), true);
    assert.equal(isAlive(world, { pid: 7, startTime: "4712" }), false, "a later process has its pid");
  }
});

test("a zombie, or nobody, is not alive", () => {
  for (const state of ["Z", "X"]) {
    assert.equal(identify(having({ "/proc/7/stat": stat("a", state, "1") }), 7), undefined);
  }
  assert.equal(identify(having({}), 7), undefined);
  assert.equal(isAlive(having({}), { pid: 7, startTime: "1" }), false);
});

test("a process is ours if its command line says so", () => {
  const world = having({
    "/proc/7/stat": stat("a", "S", "1"),
    "/proc/7/cmdline": "a\0--api-socket=/s/x.sock\0",
  });
  assert.equal(ownerIsAlive(world, 7, "/s/x.sock"), true);
  assert.equal(ownerIsAlive(world, 7, "/s/y.sock"), false);
  assert.equal(ownerIsAlive(having({}), 7, ""), false);
});

test("a boot has an id", () => {
  assert.equal(bootId(having({ "/proc/sys/kernel/random/boot_id": "a-b\n" })), "a-b");
  assert.equal(bootId(having({})), "");
});
