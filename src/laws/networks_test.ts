import assert from "node:assert/strict";
import { test } from "node:test";
import { misspeltKeys } from "../features/networks/mistakes.ts";
import { newFake } from "../host/fake.ts";
import { hold } from "./laws.ts";
import { networkActions } from "./network_actions.ts";
import { networkOf, networkTypes } from "./networks.ts";

test("whatever fails, a network is connected and disconnected whole, or that can be tried again", async () => {
  for (const action of await networkActions("hosts")) await hold(action, 40);
});

test("the same of one whose names a resolver tells", async () => {
  for (const action of await networkActions("dns")) await hold(action, 40);
});

test("no key of the networks that the laws are tried on is taken for a mistake", () => {
  const { world } = newFake();
  for (const type of networkTypes) {
    assert.deepEqual(misspeltKeys(world, { file: "x", list: networkOf(type, "c1") }), [], type);
  }
});
