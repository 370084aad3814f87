import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOfPath } from "../engine/namespace.ts";
import { attach } from "../features/container/attach.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { linkNamed, namespaceOf } from "../host/fake/kernel.ts";
import { actionsOf, containers, hostWith, netnsOf, plugins, runtime, ways } from "./actions.ts";
import { hold } from "./laws.ts";
import { dumpOf, missingFrom, newHost, state } from "./machine.ts";
import { networkOf, networkTypes } from "./networks.ts";
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

/** A renamed link is in its VRF until it goes, after which the VRF has nothing, and stays. */
const renamed = networkTypes.filter((type) => type !== "loopback" && type !== "vrf");

for (const type of renamed) {
  test(`a link of ${type} that its container has renamed goes all the same, before its address is another's`, async () => {
    for (const way of ways) {
      const fake = await hostWith(way, type);
      const { world, kernel } = fake;
      const before = dumpOf(fake);
      await way.add(world, type, "c1");
      const link = linkNamed(namespaceOf(kernel, kernel.mounts[netnsOf("c1")]!), "eth0");
      assert.ok(link, way.name);
      link.name = "lan0";
      await way.remove(world, type, "c1");
      assert.deepEqual(dumpOf(fake), before, way.name);
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

test("a container in a namespace that another one has is refused by that one's name, and takes nothing of it", async () => {
  const fake = newHost();
  const { world } = fake;
  const add = (id: string, network: string, netns: string) =>
    attach(world, state, {
      ...{ id, container: containerOfPath(world, netns), replace: false },
      options: parseAttachOptions(new Map()),
      networks: [{ list: networkOf(network, "c1"), ifname: "eth0", args: "" }],
    });
  await add("c1", "bridge", fake.addNamespace("box"));
  const before = fake.dump().filter((line) => line.includes("box") || line.includes("eth0"));
  await assert.rejects(add("c9", "bridge", "/run/netns/box"), {
    message:
      /^Cannot attach container "c9": container "c1" has its network namespace, .* ocinet down c1 \(.*\)$/,
  });
  assert.deepEqual(fake.dump().filter((line) => line.includes("box") || line.includes("eth0")), before);
});

test("an ADD for a namespace that has another container's eth0 is refused by that one's name", async () => {
  for (const type of ["bridge", "macvlan", "tap"]) {
    for (const way of [runtime, plugins]) {
      const fake = newHost();
      const { world, kernel } = fake;
      fake.addNamespace("box");
      kernel.mounts[netnsOf("c0")] = kernel.mounts[netnsOf("c1")]!;
      await way.add(world, type, "c1");
      const before = dumpOf(fake);
      await assert.rejects(way.add(world, type, "c0"), {
        message:
          /Cannot attach "eth0" of container "c0": container "c1" has its network namespace, and an "eth0"/,
      });
      assert.deepEqual(missingFrom(before, dumpOf(fake)), [], `${type}, ${way.name}`);
    }
  }
});
