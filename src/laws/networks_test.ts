import assert from "node:assert/strict";
import { test } from "node:test";
import { down } from "../commands/down.ts";
import { networkConnect, networkDisconnect, networkRemove } from "../commands/network.ts";
import { port } from "../commands/port.ts";
import { up } from "../commands/up.ts";
import { misspeltKeys } from "../features/networks/mistakes.ts";
import { addNetwork } from "../features/cni_runtime/runtime.ts";
import { attach } from "../features/container/attach.ts";
import { detach } from "../features/container/detach.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { createNetwork } from "../features/networks/create.ts";
import { removeNetwork } from "../features/networks/remove.ts";
import { containerOfPath } from "../engine/namespace.ts";
import { type Fake, newFake } from "../host/fake.ts";
import { parseNetworkList } from "../wire/cni/network_list.ts";
import { containers } from "./actions.ts";
import { hold } from "./laws.ts";
import { dumpOf, newHost, state } from "./machine.ts";
import { movedPortActions, networkActions } from "./network_actions.ts";
import { networkOf, networkTypes } from "./networks.ts";

test("whatever fails, a network is connected and disconnected whole, or that can be tried again", async () => {
  for (const action of await networkActions("hosts")) await hold(action, 40);
});

test("the same of one whose names a resolver tells", async () => {
  for (const action of await networkActions("dns")) await hold(action, 40);
});

test("the same of the network that published ports lead by", async () => {
  for (const action of await movedPortActions()) await hold(action, 40);
});

test("a network is not left whose ports another container has on the host meanwhile", async () => {
  const fake = newHost();
  for (const name of ["box", "other"]) fake.addNamespace(name);
  const ipam = { type: "host-local", subnet: "10.93.0.0/24" };
  const plugins = [{ type: "bridge", bridge: "brt", isGateway: true, ipam }, {
    type: "portmap",
    gatewayModes: { 4: "routed", 6: "routed" },
  }];
  fake.place("/etc/ocinet/net.d/rt.conflist", JSON.stringify({ cniVersion: "1.0.0", name: "rt", plugins }));
  const { world } = fake;
  await up(world, "/run/netns/box", new Map([["net", ["rt"]], ["publish", ["8080:80"]]]));
  await networkConnect(world, ["default", "box"], new Map());
  await up(world, "/run/netns/other", new Map([["publish", ["192.0.2.1:8080:80"]]]));
  const before = dumpOf(fake);
  const leave = () => networkDisconnect(world, ["rt", "box"], new Map(), false);
  await assert.rejects(leave, { message: 'Cannot publish "8080:80/tcp": container "other" has it' });
  assert.deepEqual(dumpOf(fake), before);
  await down(world, ["other"]);
  await leave();
  assert.equal((await port(world, ["box"], new Map())).text, "8080:80/tcp nftables\n");
});

for (const type of ["bridge", "ptp", "macvlan"]) {
  test(`a container on ${type} that was killed has no names once another one comes or goes, and does not keep the network`, async () => {
    const fake = newHost();
    const { world } = fake;
    for (const name of ["box", "dead", "next", "other"]) fake.addNamespace(name);
    const ipam = { type: "host-local", subnet: "10.93.0.0/24" };
    const list = { cniVersion: "1.0.0", name: "shop", ocinet: {}, plugins: [{ type, master: "eth0", ipam }] };
    fake.place("/etc/ocinet/net.d/shop.conflist", JSON.stringify(list));
    const join = (name: string) => up(world, `/run/netns/${name}`, new Map([["net", ["shop"]]]));
    const names = () =>
      world.read(`${state}/containers/box/hosts`)!.split("\n").filter((row) => /^10\./.test(row));
    await join("box");
    fake.place(`${state}/containers/box/hosts`, "");
    await join("dead");
    assert.deepEqual(names(), ["10.93.0.2 box", "10.93.0.3 dead"]);
    fake.removeNamespace("dead");
    await join("next");
    assert.deepEqual(names(), ["10.93.0.2 box", "10.93.0.4 next"]);
    await join("other");
    fake.removeNamespace("other");
    await down(world, ["next"]);
    assert.deepEqual(names(), ["10.93.0.2 box"]);
    const remove = () => networkRemove(world, ["shop"], false);
    assert.match((await remove()).note!, /has active endpoints \(name:"box" id:"\w+"\);/);
    fake.removeNamespace("box");
    await addByRuntime(fake, "last", list);
    assert.match((await remove()).note!, /has active endpoints \(name:"last" id:"\w+"\);/);
    fake.removeNamespace("last");
    assert.deepEqual((await remove()).json, ["shop"]);
  });
}

