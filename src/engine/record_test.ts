import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../host/fake.ts";
import {
  containerFile,
  newRecord,
  readContainer,
  readPlugin,
  readUndamaged,
  removeRecord,
  writeRecord,
} from "./record.ts";
import { DamagedFile } from "../plan/files.ts";
import type { Step } from "../plan/step.ts";
import { containerKey, type ContainerRecord, type PluginRecord } from "./record.ts";

const state = "/s";
const key = { id: "c1", network: "blue", ifname: "eth0", part: "bridge" };
const container = { netns: "/run/netns/box", identity: "4:1" };

function newMachine() {
  const fake = newFake();
  const own = newRecord<ContainerRecord>(fake.world, {
    ...{
      ...containerKey("c1"),
      created: "",
      phase: "done",
      container,
      attachments: [],
      ports: [],
      steps: [],
    },
  });
  const plugin = newRecord<PluginRecord>(fake.world, {
    ...key,
    container,
    request: { type: "bridge" },
    steps: [],
  });
  return { fake, own, plugin };
}

test("records are found again, and the directory goes with the last", () => {
  const { fake: { world }, own, plugin } = newMachine();
  writeRecord(world, state, own);
  writeRecord(world, state, plugin);
  assert.deepEqual([readContainer(world, state, "c1"), readPlugin(world, state, key)], [own, plugin]);
  removeRecord(world, state, own);
  assert.deepEqual([readContainer(world, state, "c1"), readPlugin(world, state, key)], [undefined, plugin]);
  removeRecord(world, state, plugin);
  assert.equal(world.stat("/s/containers/c1"), undefined);
});

test("a damaged record is told by its file, and a plugin's counts as none", () => {
  const { fake, own } = newMachine();
  const whole = JSON.stringify(own);
  for (
    const text of ["", "{", "null", "[]", whole.slice(0, -5), whole.replace('"steps":[]', '"steps":[{}]')]
  ) {
    fake.place(containerFile(state, "c1"), text);
    assert.throws(() => readContainer(fake.world, state, "c1"), DamagedFile);
    assert.throws(
      () => readContainer(fake.world, state, "c1"),
      /Cannot read \/s\/containers\/c1\/container\.json: /,
    );
    assert.equal(readUndamaged(fake.world, state, "c1"), undefined);
    fake.place("/s/containers/c1/blue eth0 bridge.json", text);
    assert.equal(readPlugin(fake.world, state, key), undefined);
  }
});

test("a record that is too long to be read again is not written", () => {
  const { fake, own } = newMachine();
  writeRecord(fake.world, state, own);
  const id = { kind: "claim", path: "x".repeat(1 << 24) } as const;
  const step = { ...{ tool: "claim", on: "host", owner: "" }, id, path: "" } as unknown as Step;
  assert.throws(() => writeRecord(fake.world, state, { ...own, steps: [step] }), {
    message: /larger than 16 MiB/,
  });
  assert.deepEqual(readContainer(fake.world, state, "c1"), own);
});

test("a record of a later format is refused, and stays", () => {
  const { fake, own, plugin } = newMachine();
  const later = (record: object) => JSON.stringify({ ...record, format: 99 });
  fake.place(containerFile(state, "c1"), later(own));
  fake.place("/s/containers/c1/blue eth0 bridge.json", later(plugin));
  for (const read of [readContainer, readUndamaged]) {
    assert.throws(
      () => read(fake.world, state, "c1"),
      /its format is 99, .*use the version of ocinet that wrote it$/,
    );
  }
  assert.throws(() => readPlugin(fake.world, state, key), /its format is 99/);
});

test("a record of format 1 is read as one of today's", () => {
  const { fake, own } = newMachine();
  const run = "add element inet ocinet contained4 { 10.1.1.2 }";
  const old = { tool: "nft", on: "host", run, undo: "x", lasting: true };
  fake.place(
    "/s/containers/c1/journal.json",
    JSON.stringify({ ...own, format: 1, steps: [old], settled: 1 }),
  );
  const read = readContainer(fake.world, state, "c1")!;
  assert.deepEqual([read.format, read.before, read.steps], [2, 1, [{
    ...{ id: { kind: "element", set: "inet ocinet contained4", key: "10.1.1.2" }, tool: "nft", on: "host" },
    ...{ run, undo: "x", undoBy: "gc" },
  }]]);
});
