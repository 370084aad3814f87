import assert from "node:assert/strict";
import { test } from "node:test";
import { containerPaths } from "./state.ts";

test("a container's state is below the state directory", () => {
  assert.deepEqual(containerPaths("/s", "c1"), {
    directory: "/s/containers/c1",
    journal: "/s/containers/c1/journal.json",
    lock: "/s/locks/c1",
  });
});

test("an id that could lead elsewhere is refused", () => {
  for (const id of ["", ".", "..", "../../etc", "a/b", "/etc", "a\0b", "a\n", "-a", "a b", "x".repeat(201)]) {
    assert.throws(() => containerPaths("/s", id), /^Error: Cannot use container id "/, JSON.stringify(id));
  }
});
