import assert from "node:assert/strict";
import { test } from "node:test";
import { guardBridges, guardVeth } from "../plan/nft.ts";
import type { World } from "../plan/world.ts";
import { undo } from "./undo.ts";

test("what containers share is not undone, and does not keep the rest from it", async () => {
  const inputs: string[] = [];
  const run = (_: readonly string[], { stdin = "" } = {}) => {
    inputs.push(stdin);
    return Promise.resolve({ code: 0, stdout: "", stderr: "" });
  };
  const [own] = guardVeth({ link: "veth1", owner: "c1" });
  const { problems } = await undo({ run } as unknown as World, { host: [] }, [...guardBridges("br0"), own!]);
  assert.deepEqual([problems, inputs], [[], [`${own!.undo}\n`]]);
  await undo({ run } as unknown as World, { host: [] }, guardBridges("br0"));
  assert.equal(inputs.length, 1);
});
