import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOfPath } from "../engine/namespace.ts";
import { attach } from "../features/container/attach.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import type { NetworkList, PluginConf } from "../wire/cni/network_list.ts";
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

test("the same of one that a CNI runtime has attached", async () => {
  const fake = newHost();
  fake.addNamespace("box");
  await runtime.add(fake.world, "bridge", "c1");
  const before = dumpOf(fake);
  fake.kernel.mounts[netnsOf("c0")] = fake.kernel.mounts[netnsOf("c1")]!;
  await assert.rejects(containers.add(fake.world, "ptp", "c0"), {
    message: /container "c1" has its network namespace, .* or have its CNI runtime delete it \(/,
  });
  assert.deepEqual(missingFrom(before, dumpOf(fake)), []);
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

test("a VLAN, a device, or an address of ipvlan, that another link or container has is refused, and the error names it", async () => {
  const fixed = { type: "static", addresses: [{ address: "10.1.1.7/24" }] };
  const local = (id: string) => ({ type: "host-local", subnet: "10.1.1.0/24", dataDir: `/run/leases/${id}` });
  const mac = newHost().kernel.namespaces[0]!.links.find(({ name }) => name === "eth9")!.mac.toUpperCase();
  const add = ({ world }: ReturnType<typeof newHost>, id: string, plugin: PluginConf) =>
    attach(world, state, {
      ...{ id, container: containerOfPath(world, `/run/netns/${id}`), replace: false },
      options: parseAttachOptions(new Map()),
      networks: [{ list: { ...networkOf("vlan", id), plugins: [plugin] }, ifname: "eth0", args: "" }],
    });
  const vlan = {
    type: "vlan",
    master: "eth0",
    vlanId: 7,
    ipam: { type: "host-local", subnet: "10.1.1.0/24" },
  };
  for (
    const [plugin, told, second = plugin] of [
      [vlan, /container "c1" has VLAN 7 of eth0 already; choose another vlanId, or end that container$/],
      [
        { type: "ipvlan", master: "eth0", ipam: fixed },
        /Cannot use address 10.1.1.7: container "c1" has it; choose another, or end/,
      ],
      [
        { type: "ipvlan", master: "eth0", ipam: local("c1") },
        /container "c1" has the address already; choose another, or end/,
        { type: "ipvlan", master: "eth0", ipam: local("c2") },
      ],
      ...[
        { type: "host-device", device: "eth9" },
        { type: "host-device", hwaddr: mac },
        { type: "macvlan", master: "eth9" },
      ].map((second) =>
        [
          { type: "host-device", device: "eth9" },
          /: (Link not found|failed to find physical interface): container "c1" has it; end that container first$/,
          second,
        ] as const
      ),
    ] as const
  ) {
    const fake = newHost();
    for (const id of ["c1", "c2"]) fake.addNamespace(id);
    await add(fake, "c1", plugin);
    const before = dumpOf(fake);
    await assert.rejects(add(fake, "c2", second), { message: told });
    assert.deepEqual(dumpOf(fake), before);
  }
  const fake = newHost();
  fake.addNamespace("c1");
  await fake.world.run(["ip", "link", "add", "link", "eth0", "name", "eth0.7", "type", "vlan", "id", "7"]);
  const told =
    /the host's link eth0.7 has VLAN 7 of eth0 already; .*, or use type macvlan with the master eth0.7$/;
  await assert.rejects(add(fake, "c1", vlan), { message: told });
});

test("published ports lead to a network that the host is on; where there is none, a warning says so", async () => {
  const [bridge, ptp, macvlan] = ["bridge", "ptp", "macvlan"].map((type) => networkOf(type, "c1")) as [
    NetworkList,
    NetworkList,
    NetworkList,
  ];
  const plain = { ...bridge, plugins: [{ ...bridge.plugins[0]!, isGateway: false, ipMasq: false }] };
  const said = async (...lists: readonly NetworkList[]) => {
    const [fake, warnings] = [newHost(), [] as string[]];
    fake.addNamespace("box");
    const world = { ...fake.world, warn: (line: string) => void warnings.push(line) };
    await attach(world, state, {
      ...{ id: "c1", container: containerOfPath(world, "/run/netns/box"), replace: false },
      options: parseAttachOptions(new Map([["publish", ["8080:80"]]])),
      networks: lists.map((list, i) => ({ list: { ...list, name: `net${i}` }, ifname: `eth${i}`, args: "" })),
    });
    return warnings.join();
  };
  assert.equal(await said(bridge), "");
  // Both give the same address, too.
  assert.equal(await said(ptp, macvlan), "");
  assert.match(
    await said(macvlan),
    /^published ports may lead nowhere: .* a link on network "net0" \(macvlan\); use the container's own address \(10\.1\.1\.2, fd00:1::2\)/,
  );
  assert.match(
    await said(plain),
    /^published ports may lead nowhere: .* an address on network "net0" \(bridge\); /,
  );
});
