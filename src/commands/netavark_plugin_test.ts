import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fake, newFake } from "../host/fake.ts";
import { installPlugins } from "./install_plugins.ts";
import { netavarkPlugin } from "./netavark_plugin.ts";

type Json = Readonly<Record<string, unknown>>;

async function call({ world }: Fake, words: readonly string[], request?: unknown) {
  const stdin = () => Promise.resolve(typeof request === "string" ? request : JSON.stringify(request));
  const { text, code = 0 } = await netavarkPlugin(world, { words, version: "9.9", stdin });
  return { code, answer: text === "" ? undefined : JSON.parse(text) as Json };
}

const id = "0123456789ab".padEnd(64, "c");

/** As podman writes it. */
function network(more: Json = {}): Json {
  return {
    name: "shop",
    id,
    driver: "ocinet",
    created: "2026-11-01T10:00:00.000000000Z",
    ipv6_enabled: false,
    internal: false,
    dns_enabled: true,
    ipam_options: { driver: "host-local" },
    ...more,
  };
}

const subnets = [{ subnet: "10.5.0.0/24", gateway: "10.5.0.1" }];

function request(more: Json = {}, options: Json = {}): Json {
  return {
    container_id: "box",
    container_name: "pod-box",
    port_mappings: null,
    network: network({ subnets, network_interface: "br-shop" }),
    network_options: { interface_name: "eth0", static_ips: ["10.5.0.7"], static_mac: null, ...options },
    ...more,
  };
}

test("a link keeps the MAC address that it has of itself, and takes no other", async () => {
  const fake = newFake();
  const netns = fake.addNamespace("box");
  const of = (static_mac: string | null) => {
    const ptp = network({ subnets, options: { type: "ptp" } });
    return request({ network: ptp }, { static_mac });
  };
  const macIn = (answer: unknown) =>
    (answer as { interfaces: { eth0: Json } }).interfaces.eth0["mac_address"];
  const mac = macIn((await call(fake, ["setup", netns], of(null))).answer) as string;
  await call(fake, ["teardown", netns], of(null));
  // As podman reloads it.
  assert.equal(macIn((await call(fake, ["setup", netns], of(mac.toUpperCase()))).answer), mac);
  await call(fake, ["teardown", netns], of(mac));
  const before = fake.dump();
  const { code, answer } = await call(fake, ["setup", netns], of("02:00:00:00:00:07"));
  assert.deepEqual([code, /MAC address: its type has its own$/.test(String(answer!["error"]))], [1, true]);
  assert.deepEqual(fake.dump(), before);
});

test("the transcript of a network, and of a container on it", async () => {
  const fake = newFake();
  const before = fake.dump();
  assert.deepEqual((await call(fake, ["info"])).answer, { version: "9.9", api_version: "1.0.0" });
  const made = await call(fake, ["create"], network());
  assert.deepEqual(made, {
    code: 0,
    answer: {
      ...network(),
      dns_enabled: false,
      network_interface: "br-0123456789ab",
      subnets: [{ subnet: "172.18.0.0/16" }],
    },
  });
  const netns = fake.addNamespace("box");
  const port = { container_port: 80, host_ip: "", host_port: 8080, protocol: "tcp", range: 2 };
  const asked = request({ port_mappings: [port] });
  const { code, answer } = await call(fake, ["setup", netns], asked);
  assert.equal(code, 0, JSON.stringify(answer));
  const mac = (answer as { interfaces: { eth0: { mac_address: string } } }).interfaces.eth0.mac_address;
  assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
  assert.deepEqual(answer, {
    dns_search_domains: [],
    dns_server_ips: [],
    interfaces: { eth0: { mac_address: mac, subnets: [{ ipnet: "10.5.0.7/24", gateway: "10.5.0.1" }] } },
  });
  const lines = fake.dump().join("\n");
  assert.match(lines, /10\.5\.0\.7\/24/);
  assert.match(lines, /8081/);
  // Twice would be another interface.
  assert.match(
    String((await call(fake, ["setup", netns], asked)).answer?.["error"]),
    /it is attached already/,
  );
  assert.deepEqual(await call(fake, ["teardown", netns], asked), { code: 0, answer: undefined });
  assert.deepEqual(await call(fake, ["teardown", netns], asked), { code: 0, answer: undefined });
  assert.ok(!fake.dump().some((line) => /10\.5\.0\.7|8080|eth0@|results\/./.test(line)));
  assert.ok(before.every((line) => fake.dump().includes(line)));
});

test("a container whose namespace is gone is taken off, by what was done and not by what is asked", async () => {
  const fake = newFake();
  const netns = fake.addNamespace("box");
  assert.equal((await call(fake, ["setup", netns], request())).code, 0);
  fake.removeNamespace("box");
  const changed = request({ network: network({ subnets: "none", options: { type: "tunnel" } }) });
  assert.deepEqual(await call(fake, ["teardown", netns], changed), { code: 0, answer: undefined });
  assert.ok(!fake.dump().some((line) => /10\.5\.0\.7|containers\/box/.test(line)));
});

