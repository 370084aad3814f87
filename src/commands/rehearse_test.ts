import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../host/fake.ts";
import { rehearse } from "./rehearse.ts";

test("a rehearsal comes to the end of each call, and changes nothing", async () => {
  const fake = newFake();
  const before = fake.dump();
  assert.deepEqual(await rehearse(fake.world), []);
  assert.deepEqual([fake.dump(), fake.log], [before, []]);
});
