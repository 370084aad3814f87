import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "../wire/cni/network_list.ts";
import { addNetwork, delNetwork } from "../features/cni_runtime/runtime.ts";
import { netnsOf } from "./actions.ts";
import { dumpOf, newHost, state } from "./machine.ts";
import { portMappings } from "./networks.ts";

const host = { type: "host-local", subnet: "10.1.1.0/24" };
// The next one's rules are the same as those of the one that has gone.
const fixed = { type: "static", addresses: [{ address: "10.1.1.9/24", gateway: "10.1.1.1" }] };

for (
  const [type, ipam] of [
    ...["bridge", "ptp", "macvlan", "ipvlan"].map((type) => [type, host] as const),
    ...["bridge", "ptp", "macvlan"].map((type) => [type, fixed] as const),
  ]
) {
  test(`the ports of a container on ${type} with ${ipam.type} are the next one's where its namespace has gone without DEL`, async () => {
    const fake = newHost();
    ["box", "next"].forEach((name) => fake.addNamespace(name));
    const plugins = [
      { type, master: "eth0", ipMasq: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "firewall" },
    ];
    const list = parseNetworkList(JSON.stringify({ cniVersion: "1.1.0", name: "blue", plugins }), "blue");
    const callOf = (containerId: string) => ({
      ...{ list, config: JSON.stringify(list), containerId, netns: netnsOf(containerId), ifname: "eth0" },
      ...{ args: "", path: [], capabilityArgs: { portMappings }, cacheDirectory: "/var/lib/cni" },
    });
    const add = (id: string) => addNetwork(fake.world, state, callOf(id));
    await add("c1");
    await assert.rejects(add("c2"), { message: /Cannot publish port|Cannot use address|ip route add/ });
    fake.removeNamespace("box");
    await add("c2");
    const rules = () =>
      dumpOf(fake).filter((line) =>
        / (members|masquerade|passed|(host)?ports)/.test(line) && /element/.test(line)
      );
    const taken = rules();
    assert.equal(taken.filter((line) => /ports/.test(line) && line.includes('comment "c2 ')).length, 2);
    await delNetwork(fake.world, state, callOf("c1"));
    assert.deepEqual(rules(), taken);
    await delNetwork(fake.world, state, callOf("c2"));
    assert.deepEqual(rules(), []);
  });
}
