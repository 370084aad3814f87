import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { holderOf, lockFailed } from "./lock.ts";

test("who has a lock is said, not who waits for it, or may not be looked at", () => {
  const files: Readonly<Record<string, string>> = {
    // A container's own file may have the same path there.
    "/proc/6/fd/5": "/s/locks/box",
    "/proc/6/fdinfo/5": "lock:\t1: FLOCK  ADVISORY  WRITE 6 00:9:9 0 EOF\n",
    "/proc/7/fd/3": "/s/locks/box",
    "/proc/7/fdinfo/3": "flags: 02\n",
    "/proc/8/fd/5": "/s/locks/box",
    "/proc/8/fdinfo/5": "flags: 02\nlock:\t1: FLOCK  ADVISORY  WRITE 99 00:1:2 0 EOF\n",
    "/proc/8/cmdline": "ocinet\0up\0box\0",
  };
  const world = {
    list: (path: string) => {
      if (path === "/proc") return ["self", "1", "6", "7", "8"];
      if (path === "/proc/1/fd") throw new Error("EACCES");
      return path === "/proc/7/fd" ? ["3"] : ["5"];
    },
    stat: (path: string) => ({ identity: path.startsWith("/proc/6/") ? "9:9" : "1:2" }),
    read: (path: string) => files[path],
    readLink: (path: string) => files[path],
  } as unknown as World;
  assert.equal(holderOf(world, "/s/locks/box"), ", which process 8 has (ocinet up box)");
  assert.equal(holderOf(world, "/s/locks/web"), "");
});

test("a file system without locks is told with the remedy", () => {
  assert.equal(
    lockFailed("/s/locks/box", "No locks available (os error 37)").message,
    "Cannot lock /s/locks/box: No locks available (os error 37); if its file system has no locks, set OCINET_STATE_DIR to " +
      "one that has",
  );
});
