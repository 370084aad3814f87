import { test } from "node:test";
import { hold } from "./laws.ts";
import { networkActions } from "./network_actions.ts";

test("whatever fails, a network is connected and disconnected whole, or that can be tried again", async () => {
  for (const action of await networkActions()) await hold(action, 40);
});