test("no key of the networks that the laws are tried on is taken for a mistake", () => {
  const { world } = newFake();
  for (const type of networkTypes) {
    assert.deepEqual(misspeltKeys(world, { file: "x", list: networkOf(type, "c1") }), [], type);
  }
});

/** By `ocinet cni add`. */
async function addByRuntime(fake: Fake, containerId: string, list: unknown): Promise<void> {
  const config = JSON.stringify(list);
  await addNetwork(fake.world, state, {
    ...{ list: parseNetworkList(config, "shop"), config, containerId, ifname: "eth0", args: "", path: [] },
    ...{ netns: fake.addNamespace(containerId), capabilityArgs: {}, cacheDirectory: "/var/lib/cni" },
  });
}

/** A network on a bridge of that name, which a container has been on, while another goes on on another network. */
async function hostWithNetwork(bridge: string): Promise<Fake> {
  const fake = newHost();
  fake.addNamespace("box");
  await containers.add(fake.world, "bridge", "c1");
  await createNetwork(fake.world, state, "vault", {
    ...{ driver: "bridge", ipamDriver: "default", ipamOptions: {}, ranges: [] },
    ...{ subnets: ["10.99.0.0/24"], gateways: ["10.99.0.1"] },
    ...{ auxiliary: [], ipv6: true, internal: true, attachable: false, labels: {} },
    options: { "com.docker.network.bridge.name": bridge },
  });
  const path = "/etc/ocinet/net.d/vault.conflist";
  await attach(fake.world, state, {
    ...{ id: "c2", container: containerOfPath(fake.world, fake.addNamespace("inner")), replace: false },
    options: parseAttachOptions(new Map()),
    networks: [{ list: parseNetworkList(fake.world.read(path)!, path), path, ifname: "eth0", args: "" }],
  });
  await detach(fake.world, state, "c2");
  return fake;
}

for (const bridge of ["br-admin", "br7"]) {
  test(`removing a network leaves nothing of bridge ${bridge} in the table, also killed and done again`, async () => {
    const made = await hostWithNetwork(bridge);
    const isHeldBack = (line: string) => line.includes(` element inet ocinet internal { "${bridge}" }`);
    assert.ok(dumpOf(made).some(isHeldBack));
    const plain = made.copy();
    await removeNetwork(plain.world, state, "vault");
    assert.deepEqual(
      dumpOf(plain).filter((line) => line.includes(`element`) && line.includes(`"${bridge}"`)),
      [],
    );
    for (let call = 1; call <= plain.log.length; call++) {
      for (const kind of ["we die before", "we die after"] as const) {
        let fake = made.copy();
        fake.fail({ call, kind, at: 0 });
        await removeNetwork(fake.world, state, "vault").catch(() => {});
        if (fake.dead) fake = fake.restart();
        fake.fail(undefined);
        await removeNetwork(fake.world, state, "vault").catch((error) =>
          assert.match(error.message, /not found/)
        );
        assert.deepEqual(dumpOf(fake), dumpOf(plain), `${kind} at ${call}: ${plain.log[call - 1]}`);
      }
    }
  });
}

test("a container starts again on a network that was removed and made anew (compose#5745)", async () => {
  const fake = newHost();
  fake.addNamespace("box");
  const options = {
    ...{
      driver: "bridge",
      ipamDriver: "default",
      ipamOptions: {},
      subnets: ["10.99.0.0/24"],
      ranges: [],
      gateways: [],
    },
    ...{ auxiliary: [], ipv6: false, internal: false, attachable: false, labels: {}, options: {} },
  };
  const join = () => up(fake.world, "/run/netns/box", new Map([["net", ["shop"]]]));
  for (const _ of ["first", "again"]) {
    await createNetwork(fake.world, state, "shop", options);
    await join();
    await down(fake.world, ["box"]);
    await removeNetwork(fake.world, state, "shop");
  }
  await assert.rejects(join, /networks not found: shop/);
});
