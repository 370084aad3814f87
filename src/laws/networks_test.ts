import { test } from "node:test";
import { hold } from "./laws.ts";
import { networkActions } from "./network_actions.ts";

test("whatever fails, a network is connected and disconnected whole, or that can be tried again", async () => {
  for (const action of await networkActions("hosts")) await hold(action, 40);
});

test("the same of one whose names a resolver tells", async () => {
  for (const action of await networkActions("dns")) await hold(action, 40);
});
