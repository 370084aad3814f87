import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fault, newFake } from "../host/fake.ts";
import { addVeth, setLink } from "../plan/ip.ts";
import { element } from "../plan/nft/element.ts";
import { guardBridges, guardVeth } from "../plan/nft/endpoint.ts";
import { claim, exec, type Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { apply } from "./apply.ts";
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

const prefixes = { host: [], container: ["nsenter", "--net=/run/netns/box"] };
const name = claim("/s/names/10.1.1.2", "c1");
const veth = addVeth({
  host: { name: "veth1", mac: "02:00:00:00:00:01" },
  container: { name: "eth0", mac: "02:00:00:00:00:02" },
  netns: "/run/netns/box",
});

/** A machine after the steps, and its state before them. */
async function after(steps: readonly Step[]) {
  const fake = newFake();
  fake.addNamespace("box");
  await apply(fake.world, prefixes, [element("inet ocinet contained4", "10.1.1.9")]);
  const before = fake.dump();
  await apply(fake.world, prefixes, steps);
  return { fake, before };
}

test("steps are undone, last first, and what is gone already is fine", async () => {
  const steps = [name, veth, setLink("host", "veth1", "up"), element("inet ocinet contained4", "10.1.1.2")];
  const { fake, before } = await after(steps);
  assert.deepEqual(await undo(fake.world, prefixes, steps), { problems: [], left: new Set() });
  const files = (lines: readonly string[]) => lines.filter((line) => !line.startsWith("directory "));
  assert.deepEqual(files(fake.dump()), files(before));
  assert.deepEqual(await undo(fake.world, prefixes, steps), { problems: [], left: new Set() });
});

test("a name stays taken while a link resists, however its program failed, and what is left is told", async () => {
  const faults: readonly (readonly [Fault["kind"], RegExp])[] = [
    ["refused", /^Cannot do "ip link del dev veth1": RTNETLINK answers: Device or resource busy$/],
    ["killed before", /^Cannot undo ".*veth1.*": it was ended by signal 9$/],
    ["silent", /^Cannot undo ".*veth1.*": it ended with status 1 and said nothing$/],
    ["hangs", /^Cannot undo ".*veth1.*": it did not end within 120 s$/],
  ];
  for (const [kind, problem] of faults) {
    const { fake } = await after([name, veth]);
    fake.fail({ kind, call: 1, at: 0 });
    const { problems, left } = await undo(fake.world, prefixes, [name, veth]);
    assert.equal(problems.length, 1, kind);
    assert.match(problems[0]!, problem);
    assert.deepEqual(left, new Set([name, veth]));
    assert.equal(fake.world.read(name.path), "c1");
  }
});

test("a program that takes back is judged by how it ends, unless its failure means nothing", async () => {
  const command = exec("container", "rule", {
    undo: ["ip", "-6", "rule", "del", "from", "fd00::1/128", "lookup", "100"],
  });
  const { fake } = await after([]);
  // The thing that it would remove is gone.
  assert.deepEqual((await undo(fake.world, prefixes, [command])).problems, []);
  fake.fail({ kind: "refused", call: 1, at: 0 });
  assert.deepEqual(await undo(fake.world, prefixes, [command]), {
    problems: [
      'Cannot undo "container: at the end: ip -6 rule del from fd00::1/128 lookup 100": ' +
      "RTNETLINK answers: Device or resource busy",
    ],
    left: new Set([command]),
  });
  fake.fail({ kind: "refused", call: 1, at: 0 });
  assert.deepEqual((await undo(fake.world, prefixes, [{ ...command, onError: "ignore" }])).problems, []);
});
