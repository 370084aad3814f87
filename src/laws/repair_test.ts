import assert from "node:assert/strict";
import { test } from "node:test";
import { deleteLink, linkNamed, namespaceOf } from "../host/fake/kernel.ts";
import type { Fake } from "../host/fake.ts";
import { repair } from "../features/container/repair.ts";
import { containers, hostWith } from "./actions.ts";
import { dumpOf, missingFrom, state } from "./machine.ts";

const hostOf = ({ kernel }: Fake) => namespaceOf(kernel, kernel.own);

/** Two containers on a bridge, something that somebody does to the machine, and repair of both. */
async function repaired(damage: (fake: Fake) => void) {
  const fake = await hostWith(containers, "portmap");
  await containers.add(fake.world, "portmap", "c1");
  const before = dumpOf(fake);
  damage(fake);
  assert.notDeepEqual(dumpOf(fake), before);
  const told = [await repair(fake.world, state, "c0"), await repair(fake.world, state, "c1")].flat();
  for (const id of ["c0", "c1"]) assert.deepEqual(await repair(fake.world, state, id), []);
  // What is done again is recorded.
  const lost = missingFrom(before, dumpOf(fake)).filter((line) => !line.startsWith("file /run/ocinet/"));
  return { told, lost };
}

test("repair turns forwarding on again that somebody has switched off", async () => {
  const { told, lost } = await repaired((fake) => {
    hostOf(fake).sysctls["net/ipv4/ip_forward"] = "0";
  });
  assert.match(told.join("\n"), /was gone, and is there again/);
  assert.deepEqual(lost, []);
});

test("repair makes a bridge again that somebody has deleted, with its ports and addresses", async () => {
  const { told, lost } = await repaired((fake) => {
    const host = hostOf(fake);
    deleteLink(fake.kernel, host, linkNamed(host, "br0")!);
  });
  assert.match(told.join("\n"), /br0 was gone, and is there again/);
  assert.deepEqual(lost, []);
});

test("repair makes a container's link again that somebody has deleted", async () => {
  const { told, lost } = await repaired((fake) => {
    const host = hostOf(fake);
    const links = [...host.links.values()].filter(({ name }) => name.startsWith("veth"));
    deleteLink(fake.kernel, host, links.at(-1)!);
  });
  assert.match(told.join("\n"), /^link veth[0-9a-f]+ was gone, and is there again$/m);
  assert.deepEqual(lost, []);
});