test("an internal network has neither a gateway nor a way out", async () => {
  const fake = newFake();
  const internal = network({ internal: true, subnets: [{ subnet: "10.5.0.0/24" }] });
  const { answer } = await call(fake, ["setup", fake.addNamespace("box")], request({ network: internal }));
  assert.deepEqual(
    (answer as { interfaces: Json }).interfaces["eth0"],
    {
      mac_address: (answer as { interfaces: { eth0: Json } }).interfaces.eth0["mac_address"],
      subnets: [{ ipnet: "10.5.0.7/24" }],
    },
  );
  assert.ok(!fake.dump().some((line) => /10\.5\.0\.1\/24/.test(line)));
});

test("create completes what is not said, and leaves alone what is", async () => {
  const fake = newFake();
  fake.place(
    "/etc/containers/networks/other.json",
    JSON.stringify({ subnets: [{ subnet: "172.18.0.0/16" }] }),
  );
  const of = async (more: Json) => (await call(fake, ["create"], network(more))).answer!;
  assert.deepEqual((await of({}))["subnets"], [{ subnet: "172.19.0.0/16" }]);
  assert.deepEqual((await of({ subnets }))["subnets"], subnets);
  const both = (await of({ ipv6_enabled: true, subnets }))["subnets"] as { subnet: string }[];
  assert.match(both[1]!.subnet, /^fd.*\/64$/);
  const lan = await of({ ipam_options: {}, options: { type: "macvlan", parent: "eth0" } });
  assert.deepEqual([lan["network_interface"], lan["ipam_options"], lan["subnets"]], [
    "eth0",
    { driver: "dhcp" },
    undefined,
  ]);
  assert.equal((await of({ ipam_options: { driver: "none" } }))["subnets"], undefined);
});

test("what cannot be done is told as netavark has it, and changes nothing", async () => {
  const fake = newFake();
  const netns = fake.addNamespace("box");
  const before = fake.dump();
  const rows: readonly [readonly string[], unknown, RegExp][] = [
    [["update"], {}, /^Cannot do "update": a netavark plugin has info, create, setup and teardown$/],
    [["create"], "{", /^Cannot read the network: it is not JSON/],
    [["create"], network({ name: "../x" }), /^Cannot use name "\.\.\/x" of the network: it may have only/],
    [
      ["create"],
      network({ options: { vlan: "3" } }),
      /^Cannot use option "vlan" of the network: there are type/,
    ],
    [
      ["create"],
      network({ options: { type: "tun" } }),
      /^Cannot use option type "tun": it is none of bridge/,
    ],
    [
      ["create"],
      network({ options: { type: "ipvlan" } }),
      /type ipvlan needs a subnet; name it with --subnet$/,
    ],
    [["create"], network({ options: { mtu: "9" } }), /^failed to parse com.docker.network.driver.mtu value/],
    [["setup"], request(), /^Cannot do setup: it needs the absolute path of a network namespace$/],
    [["setup", "/run/netns/none"], request(), /failed to open netns "\/run\/netns\/none"/],
    [["setup", netns], [], /^Cannot read the request: it is a list, not an object$/],
    [["setup", netns], {}, /^Cannot read the request: it has no "network_options"$/],
    [["setup", netns], request({ container_id: "a/b" }), /^Cannot use container_id "a\/b" of the request/],
    [["setup", netns], request({}, { interface_name: "a b" }), /^Cannot use interface_name "a b": interface/],
    [["setup", netns], request({}, { static_ips: ["10.6.0.7"] }), /no subnet of network shop has it$/],
    [
      ["setup", netns],
      request({}, { static_mac: "x" }),
      /^Cannot use static_mac "x": it is not a MAC address$/,
    ],
    [["setup", netns], request({ port_mappings: [{ container_port: 65530, range: 9 }] }), /from 1 to 65535$/],
    [
      ["setup", netns],
      request({ port_mappings: [{ container_port: 1, protocol: "icmp" }] }),
      /^Cannot publish a port of protocol "icmp"/,
    ],
    [["teardown", netns], request({ network: { name: "-" } }), /^Cannot use name "-" of the network/],
  ];
  for (const [words, body, wanted] of rows) {
    const { code, answer } = await call(fake, words, body);
    assert.equal(code, 1, JSON.stringify([words, answer]));
    assert.match(String(answer!["error"]), wanted);
  }
  assert.deepEqual(fake.dump().filter((line) => !before.includes(line) && !/\/run\/ocinet/.test(line)), []);
});

test("podman finds it as a file with the driver's name", async () => {
  const { world } = newFake();
  await installPlugins(world, "/usr/lib/netavark", false, "netavark");
  assert.deepEqual(world.list("/usr/lib/netavark"), ["ocinet"]);
  assert.match(world.read("/usr/lib/netavark/ocinet")!, /exec \/usr\/bin\/ocinet netavark-plugin "\$@"\n$/);
  await installPlugins(world, "/usr/lib/netavark", true, "netavark");
  assert.deepEqual(world.list("/usr/lib/netavark"), []);
});
