import assert from "node:assert/strict";
import { test } from "node:test";
import { contextOf } from "../features/cni_plugin/call.ts";
import { del } from "../features/cni_plugin/del.ts";
import { dumpOf, newHost, state } from "./machine.ts";
import { networkOf, networkTypes } from "./networks.ts";

/** DEL of what was never added, by who is in the namespace that it names: its eth0 is the host's. */
async function delHere(type: string): Promise<readonly [readonly string[], readonly string[]]> {
  const fake = newHost();
  const before = dumpOf(fake);
  for (const plugin of networkOf(type, "c1").plugins.toReversed()) {
    const environment = {
      ...{
        command: "DEL",
        containerId: "c1",
        netns: "/proc/self/ns/net",
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
    const [before, after] = await delHere(type);
    assert.deepEqual(after, before);
  });
}
