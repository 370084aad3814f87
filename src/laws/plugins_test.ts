import assert from "node:assert/strict";
import { test } from "node:test";
import { actionsOf, hostWith, plugins } from "./actions.ts";
import { hold } from "./laws.ts";
import { addNetwork, delNetwork } from "../features/cni_runtime/runtime.ts";
import { parseNetworkList } from "../wire/cni/network_list.ts";
import { dumpOf, missingFrom, newHost, state } from "./machine.ts";
import { networkTypes } from "./networks.ts";

for (const type of networkTypes) {
  test(`whatever fails, its plugins adds and deletes ${type} whole, or it is told and recorded`, async () => {
    for (const action of await actionsOf(plugins, type)) await hold(action, 6);
  });
}

for (const type of networkTypes) {
  test(`of ${type}, DEL leaves nothing on the host, though neither a record nor a result tells what there was`, async () => {
    const fake = await hostWith(plugins, type);
    const { world } = fake;
    // A device that comes back is down: nothing tells how it was.
    const onHost = () =>
      dumpOf(fake).filter((line) => /^(file|host: )/.test(line) && !/^host: link eth/.test(line));
    const before = onHost();
    await plugins.add(world, type, "c1");
    world.remove(`${state}/containers/c1`);
    await plugins.remove(world, type, "c1");
    assert.deepEqual([missingFrom(onHost(), before), missingFrom(before, onHost())], [[], []]);
  });
}

for (const type of ["macvlan", "ipvlan", "bridge"]) {
  test(`DEL without record or result closes the ports of a container on ${type}, and of no other`, async () => {
    const fake = newHost();
    const ipam = { type: "host-local", subnet: "10.1.1.0/24" };
    const portmap = { type: "portmap", capabilities: { portMappings: true } };
    const main = type === "bridge" ? { type, isGateway: true, ipam } : { type, master: "eth0", ipam };
    const config = JSON.stringify({ cniVersion: "1.1.0", name: "blue", plugins: [main, portmap] });
    const callOf = (id: string, hostPort: number) => ({
      ...{ list: parseNetworkList(config, "blue"), config, containerId: id, netns: `/run/netns/${id}` },
      ...{ ifname: "eth0", args: "", path: [], cacheDirectory: "/var/lib/cni" },
      capabilityArgs: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
    });
    const ports = () => dumpOf(fake).filter((line) => /ports.*80(80|81)/.test(line));
    fake.addNamespace("c1");
    fake.addNamespace("c2");
    await addNetwork(fake.world, state, callOf("c2", 8081));
    const before = ports();
    assert.ok(before.length > 0);
    await addNetwork(fake.world, state, callOf("c1", 8080));
    assert.ok(ports().length > before.length);
    for (const path of [`${state}/containers/c1`, "/var/lib/cni/results/blue-c1-eth0"]) {
      fake.world.remove(path);
    }
    await delNetwork(fake.world, state, callOf("c1", 8080));
    assert.deepEqual(ports(), before);
  });
}
