import assert from "node:assert/strict";
import { test } from "node:test";
import { list } from "../commands/list.ts";
import { down } from "../commands/down.ts";
import { up } from "../commands/up.ts";
import { newFake } from "../host/fake.ts";
import { hostWith, plugins, runtime } from "./actions.ts";
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

test("a bridge without ipam is a network of layer 2 alone", async () => {
  const fake = newFake();
  fake.addNamespace("box");
  fake.place(
    "/etc/ocinet/net.d/l2.conf",
    JSON.stringify({ cniVersion: "1.0.0", name: "l2", type: "bridge" }),
  );
  await up(fake.world, "/run/netns/box", new Map([["net", ["l2"]]]));
  const [box] = (await list(fake.world)).json as {
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
