import assert from "node:assert/strict";
import { test } from "node:test";
import { gc } from "../commands/gc.ts";
import { networkConnect, networkDisconnect } from "../commands/network.ts";
import { port } from "../commands/port.ts";
import { repair } from "../commands/repair.ts";
import { up } from "../commands/up.ts";
import { historyChecks } from "../features/doctor/history.ts";
import { describeAll } from "../features/container/describe.ts";
import type { Fake } from "../host/fake.ts";
import type { World } from "../plan/world.ts";
import { dumpOf, newHost, state } from "./machine.ts";

/** A container with a published port, on this network or on several. */
async function hostWith(...nets: readonly string[]): Promise<Fake> {
  const fake = newHost();
  fake.addNamespace("box");
  const place = (name: string, subnet: string, more: object, others: readonly object[] = []) => {
    const main = { type: "bridge", bridge: `br-${name}`, isGateway: true, ...more };
    const plugins = [{ ...main, ipam: { type: "host-local", subnet } }, ...others];
    const list = { cniVersion: "1.0.0", name, ocinet: {}, plugins };
    fake.place(`/etc/ocinet/net.d/${name}.conflist`, JSON.stringify(list));
  };
  place("vault", "10.91.0.0/24", { internal: true });
  place("shop", "10.92.0.0/24", { ipMasq: true });
  place("plain", "10.93.0.0/24", {});
  place("routed", "10.94.0.0/24", {}, [{ type: "portmap", gatewayModes: { 4: "routed", 6: "routed" } }]);
  const options = new Map([["net", [nets.join(",")]], ["publish", ["8080:80"]]]);
  await up(fake.world, "/run/netns/box", options);
  return fake;
}

const shown = async (world: World) => (await port(world, ["box"], new Map())).text;
const connect = (network: string) => (world: World) => networkConnect(world, [network, "box"], new Map());
const disconnect = (network: string) => (world: World) =>
  networkDisconnect(world, [network, "box"], new Map(), false);

test("ports that an internal network keeps closed open on connect, on whichever network, and close again", async () => {
  const closed = "8080:80/tcp none\n";
  for (const [network, by] of [["shop", "nftables"], ["plain", "nftables"], ["routed", "routed"]] as const) {
    const { world } = await hostWith("vault");
    assert.equal(await shown(world), closed);
    await connect(network)(world);
    assert.match(await shown(world), new RegExp(`^8080:80/tcp ${by}`));
    await disconnect(network)(world);
    assert.equal(await shown(world), closed);
    await disconnect("vault")(world);
    assert.equal(await shown(world), closed);
    await connect(network)(world);
    assert.match(await shown(world), new RegExp(`^8080:80/tcp ${by}`));
  }
});

const moves = [
  { nets: ["vault"], what: "opens ports", act: connect("shop") },
  { nets: ["vault"], what: "opens them on their own address", act: connect("routed") },
  { nets: ["plain"], what: "moves them", act: connect("shop") },
  { nets: ["vault", "shop"], what: "closes them", act: disconnect("shop") },
  { nets: ["routed", "shop"], what: "moves them off", act: disconnect("routed") },
];

for (const { nets, what, act } of moves) {
  test(`who is killed while a change of networks ${what} is told of by ls, and repair or gc ends it`, async () => {
    const before = await hostWith(...nets);
    const end = before.copy();
    await act(end.world);
    // Bridges, and settings that they share, stay as long as a container is there.
    const own = (fake: Fake) =>
      dumpOf(fake).filter((line) =>
        /ports|opened|masked|masquerade|box: (link|address|rule|route)/.test(line)
      );
    const goals = [own(before), own(end)].map((lines) => lines.join("\n"));
    let times = 0;
    for (let call = 1; call <= end.log.length; call++) {
      for (const kind of ["we die before", "we die after"] as const) {
        const dying = before.copy();
        dying.fail({ call, kind, at: 0 });
        await act(dying.world).catch(() => {});
        const at = `${kind} at ${call}: ${end.log[call - 1]}`;
        for (const mends of [(world: World) => repair(world, ["box"]), (world: World) => gc(world, false)]) {
          const fake = dying.restart();
          fake.fail(undefined);
          const [told] = await describeAll(fake.world, state, ["box"]);
          if (told!.state === "up") {
            assert.ok(goals.includes(own(fake).join("\n")), `${at}: not told`);
          }
          if (told!.reason?.startsWith("its published ports")) {
            const check = historyChecks.find(({ name }) => name === "containers")!;
            const said = {
              found: "box: its published ports are being moved",
              remedy: "if not, ocinet repair box opens them again",
            };
            assert.deepEqual((await check.look(fake.world)).map(({ found, remedy }) => ({ found, remedy })), [
              said,
            ]);
            times++;
          }
          await mends(fake.world);
          assert.ok(goals.includes(own(fake).join("\n")), `${at}\n${own(fake).join("\n")}`);
          assert.equal((await describeAll(fake.world, state, ["box"]))[0]!.state, "up", at);
        }
      }
    }
    assert.notEqual(times, 0);
  });
}
