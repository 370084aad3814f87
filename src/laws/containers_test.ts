import { test } from "node:test";
import { actionsOf, containers } from "./actions.ts";
import { hold } from "./laws.ts";
import { networkTypes } from "./networks.ts";
import { gcActions, portActions, repairActions } from "./other_actions.ts";

/** All faults are tried of what most containers have. */
const main = ["bridge"];

for (const type of networkTypes) {
  test(`whatever fails, a container on ${type} is attached and detached whole, or it is told and recorded`, async () => {
    for (const action of await actionsOf(containers, type)) {
      await hold(action, main.includes(type) ? undefined : 8);
    }
  });
}

for (
  const [what, actions] of [["ports", portActions], ["repair", repairActions], ["gc", gcActions]] as const
) {
  test(`whatever fails, ${what} is done whole, or can be tried again`, async () => {
    for (const action of await actions()) await hold(action, 20);
  });
}
