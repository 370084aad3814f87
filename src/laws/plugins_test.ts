import { test } from "node:test";
import { actionsOf, plugins } from "./actions.ts";
import { hold } from "./laws.ts";
import { networkTypes } from "./networks.ts";

for (const type of networkTypes) {
  test(`whatever fails, its plugins adds and deletes ${type} whole, or it is told and recorded`, async () => {
    for (const action of await actionsOf(plugins, type)) await hold(action, 6);
  });
}
