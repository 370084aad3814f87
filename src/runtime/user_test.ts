import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { isRoot, outerUid } from "./user.ts";

/** A process with a uid, to which the host's network settings look as if owned by another. */
function process(uid: number, owner: number, uidMap: string): World {
  const stat = () => ({ kind: "file", identity: "1:1", uid: owner, modified: 0, mode: 0o644 }) as const;
  return { uid, stat, read: () => uidMap } as unknown as World;
}

test("isRoot() is about the host's network, not about the number", () => {
  assert.equal(isRoot(process(0, 0, "")), true);
  assert.equal(isRoot(process(1000, 0, "")), false);
  assert.equal(isRoot(process(0, 65534, "")), false);
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
