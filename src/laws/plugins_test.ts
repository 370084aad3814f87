import assert from "node:assert/strict";
import { test } from "node:test";
import { actionsOf, hostWith, plugins } from "./actions.ts";
import { hold } from "./laws.ts";
import { dumpOf, missingFrom, state } from "./machine.ts";
import { networkTypes } from "./networks.ts";

for (const type of networkTypes) {
  test(`whatever fails, its plugins adds and deletes ${type} whole, or it is told and recorded`, async () => {
    for (const action of await actionsOf(plugins, type)) await hold(action, 6);
  });
}

for (const type of networkTypes) {
  test(`of ${type}, DEL leaves nothing on the host, though neither a record nor a result tells what there was`, async () => {
    const fake = await hostWith(plugins, type);
    const { world } = fake;
    // A device that comes back is down: nothing tells how it was.
    const onHost = () =>
      dumpOf(fake).filter((line) => /^(file|host: )/.test(line) && !/^host: link eth/.test(line));
    const before = onHost();
    await plugins.add(world, type, "c1");
    world.remove(`${state}/containers/c1`);
    await plugins.remove(world, type, "c1");
    assert.deepEqual([missingFrom(onHost(), before), missingFrom(before, onHost())], [[], []]);
  });
}
