import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../wire/oci/options.ts";
import { newFake } from "../host/fake.ts";
import type { Hop } from "../features/trace/seen.ts";
import { repair } from "./repair.ts";
import { trace } from "./trace.ts";
import { up } from "./up.ts";

/** A machine with two containers on one network and one on a bridge of its own, and a way to the world. */
async function machine() {
  const fake = newFake();
  const { world, place } = fake;
  place(
    "/etc/ocinet/net.d/shop.conf",
    JSON.stringify({
      ...{ cniVersion: "1.0.0", name: "shop", type: "bridge", bridge: "shop0", isDefaultGateway: true },
      ...{ ipMasq: true, ipam: { type: "host-local", ranges: [[{ subnet: "10.5.0.0/24" }]] } },
    }),
  );
  for (const name of ["box", "other", "shop"]) fake.addNamespace(name);
  await up(world, "box", new Map([["publish", ["8080:80"]]]));
  await up(world, "other", new Map());
  await up(world, "shop", new Map([["net", ["shop"]]]));
  const host = async (...lines: string[]) => {
    await world.run(["ip", "-force", "-batch", "-"], { stdin: lines.map((one) => `${one}\n`).join("") });
  };
  const inside = async (name: string, line: string) => {
    await world.run(["nsenter", `--net=/run/netns/${name}`, "ip", "-batch", "-"], { stdin: `${line}\n` });
  };
  const nft = async (stdin: string) => void await world.run(["nft", "-f", "-"], { stdin });
  await host(
    "link add name up0 type dummy",
    "link set dev up0 up",
    "address add 192.0.2.1/24 dev up0",
    "route add 0.0.0.0/0 via 192.0.2.9 dev up0",
  );
  return { ...fake, host, inside, nft };
}

async function hopsOf(
  machine: Pick<Awaited<ReturnType<typeof newFake>>, "world" | "dump">,
  id: string,
  to?: string,
) {
  const before = machine.dump();
  const { json, code } = await trace(machine.world, id, to);
  assert.deepEqual(machine.dump(), before, "it only looks");
  const hops = json as readonly Hop[];
  const wrong = hops.filter(({ ok }) => !ok);
  assert.equal(code, wrong.length === 0 ? 0 : 1);
  for (const { ok, remedy } of hops) assert.equal(remedy === "", ok);
  return { hops, wrong };
}

type Machine = Awaited<ReturnType<typeof machine>>;

/** Of a machine where one thing is wrong: exactly that hop is, with its remedy. */
async function onlyWrong(
  made: Machine,
  words: readonly [string, string?],
  expected: Partial<Hop>,
): Promise<void> {
  const { wrong } = await hopsOf(made, ...words);
  const keys = Object.keys(expected) as (keyof Hop)[];
  assert.deepEqual(
    wrong.map((hop) => Object.fromEntries(keys.map((key) => [key, hop[key]]))),
    [expected],
  );
}

const veth = "vethd34051fbcaa";

test("where all is as recorded every hop is right, for each kind of target", async () => {
  const made = await machine();
  for (const to of [undefined, "world", ":8080", "other", "203.0.113.7"]) {
    assert.deepEqual((await hopsOf(made, "box", to)).wrong, [], to);
  }
  assert.deepEqual((await hopsOf(made, "shop")).wrong, []);
  const { hops } = await hopsOf(made, "shop");
  assert.equal(
    hops.map(({ layer }) => layer).join(", "),
    "interface, address, route, neighbour, host link, bridge, gateway, host route, settings, rules, forwarding, " +
      "rules, firewall, firewall, host route, host link",
  );
});

test("an interface that is down is wrong, and not the routes that went with it", async () => {
  const made = await machine();
  await made.inside("box", "link set dev eth0 down");
  await onlyWrong(made, ["box"], {
    layer: "interface",
    at: "eth0 in box",
    found: "down",
    expected: "up",
    remedy: "nsenter --net=/run/netns/box ip link set dev eth0 up; then ocinet repair box",
  });
});

test("a lost address, a lost route and one that leads elsewhere are told apart", async () => {
  const made = await machine();
  await made.inside("box", "route del 0.0.0.0/0 via 172.16.28.1 dev eth0");
  await onlyWrong(made, ["box"], {
    layer: "route",
    found: "no route",
    expected: "by eth0 through 172.16.28.1",
    remedy: "ocinet repair box",
  });
  await repair(made.world, ["box"]);
  assert.deepEqual((await hopsOf(made, "box")).wrong, []);
  await made.inside("box", "route add 198.41.0.0/24 dev eth0");
  const { wrong } = await hopsOf(made, "box");
  assert.deepEqual(wrong.map(({ layer, found }) => [layer, found]), [["route", "by eth0"]]);
  assert.match(
    wrong[0]!.remedy,
    /^a route that ocinet did not make leads elsewhere; .*ip route get 198\.41\.0\.4/,
  );
});

