import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { bootId, identify, isAlive, judge, ownerIsAlive, seesAllProcesses } from "./process.ts";

function having(files: Readonly<Record<string, string>>): World {
  return {
    pid: 1,
    read: (path: string) => files[path],
    readLink: (path: string) => files[path],
    list: () => Object.keys(files).flatMap((path) => /^\/proc\/([0-9]+)\/stat$/.exec(path)?.[1] ?? []),
    exists: (pid: number) =>
      files[`/proc/${pid}/stat`] !== undefined || files[`/hidden/${pid}`] !== undefined,
  } as unknown as World;
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

test("a zombie, or a pid without a process, is not alive", () => {
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

const [first, other] = ["pid:[4026531836]", "pid:[4026532000]"];

test("a process is judged from its own PID namespace, or where all processes are seen", () => {
  const seven = { pid: 7, startTime: "1", pidns: other };
  const inside = (pidns: string, more: Readonly<Record<string, string>> = {}) =>
    judge(having({ "/proc/self/ns/pid": pidns, ...more }), seven);
  assert.equal(inside(other, { "/proc/7/stat": stat("a", "S", "1") }), "there");
  assert.equal(inside(other), "gone");
  assert.equal(inside("pid:[4026532001]"), "unknown", "it sees neither that one nor its members");
  assert.equal(inside("pid:[4026532001]", { "/proc/7/stat": stat("a", "S", "1") }), "unknown");
  assert.equal(inside(first), "gone");
  assert.equal(inside(first, { "/proc/9/stat": stat("a", "S", "5"), "/proc/9/ns/pid": other }), "unknown");
  assert.deepEqual(
    identify(having({ "/proc/self/ns/pid": other, "/proc/7/stat": stat("a", "S", "1") }), 7),
    seven,
  );
});

test("a process that /proc hides is alive, and cannot be identified", () => {
  const hidden = having({ "/hidden/7": "" });
  const forbidden = { ...hidden, read: () => assert.fail("EPERM") } as World;
  for (const world of [hidden, forbidden]) {
    assert.equal(isAlive(world, { pid: 7, startTime: "1" }), true);
    assert.throws(
      () => identify(world, 7),
      /^Error: Cannot use process 7: \/proc hides it \(mounted with hidepid\)/,
    );
    assert.equal(ownerIsAlive(world, 7, ""), false);
  }
});

test("the /proc of another PID namespace tells nothing", () => {
  const world = having({ "/proc/self": "99", "/proc/7/stat": stat("a", "S", "1") });
  assert.equal(judge(world, { pid: 7, startTime: "2" }), "unknown");
  assert.throws(() => identify(world, 7), /: \/proc shows another PID namespace than ours; mount it anew/);
});

test("all processes are seen in the first PID namespace, where none are hidden", () => {
  const mounted = (options: string, pidns = first) =>
    seesAllProcesses({
      ...having({
        "/proc/self/ns/pid": pidns,
        "/proc/self/mountinfo": `22 1 0:5 / /proc rw - proc proc rw${options}\n`,
      }),
      uid: 1000,
    });
  assert.equal(mounted(""), true);
  assert.equal(mounted(",hidepid=off"), true);
  assert.equal(mounted(",hidepid=invisible"), false);
  assert.equal(mounted("", other), false);
});
