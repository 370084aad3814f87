import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../host/fake.ts";
import { element } from "../plan/nft/element.ts";
import { claim, type Step } from "../plan/step.ts";
import { reconcile } from "./reconcile.ts";
import { newRecord, type PluginRecord, readPlugin } from "./record.ts";

const state = "/s";
const key = { id: "c1", network: "blue", ifname: "eth0", part: "bridge" };
const [first, second] = ["10.1.1.2", "10.1.1.3"].map((ip) => element("inet ocinet contained4", ip)) as [
  Step,
  Step,
];
const name = claim("/s/names/10.1.1.2", "c1");
const prefixes = { host: [], container: [] };

function newMachine() {
  const fake = newFake();
  const netns = fake.addNamespace("box");
  const { identity } = fake.world.stat(netns)!;
  const record = (...steps: readonly Step[]): PluginRecord =>
    newRecord(fake.world, { ...key, container: { netns, identity }, request: {}, steps });
  const elements = () =>
    fake.dump().filter((line) => line.includes(": element ")).map((line) => line.split(" ")[6]);
  return { fake, scope: { world: fake.world, state }, record, elements };
}

test("what is wanted is done and recorded, what is no longer wanted undone, and of the rest nothing is touched", async () => {
  const { fake, scope, record, elements } = newMachine();
  await reconcile(scope, [{ to: record(first) }], prefixes);
  await reconcile(scope, [{ from: record(first), to: record(first, second) }], prefixes);
  assert.deepEqual(elements(), ["10.1.1.2", "10.1.1.3"]);
  const calls = fake.log.length;
  await reconcile(scope, [{ from: record(first, second), to: record(first) }], prefixes);
  assert.deepEqual(elements(), ["10.1.1.2"]);
  // `before` is absent, because all steps are done.
  assert.deepEqual(readPlugin(fake.world, state, key), record(first));
  assert.ok(!fake.log.slice(calls).some((call) => call.includes("10.1.1.2 }")));
  await reconcile(scope, [{ from: record(first) }]);
  assert.deepEqual([elements(), readPlugin(fake.world, state, key)], [[], undefined]);
});

test("a record that cannot be written leaves nothing of what it would tell", async () => {
  const { fake, scope, record, elements } = newMachine();
  await reconcile(scope, [{ to: record(first) }], prefixes);
  const plain = fake.copy();
  await reconcile(
    { ...scope, world: plain.world },
    [{ from: record(first), to: record(first, second) }],
    prefixes,
  );
  const writes = plain.log.flatMap((call, i) => call.startsWith("write ") ? [i + 1] : []);
  assert.equal(writes.length, 2);
  for (const call of writes) {
    fake.fail({ kind: "refused", call, at: 0 });
    await assert.rejects(
      reconcile(scope, [{ from: record(first), to: record(first, second) }], prefixes),
      /EIO/,
    );
    fake.fail(undefined);
    assert.deepEqual([elements(), readPlugin(fake.world, state, key)], [["10.1.1.2"], record(first)]);
  }
});

test("before a name is given back, no record tells of anything that uses it", async () => {
  const { fake, scope, record } = newMachine();
  await reconcile(scope, [{ to: record(name, first) }], prefixes);
  const plain = fake.copy();
  await reconcile({ ...scope, world: plain.world }, [{ from: record(name, first) }]);
  const call = plain.log.indexOf(`remove ${name.path}`) + 1;
  fake.fail({ kind: "we die after", call, at: 0 });
  await assert.rejects(reconcile(scope, [{ from: record(name, first) }]));
  const again = fake.restart();
  assert.equal(again.world.read(name.path), undefined);
  assert.deepEqual(readPlugin(again.world, state, key)?.steps, [name]);
});