test("the host's end is told: the link, the gateway's address, the route, the bridge", async () => {
  const made = await machine();
  await made.host(`link set dev ${veth} down`);
  await onlyWrong(made, ["box"], { layer: "host link", at: veth, remedy: `ip link set dev ${veth} up` });
  const two = await machine();
  await two.host(`address del 172.16.28.1/32 dev ${veth}`);
  await onlyWrong(two, ["box"], {
    layer: "gateway",
    at: veth,
    found: "no address",
    remedy: `ip address replace 172.16.28.1/32 dev ${veth}`,
  });
  const three = await machine();
  await three.host(`route del 172.16.28.2/32 dev ${veth}`);
  await onlyWrong(three, ["box"], {
    layer: "host route",
    at: "to 172.16.28.2",
    remedy: `ip route replace 172.16.28.2/32 dev ${veth}`,
  });
  const four = await machine();
  await four.host("link set dev shop0 down");
  await onlyWrong(four, ["shop"], { layer: "bridge", at: "shop0", remedy: "ip link set dev shop0 up" });
  const five = await machine();
  const port = five.kernel.namespaces[0]!.links.find(({ master }) => master !== undefined)!.name;
  await five.host(`link set dev ${port} nomaster`);
  await onlyWrong(five, ["shop"], {
    layer: "host link",
    found: "up",
    expected: "up, port of shop0",
    remedy: "ocinet repair shop",
  });
  await repair(five.world, ["shop"]);
  await five.host("address del 10.5.0.1/24 dev shop0");
  await onlyWrong(five, ["shop"], {
    layer: "gateway",
    at: "shop0",
    expected: "10.5.0.1/24",
    remedy: "ip address replace 10.5.0.1/24 dev shop0 brd +",
  });
});

test("forwarding that is off is wrong by the key that turned it off", async () => {
  const made = await machine();
  made.place("/proc/sys/net/ipv4/ip_forward", "0");
  await onlyWrong(made, ["box"], {
    layer: "forwarding",
    found: "off by net.ipv4.ip_forward",
    remedy:
      "sysctl -w net/ipv4/ip_forward=1, or ocinet repair box; look for who turned it off in /etc/sysctl.d",
  });
});

test("a missing rule is wrong; a port's rule is one of the port", async () => {
  const made = await machine();
  await made.nft(`delete element inet ocinet masquerade4 { "${veth}" . 172.16.28.2 }\n`);
  await onlyWrong(made, ["box"], {
    layer: "rules",
    found: "missing from masquerade4",
    remedy: "ocinet repair box",
  });
  await repair(made.world, ["box"]);
  await made.nft("delete element inet ocinet ports4 { tcp . 8080 }\n");
  await onlyWrong(made, ["box", ":8080"], {
    layer: "port",
    found: "leads nowhere",
    expected: "leads to 172.16.28.2 . 80",
    remedy: "ocinet repair box",
  });
  assert.deepEqual((await hopsOf(made, "box")).wrong, []);
  await made.nft('add element inet ocinet ports4 { tcp . 8080 comment "thief veth1" : 172.16.28.3 . 80 }\n');
  await onlyWrong(made, ["box", ":8080"], {
    layer: "port",
    found: "leads to 172.16.28.3 . 80 (thief veth1)",
  });
});

test("a port that is not published says who has it", async () => {
  const made = await machine();
  await onlyWrong(made, ["box", ":81"], {
    layer: "port",
    found: "not published; no container has it in nft",
    remedy: "ocinet port add box 81:PORT publishes it",
  });
  await onlyWrong(made, ["other", ":8080"], {
    layer: "port",
    found: 'not published; container "box" has it',
  });
});

test("networks are kept apart, and the remedy connects", async () => {
  const made = await machine();
  await onlyWrong(made, ["box", "shop"], {
    layer: "network",
    at: "box, shop",
    found: "they share no network: default, shop",
    remedy: "ocinet network connect shop box",
  });
});

test("the host without a route to the world is told", async () => {
  const made = await machine();
  await made.host("route del 0.0.0.0/0 via 192.0.2.9 dev up0");
  await onlyWrong(made, ["box"], { layer: "host route", at: "to 198.41.0.4", found: "no route" });
});

test("a container that has ended is one hop", async () => {
  const made = await machine();
  made.removeNamespace("other");
  const { hops } = await hopsOf(made, "other");
  assert.deepEqual(hops.map(({ layer, ok, remedy }) => [layer, ok, remedy]), [[
    "container",
    false,
    "ocinet down other",
  ]]);
  await onlyWrong(made, ["box", "other"], { layer: "container", at: "other" });
});

test("what is no target, and a container that is not there, are refused", async () => {
  const { world } = await machine();
  await assert.rejects(async () => await trace(world, "box", ":0"), UsageError);
  await assert.rejects(async () => await trace(world, "box", ":80/icmp"), UsageError);
  await assert.rejects(
    async () => await trace(world, "none", "world"),
    /container "none": it is not attached/,
  );
  await assert.rejects(async () => await trace(world, "box", "none"), /container "none": it is not attached/);
});

test("a name leads to all that have it on a network of who asks, wherever they are", async () => {
  const made = await machine();
  const { world, place, addNamespace } = made;
  place(
    "/etc/ocinet/net.d/named.conflist",
    JSON.stringify({
      ...{ cniVersion: "1.0.0", name: "named", ocinet: {} },
      plugins: [{
        type: "bridge",
        bridge: "named0",
        isGateway: true,
        ipam: { type: "host-local", subnet: "10.6.0.0/24" },
      }],
    }),
  );
  for (const name of ["a", "b"]) {
    addNamespace(name);
    await up(world, name, new Map([["net", ["named:alias=web"]]]));
  }
  place("/run/ocinet/names/named/~ hosts", "10.6.0.99 far web\n10.6.0.98 else\n");
  const ends = async (to: string) => {
    const { hops } = await hopsOf(made, "a", to);
    return ["10.6.0.2", "10.6.0.3", "10.6.0.99"].filter((address) =>
      hops.some(({ layer, at }) => layer === "route" && at === `${address} from a`)
    );
  };
  assert.deepEqual(await ends("b"), ["10.6.0.3"]);
  assert.deepEqual(await ends("web"), ["10.6.0.2", "10.6.0.3", "10.6.0.99"]);
  assert.deepEqual(await ends("far.named"), ["10.6.0.99"]);
  await assert.rejects(trace(world, "box", "web"), /container "web": it is not attached/);
});
