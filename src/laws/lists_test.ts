import assert from "node:assert/strict";
import { test } from "node:test";
import { list } from "../commands/list.ts";
import { down } from "../commands/down.ts";
import { networkDisconnect } from "../commands/network.ts";
import { port } from "../commands/port.ts";
import { repair } from "../commands/repair.ts";
import { up } from "../commands/up.ts";
import { newFake } from "../host/fake.ts";
import { containers, hostWith, plugins, runtime } from "./actions.ts";
import { dumpOf } from "./machine.ts";

test("ls shows a container that a CNI runtime has attached", async () => {
  for (const way of [runtime, plugins]) {
    const fake = await hostWith(way, "bridge");
    await way.add(fake.world, "bridge", "c1");
    const { text } = await list(fake.world);
    assert.match(text, /^c1 +up +blue:ip4=10\.1\.1\.3, blue:ip6=fd00:1::3$/m, way.name);
    const before = dumpOf(fake);
    await assert.rejects(
      down(fake.world, ["c1"]),
      /"c1": a CNI runtime has attached it, whose DEL takes it away; or ocinet cni del/,
    );
    assert.deepEqual(dumpOf(fake), before);
  }
});

test("repair says what it cannot repair, and fails", async () => {
  const ofCni = "its address fd00:1::1/64 is gone; its CNI runtime has to delete and add it";
  const ended = "its namespace /run/netns/box is gone; ocinet gc takes it away";
  for (const [way, told] of [[runtime, ofCni], [containers, ended]] as const) {
    const { world, removeNamespace } = await hostWith(way, "bridge");
    await way.add(world, "bridge", "c1");
    assert.equal((await repair(world, ["c1"])).code, 0);
    if (way === runtime) await world.run(["ip", "link", "set", "dev", "br0", "down"]);
    else removeNamespace("box");
    const { text, code } = await repair(world, ["c1"]);
    assert.deepEqual([text, code], [`c1: not repaired: ${told}\n`, 1]);
  }
});

test("repair --all repairs every container, says of which it could not, and leaves ended ones to gc", async () => {
  const { world, removeNamespace } = await hostWith(containers, "bridge");
  for (const id of ["c1", "c2"]) await containers.add(world, "bridge", id);
  const all = (of = world) => repair(of, [], true);
  assert.deepEqual([(await all()).text, (await all()).code], ["", 0]);
  removeNamespace("box");
  await world.run(["ip", "link", "set", "dev", "br0", "down"]);
  const lock: typeof world.lock = (path, ...more) =>
    path.includes("c0") ? Promise.reject(new Error("no lock")) : world.lock(path, ...more);
  const { text, code } = await all({ ...world, lock });
  assert.deepEqual([text, code], ["c0: not repaired: no lock\nc2: link br0 was down, and is up again\n", 1]);
  for (const [ids, flag] of [[[], false], [["c0"], true]] as const) {
    await assert.rejects(
      repair(world, ids, flag),
      /"ocinet repair": it takes either ids of containers or --all/,
    );
  }
});

test("a port of a container that has left its last network can be taken away", async () => {
  const { world, addNamespace } = newFake();
  addNamespace("box");
  await up(world, "/run/netns/box", new Map([["publish", ["8080:80", "8081:81"]]]));
  await networkDisconnect(world, ["default", "box"], new Map(), false);
  const left = await port(world, ["rm", "box", "8080"], new Map());
  assert.equal(left.text, "8081:81/tcp none\n");
  assert.deepEqual(["8080", "8081"].map((one) => world.list(`/run/ocinet/ports/tcp/${one}`).length), [0, 1]);
});

test("a bridge without ipam is a network of layer 2 alone, which ls shows by its name", async () => {
  const fake = newFake();
  fake.addNamespace("box");
  fake.place(
    "/etc/ocinet/net.d/l2.conf",
    JSON.stringify({ cniVersion: "1.0.0", name: "l2", type: "bridge" }),
  );
  await up(fake.world, "/run/netns/box", new Map([["net", ["l2"]]]));
  const shown = await list(fake.world);
  assert.match(shown.text, /^box +up +l2 *$/m);
  const [box] = shown.json as {
    state: string;
    networks: { ips: string[]; mac: string }[];
  }[];
  assert.equal(box!.state, "up");
  assert.deepEqual(box!.networks[0]!.ips, []);
  assert.match(box!.networks[0]!.mac, /^02:/);
});

test("an empty list says where root's containers are shown, to others than root", async () => {
  const { world } = newFake({ uid: 1000, env: { OCINET_STATE_DIR: "/home/ann/state" } });
  const stat: typeof world.stat = (path, link) =>
    path === "/run/ocinet" ? world.stat("/", link) : world.stat(path, link);
  const { note, json } = await list({ ...world, stat });
  assert.deepEqual(json, []);
  assert.equal(note, "none of yours; sudo ocinet ls shows those of root");
  assert.equal((await list(newFake().world)).note, undefined);
});
