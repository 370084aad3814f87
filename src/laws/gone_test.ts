import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "../wire/cni/network_list.ts";
import { addNetwork, delNetwork } from "../features/cni_runtime/runtime.ts";
import { netnsOf } from "./actions.ts";
import { dumpOf, newHost, state } from "./machine.ts";
import { portMappings } from "./networks.ts";

for (const type of ["bridge", "ptp", "macvlan", "ipvlan"]) {
  test(`the ports of a container on ${type} are the next one's where its namespace has gone without DEL`, async () => {
    const fake = newHost();
    ["box", "next"].forEach((name) => fake.addNamespace(name));
    const plugins = [
      { type, master: "eth0", ipam: { type: "host-local", subnet: "10.1.1.0/24" } },
      { type: "portmap", capabilities: { portMappings: true } },
    ];
    const list = parseNetworkList(JSON.stringify({ cniVersion: "1.1.0", name: "blue", plugins }), "blue");
    const callOf = (containerId: string) => ({
      ...{ list, config: JSON.stringify(list), containerId, netns: netnsOf(containerId), ifname: "eth0" },
      ...{ args: "", path: [], capabilityArgs: { portMappings }, cacheDirectory: "/var/lib/cni" },
    });
    const add = (id: string) => addNetwork(fake.world, state, callOf(id));
    await add("c1");
    await assert.rejects(add("c2"), { message: /Cannot publish port/ });
    fake.removeNamespace("box");
    await add("c2");
    const ports = () => dumpOf(fake).filter((line) => /element inet ocinet (host)?ports/.test(line));
    const taken = ports();
    assert.equal(taken.filter((line) => line.includes('comment "c2 ')).length, 2);
    await delNetwork(fake.world, state, callOf("c1"));
    assert.deepEqual(ports(), taken);
    await delNetwork(fake.world, state, callOf("c2"));
    assert.deepEqual(ports(), []);
  });
}
