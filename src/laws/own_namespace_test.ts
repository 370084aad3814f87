import assert from "node:assert/strict";
import { test } from "node:test";
import { contextOf } from "../features/cni_plugin/call.ts";
import { del } from "../features/cni_plugin/del.ts";
import type { Fake } from "../host/fake.ts";
import { netnsOf, ways } from "./actions.ts";
import { dumpOf, newHost, state } from "./machine.ts";
import { networkOf, networkTypes } from "./networks.ts";

/** DEL of what was never added, in a namespace whose eth0 is another's. */
async function delIn(
  fake: Fake,
  netns: string,
  type: string,
): Promise<readonly [readonly string[], readonly string[]]> {
  const before = dumpOf(fake);
  for (const plugin of networkOf(type, "c1").plugins.toReversed()) {
    const environment = {
      ...{
        command: "DEL",
        containerId: "c1",
        netns,
        ifname: "eth0",
        args: "",
        path: [],
      },
      netnsOverride: false,
    } as const;
    const request = { cniVersion: "1.1.0", name: "blue", ...plugin };
    const call = { type: plugin.type, command: "DEL", network: "blue", version: "1.1.0" } as const;
    await del(await contextOf(fake.world, state, { ...call, environment, request }));
  }
  return [before, dumpOf(fake)];
}

for (const type of networkTypes) {
  test(`DEL of ${type} in its caller's own namespace takes nothing of the host's (weave#3206)`, async () => {
    const [before, after] = await delIn(newHost(), "/proc/self/ns/net", type);
    assert.deepEqual(after, before);
  });

  test(`DEL of ${type} for a container that was never added takes nothing of the one in that namespace (podman#6184)`, async () => {
    for (const way of ways) {
      const fake = newHost();
      fake.addNamespace("next");
      await way.add(fake.world, type, "c2");
      const [before, after] = await delIn(fake.copy(), netnsOf("c2"), type);
      assert.deepEqual(after, before, way.name);
    }
  });
}
