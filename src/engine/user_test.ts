import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { isRoot, outerUid } from "./user.ts";

/** A process with a uid, which sees `owner` as the owner of the host's network sysctls. */
function process(uid: number, owner: number, uidMap: string, more: Partial<World> = {}): World {
  const stat = () => ({ kind: "file", identity: "1:1", uid: owner, modified: 0, mode: 0o644 }) as const;
  const readLink = (path: string) => path.endsWith("user") ? "user:[4026531837]" : "net:[4026531840]";
  return { uid, stat, readLink, read: () => uidMap, ...more } as unknown as World;
}

test("isRoot() is about the host's network, not about the number", () => {
  assert.equal(isRoot(process(0, 0, "")), true);
  assert.equal(isRoot(process(1000, 0, "")), false);
  assert.equal(isRoot(process(0, 65534, "")), false);
});

test("in a user namespace of a user namespace, where all owners look alike, the kernel is asked", () => {
  const inner = (number: number, said: string) =>
    process(0, 0, "         0          0          1\n", {
      readLink: () => `user:[${number}]`,
      ask: () => said,
      list: () => ["1001"],
    });
  assert.equal(isRoot(inner(1, "RTNETLINK answers: Operation not permitted\n")), false);
  assert.equal(isRoot(inner(2, "RTNETLINK answers: No such process\n")), true);
  assert.equal(outerUid(inner(3, "")), 1001);
});

test("outerUid() is the user who made the user namespace", () => {
  assert.equal(outerUid(process(0, 0, "         0          0 4294967295\n")), 0);
  assert.equal(outerUid(process(1000, 0, "")), 1000);
  assert.equal(outerUid(process(0, 0, "         0       1000          1\n")), 1000);
  assert.equal(
    outerUid(process(0, 65534, "         0       1000          1\n         1     100000      65536\n")),
    1000,
  );
});
