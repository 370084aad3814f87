import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fake } from "../host/fake.ts";
import { addNamespace, type FakeProcess, linkNamed, namespaceOf } from "../host/fake/kernel.ts";
import { describeAll, type Description } from "../features/container/describe.ts";
import { collect } from "../features/container/gc.ts";
import { collectUnused } from "../features/container/unused.ts";
import { down } from "../commands/down.ts";
import { containers, hostWith, netnsOf, ways } from "./actions.ts";
import { dumpOf, missingFrom, state } from "./machine.ts";

const directory = `${state}/containers/c1`;

/** A machine with a container that publishes ports, and how it was before that. */
async function attached() {
  const fake = await hostWith(containers, "portmap");
  const before = dumpOf(fake);
  await containers.add(fake.world, "portmap", "c1");
  return { fake, before };
}

function overwrite(fake: Fake, text: (now: string) => string, names = fake.tree.names(directory)): void {
  for (const name of names) {
    fake.place(`${directory}/${name}`, text(fake.world.read(`${directory}/${name}`)!));
  }
}

test("a container whose records are damaged is taken down by its name, with its ports", async () => {
  const damages: readonly ((text: string) => string)[] = [() => "", () => "{", (text) => text.slice(0, -9)];
  for (const damage of damages) {
    for (const names of [undefined, ["container.json"], ["blue eth0 bridge.json"]]) {
      const { fake, before } = await attached();
      overwrite(fake, damage, names);
      const [{ state: told }] = await describeAll(fake.world, state, ["c1"]) as [Description];
      assert.equal(told, "partial");
      await containers.remove(fake.world, "portmap", "c1");
      assert.deepEqual([missingFrom(dumpOf(fake), before), missingFrom(before, dumpOf(fake))], [[], []]);
    }
  }
});

test("whichever file of the state is a pipe or a directory, ls, gc and down do not wait for it, and nothing of the kernel's stays", async () => {
  const all = (await attached()).fake.tree.files().map(([path]) => path).filter((path) =>
    path.startsWith(`${state}/`)
  );
  assert.ok(all.length > 6, all.join(" "));
  for (const path of all) {
    for (const isPipe of [true, false]) {
      const { fake } = await attached();
      if (isPipe) fake.placePipe(path);
      else {
        fake.world.remove(path);
        fake.world.makeDirectory(path);
      }
      const [told] = await describeAll(fake.world, state, ["c1"]) as [Description];
      if (path.startsWith(`${directory}/`)) {
        assert.match(`${told.state} ${told.reason}`, /^partial Cannot read/);
      }
      await collect(fake.world, state, ["c1"]);
      await collectUnused(fake.world, state, []);
      await containers.remove(fake.world, "portmap", "c1");
      const { links, tables } = namespaceOf(fake.kernel, fake.kernel.own);
      assert.doesNotMatch(JSON.stringify([links, tables]), /c1 veth/, path);
      assert.equal(links.filter(({ name }) => name.startsWith("veth")).length, 1, path);
    }
  }
});

test("what is no regular file in place of a record is told by its kind, with the remedy", async () => {
  const { fake } = await attached();
  fake.placePipe(`${directory}/container.json`);
  const [{ reason }] = await describeAll(fake.world, state, ["c1"]) as [Description];
  assert.equal(
    reason,
    `Cannot read ${directory}/container.json: it is a pipe (FIFO), not a regular file; ` +
      "ocinet down c1 takes away what is found by its name",
  );
});

test("a port whose claim is no regular file is refused, with the file and the remedy", async () => {
  const fake = await hostWith(containers, "portmap");
  const claim = `${state}/ports/tcp/8080/any any`;
  fake.placePipe(claim);
  await assert.rejects(
    containers.add(fake.world, "portmap", "c1"),
    new RegExp(`Cannot read ${claim}: it is a pipe \\(FIFO\\), not a regular file; remove it$`),
  );
});

test("records of a later version are refused by name, and nothing of the container is touched", async () => {
  const { fake } = await attached();
  overwrite(fake, (text) => text.replace('"format":2', '"format":99'));
  const before = dumpOf(fake);
  await assert.rejects(
    containers.remove(fake.world, "portmap", "c1"),
    /^Error: Cannot read .*container\.json: its format is 99, .*; use the version of ocinet that wrote it$/,
  );
  assert.deepEqual(dumpOf(fake), before);
});

/** The machine once our network namespace has ended, with all that was in it; we are in a new one. */
function endOwnNamespace({ kernel }: Fake): void {
  const fresh = addNamespace(kernel);
  kernel.own = fresh.inode;
  kernel.processes = kernel.processes.map((one): FakeProcess => ({ ...one, namespace: fresh.inode }));
  Object.assign(kernel, { namespaces: [fresh], mounts: {} });
}

for (const way of ways) {
  test(`when the host's namespace is gone, what was done there by the ${way.name} is given back`, async () => {
    const fake = await hostWith(way, "portmap");
    const files = (lines: readonly string[]) => lines.filter((line) => line.startsWith("file /"));
    const before = files(dumpOf(fake));
    await way.add(fake.world, "portmap", "c1");
    endOwnNamespace(fake);
    await way.remove(fake.world, "portmap", "c1");
    assert.deepEqual(files(dumpOf(fake)), before);
  });
}

test("when the state directory was emptied, the next container has no running one's address, and down finds those", async () => {
  for (const network of ["ptp", "portmap"]) {
    const fake = await hostWith(containers, network);
    await containers.add(fake.world, network, "c1");
    const addressesOf = (id: string) => {
      const inside = namespaceOf(fake.kernel, fake.kernel.mounts[netnsOf(id)]!);
      return linkNamed(inside, "eth0")!.addresses.map(({ address }) => address);
    };
    const running = ["c0", "c1"].flatMap(addressesOf);
    assert.equal(running.length, 4);
    fake.world.remove(state);
    if (network === "ptp") {
      await containers.add(fake.world, network, "c2");
      for (const address of addressesOf("c2")) assert.ok(!running.includes(address), address);
    } else {
      // Its port is another container's, which is named.
      await assert.rejects(containers.add(fake.world, network, "c2"), /container "c[01]" has it/);
    }
    await down(fake.world, ["c0", "c1", "c2"]);
    const left = namespaceOf(fake.kernel, fake.kernel.own).links.map(({ name }) => name);
    assert.deepEqual(left.filter((name) => name.startsWith("veth")), []);
    const { tables } = namespaceOf(fake.kernel, fake.kernel.own);
    assert.doesNotMatch(JSON.stringify(tables), /c[012] veth/);
  }
});
