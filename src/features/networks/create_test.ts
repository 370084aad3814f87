import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { addAddress, addLink, mainTable, namespaceOf, setUp } from "../../host/fake/kernel.ts";
import type { World } from "../../plan/world.ts";
import { allNetworks, findNetwork } from "./catalog.ts";
import { createNetwork } from "./create.ts";
import type { NetworkOptions } from "./network_options.ts";
import { describe } from "./describe.ts";
import { pruneNetworks, removeNetwork } from "./remove.ts";

const state = "/run/ocinet";

const plain: NetworkOptions = {
  ...{
    driver: "bridge",
    ipamDriver: "default",
    ipamOptions: {},
    subnets: [],
    ranges: [],
    gateways: [],
    auxiliary: [],
  },
  ...{ ipv6: false, internal: false, attachable: false, labels: {}, options: {} },
};

function create(world: World, name: string, more: Partial<NetworkOptions> = {}) {
  return createNetwork(world, state, name, { ...plain, ...more });
}

function machine() {
  const fake = newFake();
  fake.world.makeDirectory(state);
  return fake;
}

async function shown(world: World, name: string): Promise<Record<string, unknown>> {
  return describe(findNetwork(await allNetworks(world), name), []) as Record<string, unknown>;
}

const subnetOf = async (world: World, name: string) =>
  (findNetwork(await allNetworks(world), name)).ipam.map(({ Subnet }) => Subnet).join(" ");

test("a network is a CNI network list, and is shown in Docker's words", async () => {
  const { world } = machine();
  const { id } = await create(world, "shop", {
    ...{
      subnets: ["10.5.0.0/24", "fd00:5::/64"],
      ranges: ["10.5.0.128/25"],
      auxiliary: ["printer=10.5.0.130"],
    },
    ...{ labels: { eu: "1" }, options: { "com.docker.network.driver.mtu": "1400", foo: "bar" } },
  });
  assert.match(id, /^[0-9a-f]{64}$/);
  const list = JSON.parse(world.read("/etc/ocinet/net.d/shop.conflist")!);
  assert.deepEqual([list.name, list.cniVersion, list.ocinet.id], ["shop", "1.0.0", id]);
  assert.deepEqual(list.plugins[0], {
    ...{
      type: "bridge",
      mtu: 1400,
      ipMasq: true,
      bridge: `br-${id.slice(0, 12)}`,
      isGateway: true,
    },
    ipam: {
      type: "host-local",
      ranges: [
        [
          { subnet: "10.5.0.0/24", rangeStart: "10.5.0.128", rangeEnd: "10.5.0.129", gateway: "10.5.0.128" },
          { subnet: "10.5.0.0/24", rangeStart: "10.5.0.131", rangeEnd: "10.5.0.254", gateway: "10.5.0.128" },
        ],
        [{
          ...{ subnet: "fd00:5::/64", rangeStart: "fd00:5::1", rangeEnd: "fd00:5::ffff:ffff:ffff:ffff" },
          gateway: "fd00:5::1",
        }],
      ],
      requestable: [
        [
          { subnet: "10.5.0.0/24", rangeStart: "10.5.0.1", rangeEnd: "10.5.0.129", gateway: "10.5.0.128" },
          { subnet: "10.5.0.0/24", rangeStart: "10.5.0.131", rangeEnd: "10.5.0.254", gateway: "10.5.0.128" },
        ],
        [{
          ...{ subnet: "fd00:5::/64", rangeStart: "fd00:5::1", rangeEnd: "fd00:5::ffff:ffff:ffff:ffff" },
          gateway: "fd00:5::1",
        }],
      ],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    },
  });
  const { Created: _, ...rest } = await shown(world, id.slice(0, 12));
  assert.deepEqual(rest, {
    ...{ Name: "shop", Id: id, Scope: "local", Driver: "bridge", EnableIPv4: true, EnableIPv6: true },
    IPAM: {
      ...{ Driver: "default", Options: {} },
      Config: [
        {
          ...{ Subnet: "10.5.0.0/24", IPRange: "10.5.0.128/25", Gateway: "10.5.0.128" },
          AuxiliaryAddresses: { printer: "10.5.0.130" },
        },
        { Subnet: "fd00:5::/64", Gateway: "fd00:5::1" },
      ],
    },
    ...{ Internal: false, Attachable: false, Ingress: false, ConfigFrom: { Network: "" }, ConfigOnly: false },
    ...{
      Containers: {},
      Options: { "com.docker.network.driver.mtu": "1400", foo: "bar" },
      Labels: { eu: "1" },
    },
  });
});

test("of one name made at once one is, and different names get different subnets", async () => {
  const fake = machine();
  const same = await Promise.allSettled([1, 2, 3].map(() => create(fake.world, "same")));
  const refused = same.flatMap((end) => end.status === "rejected" ? [(end.reason as Error).message] : []);
  assert.deepEqual(refused, Array(2).fill("network with name same already exists"));
  await Promise.all(["a", "b", "c"].map((name) => create(fake.world, name, { ipv6: true })));
  const subnets = (await Promise.all(["a", "b", "c"].map((name) => subnetOf(fake.world, name)))).flatMap((
    text,
  ) => text.split(" "));
  assert.equal(new Set(subnets).size, 6);
});

test("so it is where one of two is in a session, whose state is another", async () => {
  const { world } = machine();
  const make = (name: string, more: Partial<NetworkOptions>) =>
    [state, "/run/user/1000/ocinet"].map((each, i) =>
      createNetwork(world, each, name.replace("*", `${i}`), { ...plain, ...more })
    );
  const refused = async (made: readonly Promise<unknown>[]) =>
    (await Promise.allSettled(made)).flatMap((end) => end.status === "rejected" ? [String(end.reason)] : []);
  assert.match(
    (await refused(make("asked*", { subnets: ["10.5.0.0/24"] }))).join(),
    /^Error: Pool overlaps with [^,]*$/,
  );
  assert.deepEqual(await refused(make("free*", {})), []);
  assert.notEqual(await subnetOf(world, "free0"), await subnetOf(world, "free1"));
  const network = create(world, "same");
  const configuration = createNetwork(world, "/run/user/1000/ocinet", "same", { ...plain, configOnly: true });
  assert.deepEqual(await refused([network, configuration]), [
    "Error: network with name same already exists",
  ]);
});

test("a subnet is chosen that no route, address, server or network has", async () => {
  const fake = machine();
  const host = namespaceOf(fake.kernel, fake.kernel.own);
  const vpn = addLink(fake.kernel, host, "tun0", "");
  setUp(host, vpn, true);
  addAddress(host, vpn, "172.19.7.1/32");
  const attributes = [["via", "192.0.2.254"]] as const;
  for (const dst of ["172.18.0.0/16", "0.0.0.0/1", "128.0.0.0/1"]) {
    host.routes.push({ dst, index: vpn.index, table: mainTable, type: "unicast", attributes });
  }
  fake.place("/etc/resolv.conf", "nameserver 172.20.0.53\n");
  await create(fake.world, "other", { subnets: ["172.21.128.0/17"] });
  await create(fake.world, "free");
  assert.match(await subnetOf(fake.world, "free"), /^172\.(19|22)\.0\.0\/16$/);
  const { note } = await create(fake.world, "asked", { subnets: ["172.18.5.0/24"] });
  assert.match(note!, /^the host reaches addresses of 172.18.5.0\/24 by route 172.18.0.0\/16 dev tun0/);
});

test("what cannot be made is refused in Docker's words, and nothing is made", async () => {
  const { world, kernel } = machine();
  addLink(kernel, namespaceOf(kernel, kernel.own), "tun7", "");
  await create(world, "shop", {
    subnets: ["10.5.0.0/16"],
    options: { "com.docker.network.bridge.name": "br7" },
  });
  const before = world.list("/etc/ocinet/net.d");
  const refuse = async (name: string, more: Partial<NetworkOptions>, message: RegExp) => {
    await assert.rejects(create(world, name, more), { message });
  };
  await refuse("shop", {}, /^network with name shop already exists$/);
  await refuse("host", {}, /^operation is not permitted on predefined host network/);
  await refuse("", {}, /^invalid name: name is empty$/);
  await refuse("../x", {}, /^invalid name "..\/x": it may have only letters/);
  const inside = { subnets: ["10.9.0.0/24"] };
  for (const gateway of ["10.9.0.0", "10.9.0.255"]) {
    await refuse("x", { ...inside, gateways: [gateway] }, /: it is no address of a host in 10\.9\.0\.0\/24$/);
  }
  await refuse("x", { ...inside, gateways: ["10.9.0.7"], auxiliary: ["a=10.9.0.7"] }, /: it is an auxiliary/);
  await refuse(
    "x",
    { ...inside, auxiliary: ["a=10.9.0.7", "b=10.9.0.7"] },
    /b=10\.9\.0\.7: it has another name$/,
  );
  const taken = { options: { "com.docker.network.bridge.name": "tun7" } };
  await refuse("x", taken, /^existing interface tun7 is not a bridge$/);
  const small = { options: { "com.docker.network.driver.mtu": "1279" } };
  for (const six of [{ ipv6: true }, { subnets: ["fd00:9::/64"] }]) {
    await refuse("x", { ...small, ...six }, /mtu value: "1279" \(IPv6 needs 1280 or more\)$/);
  }
  await refuse("x", { driver: "host" }, /^only one instance of "host" network is allowed$/);
  await refuse("x", { driver: "mute" }, /^could not find a network driver "mute"; there are: bridge, ptp/);
  await refuse("x", { subnets: ["10.1.2.3/24"] }, /invalid subnet 10.1.2.3\/24: it should be 10.1.2.0\/24$/);
  for (const subnet of ["127.5.0.0/16", "224.1.0.0/16", "ff05::/64", "10.1.0.0/32"]) {
    await refuse("x", { subnets: [subnet] }, /^invalid network config: invalid subnet /);
  }
  for (const subnet of ["10.5.0.0/16", "10.5.3.0/26", "10.4.0.0/15"]) {
    await refuse(
      "x",
      { subnets: [subnet] },
      /^Pool overlaps with other one on this address space: .* network shop$/,
    );
  }
  await refuse(
    "x",
    { gateways: ["10.9.0.1"] },
    /^every ip-range or gateway must have a corresponding subnet$/,
  );
  await refuse(
    "x",
    { subnets: ["10.9.0.0/24"], gateways: ["10.8.0.1"] },
    /^no matching subnet for gateway 10.8.0.1$/,
  );
  await refuse(
    "x",
    { subnets: ["10.8.0.0/24", "10.9.0.0/24"] },
    /^bridge driver doesn't support multiple subnets$/,
  );
  await refuse(
    "x",
    { options: { "com.docker.network.bridge.name": "br7" } },
    /networks have same bridge name$/,
  );
  await refuse(
    "x",
    { options: { "com.docker.network.bridge.enable_icc": "maybe" } },
    /^failed to parse com.docker.network.bridge.enable_icc value: "maybe"/,
  );
  await refuse(
    "x",
    { driver: "macvlan", options: { macvlan_mode: "x" } },
    /^requested macvlan mode 'x' is not valid/,
  );
  await refuse(
    "x",
    { options: { "com.docker.network.bridge.nam": "br8" } },
    /^unknown network option com.docker.network.bridge.nam: did you mean com.docker.network.bridge.name\?$/,
  );
  assert.deepEqual(world.list("/etc/ocinet/net.d"), before);
});

test("an ambiguous beginning of an id is refused, a name comes before it", async () => {
  const { world } = machine();
  const { id } = await create(world, "foo");
  const twin = await create(world, id.slice(0, 8));
  const networks = await allNetworks(world);
  assert.equal(findNetwork(networks, id.slice(0, 8)).id, twin.id);
  assert.equal(findNetwork(networks, id.slice(0, 9)).name, "foo");
  assert.throws(() => findNetwork(networks, "nosuch"), { message: "network nosuch not found" });
});

test("networks are removed with their addresses, predefined ones stay", async () => {
  const { world } = machine();
  await create(world, "a", { labels: { keep: "" } });
  await create(world, "b");
  world.makeDirectory(`${state}/networks/b`);
  await assert.rejects(removeNetwork(world, state, "default"), {
    message: "default is a pre-defined network and cannot be removed",
  });
  assert.deepEqual(await pruneNetworks(world, state, ({ labels }) => !("keep" in labels)), ["b"]);
  assert.equal(world.stat(`${state}/networks/b`), undefined);
  assert.equal(await removeNetwork(world, state, "a"), "a");
  assert.deepEqual((await allNetworks(world)).map(({ name }) => name), [
    ...["default", "default-restricted", "host", "none"],
  ]);
});

test("a network is made of a configuration, which takes no addresses itself", async () => {
  const { world } = machine();
  const given = {
    subnets: ["10.5.0.0/24"],
    ranges: ["10.5.0.128/25"],
    gateways: ["10.5.0.2"],
    labels: { eu: "1" },
  };
  await create(world, "config", { ...given, configOnly: true, auxiliary: ["a=10.5.0.130"] });
  const { Driver, ConfigOnly, IPAM } = await shown(world, "config");
  assert.deepEqual([Driver, ConfigOnly, world.list("/etc/ocinet/net.d")], ["null", true, [
    "config.netconfig",
  ]]);
  await create(world, "shop", { configFrom: "config", internal: true });
  const made = await shown(world, "shop");
  assert.deepEqual([made["IPAM"], made["Labels"], made["ConfigFrom"]], [IPAM, { eu: "1" }, {
    Network: "config",
  }]);
  const refuse = (name: string, more: Partial<NetworkOptions>, message: RegExp) =>
    assert.rejects(create(world, name, more), { message });
  await refuse("x", { configFrom: "config" }, /^Pool overlaps with other one .* network shop$/);
  await refuse("x", { configFrom: "nosuch" }, /^configuration network "nosuch" does not exist$/);
  await refuse("x", { configFrom: "shop" }, /^configuration network "shop" does not exist$/);
  await refuse("config", {}, /already exists$/);
  await refuse("x", { configFrom: "config", ipv6: true }, /^user specified configurations are not supported/);
  await refuse(
    "x",
    { configFrom: "config", options: { a: "b" } },
    /^network driver options are not supported/,
  );
  await refuse("x", { configOnly: true, internal: true }, /^configuration network can only contain/);
  await refuse("x", { configOnly: true, configFrom: "config" }, /cannot depend on another/);
  await create(world, "lan", { configOnly: true, options: { parent: "eth0" } });
  await refuse(
    "x",
    { configFrom: "lan" },
    /of driver bridge: its option parent is for macvlan or ipvlan; name the driver with -d, or leave the option out$/,
  );
  const apart = { options: { "com.docker.network.bridge.enable_icc": "false" } };
  for (const driver of ["ptp", "macvlan", "ipvlan"]) {
    await refuse("x", { driver, ...apart }, /its option \S+enable_icc is for bridge; name the driver/);
  }
  const dotted = "com.docker.network.";
  for (
    const [key, value, remedy] of [
      ["bridge.inhibit_ipv4", "true", /: gateway mode isolated leaves the bridge without an address$/],
      ["bridge.trusted_host_interfaces", "eth0", /: gateway mode nat-unprotected or routed lets/],
      ["container_iface_prefix", "net", / --ifname names an interface$/],
      [
        "enable_ipv4",
        "false",
        /_ipv4=false is not supported; leave it out: a network with an IPv6 --subnet alone has no/,
      ],
    ] as const
  ) await refuse("x", { options: { [dotted + key]: value } }, remedy);
  const passing = { [`${dotted}bridge.inhibit_ipv4`]: "false", [`${dotted}enable_ipv4`]: "false" };
  await create(world, "six", { subnets: ["fd00:66::/64"], options: passing });
  await removeNetwork(world, state, "six");
  await assert.rejects(removeNetwork(world, state, "config"), {
    message: 'configuration network "config" is in use',
  });
  assert.deepEqual(await pruneNetworks(world, state, () => true), ["shop"]);
  assert.equal(await removeNetwork(world, state, "config"), "config");
});

test("gateway modes of a bridge, and parents that are made, are as in Docker", async () => {
  const { world } = machine();
  const key = "com.docker.network.bridge.gateway_mode_ipv";
  const plugins = (name: string) => JSON.parse(world.read(`/etc/ocinet/net.d/${name}.conflist`)!).plugins;
  await create(world, "lone", { internal: true, options: { [`${key}4`]: "isolated" } });
  assert.deepEqual([plugins("lone")[0].isGateway, (await shown(world, "lone"))["IPAM"]], [
    false,
    { Driver: "default", Options: {}, Config: [{ Subnet: await subnetOf(world, "lone") }] },
  ]);
  await create(world, "bare", {
    ipv6: true,
    options: { [`${key}4`]: "nat-unprotected", [`${key}6`]: "nat-unprotected" },
  });
  const open = { 4: "nat-unprotected", 6: "nat-unprotected" };
  assert.deepEqual(plugins("bare")[2], {
    type: "firewall",
    ingressPolicy: "same-bridge",
    gatewayModes: open,
  });
  const refuse = (options: Record<string, string>, message: RegExp, driver = "bridge") =>
    assert.rejects(create(world, "x", { driver, options }), { message });
  await refuse(
    { [`${key}4`]: "isolated" },
    /^gateway mode isolated can only be used for an internal network/,
  );
  await create(world, "led", { options: { [`${key}4`]: "routed" } });
  assert.deepEqual([plugins("led")[0].ipMasq, plugins("led")[1]], [
    false,
    { type: "portmap", capabilities: { portMappings: true }, gatewayModes: { 4: "routed", 6: "routed" } },
  ]);
  await refuse({ [`${key}4`]: "bridged" }, /"bridged" \(there are nat, nat-unprotected, routed, isolated\)$/);
  await assert.rejects(create(world, "x", { internal: true, options: { [`${key}4`]: "routed" } }), {
    message: /^gateway mode routed opens published ports to other hosts, which an internal network/,
  });
  await create(world, "dual", { ipv6: true, options: { [`${key}6`]: "routed" } });
  const modes = { 4: "nat", 6: "routed" };
  const [{ ipMasq, gatewayModes }, portmap, ...rest] = plugins("dual");
  assert.deepEqual([ipMasq, gatewayModes, portmap.gatewayModes, rest], [true, modes, modes, []]);
  await create(world, "half", { internal: true, ipv6: true, options: { [`${key}4`]: "isolated" } });
  const [four, six] = ((await shown(world, "half"))["IPAM"] as { Config: Record<string, string>[] }).Config;
  assert.deepEqual([four!["Gateway"], six!["Gateway"]], [undefined, `${six!["Subnet"]!.split("/")[0]}1`]);
  assert.ok(plugins("half")[0].isGateway);
  const named = { [`${key}6`]: "isolated", names: "dns" };
  await assert.rejects(create(world, "x", { internal: true, ipv6: true, options: named }), {
    message: /names=dns needs an address of the host's on the network, and its bridge has none, or of one/,
  });
  await create(world, "lan", { driver: "macvlan", options: { parent: "eth0.50" } });
  await create(world, "alone", { driver: "ipvlan", internal: true });
  assert.deepEqual([plugins("lan")[0].master, plugins("lan")[0].makeMaster], ["eth0.50", "vlan"]);
  assert.match(plugins("alone")[0].master, /^dm-[0-9a-f]{12}$/);
  await refuse({ parent: "eth0.5000" }, /^invalid subinterface vlan name eth0.5000/, "macvlan");
});

test("what must have a parent for itself is refused beside another, by whichever name, or none", async () => {
  const { world, kernel } = machine();
  const host = namespaceOf(kernel, kernel.own);
  const eth0 = addLink(kernel, host, "eth0", "");
  setUp(host, eth0, true);
  eth0.altNames = ["wan0"];
  const attributes = [["via", "192.0.2.254"]] as const;
  host.routes.push({ dst: "0.0.0.0/0", index: eth0.index, table: mainTable, type: "unicast", attributes });
  await create(world, "lan", { driver: "macvlan", options: { parent: "eth0" } });
  await create(world, "more", { driver: "macvlan" });
  const message = /^network lan is already using parent interface eth0$/;
  for (const parent of [{}, { parent: "wan0" }, { parent: "eth0" }] as Record<string, string>[]) {
    await assert.rejects(create(world, "x", { driver: "ipvlan", options: parent }), { message });
    const passthru = { driver: "macvlan", options: { ...parent, macvlan_mode: "passthru" } };
    await assert.rejects(create(world, "x", passthru), { message });
  }
});

test("a file that cannot be read is in the way of its own name alone, and a warning tells of the others", async () => {
  const fake = machine();
  const warnings: string[] = [];
  const world: World = { ...fake.world, warn: (line) => void warnings.push(line) };
  for (const file of ["10-blue.conf", "red.conflist", "green.netconfig"]) {
    fake.place(`/etc/ocinet/net.d/${file}`, "{ nonsense");
  }
  await create(world, "shop");
  await create(world, "config", { configOnly: true });
  assert.deepEqual(
    warnings.map((line) => /^Cannot read network file (\S+): .*; it is passed over$/.exec(line)?.[1]),
    [
      ...["10-blue.conf", "red.conflist", "green.netconfig"].map((file) => `/etc/ocinet/net.d/${file}`),
    ],
  );
  for (const name of ["blue", "red", "green"]) {
    const own = new RegExp(
      `^Error: Cannot read network file [^ ]*${name}[^ ]*: it is not JSON: line 1, [^/]*$`,
    );
    await assert.rejects(create(world, name), own);
    await assert.rejects(create(world, name, { configOnly: true }), own);
    await assert.rejects(removeNetwork(world, state, name), own);
  }
  await assert.rejects(create(world, "x", { configFrom: "green" }), /green\.netconfig/);
  assert.equal(await removeNetwork(world, state, "shop"), "shop");
  await create(world, "shop");
  assert.deepEqual(await pruneNetworks(world, state, () => true), ["shop"]);
});

test("where no subnet is free, the error has the remedy (moby#21847)", async () => {
  const { world, kernel } = machine();
  const host = namespaceOf(kernel, kernel.own);
  const lan = addLink(kernel, host, "lan0", "");
  setUp(host, lan, true);
  for (const dst of ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]) {
    host.routes.push({ dst, index: lan.index, table: mainTable, type: "unicast", attributes: [] });
  }
  await assert.rejects(create(world, "shop"), /^Error: all predefined .*--subnet, .*ocinet network prune/);
});

test("a network is removed only once no container is being attached (moby#33156)", async () => {
  const { world } = machine();
  await create(world, "shop");
  let isRemoved = false;
  const attached = await world.share(state);
  const removing = removeNetwork(world, state, "shop").then(() => isRemoved = true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(isRemoved, false);
  attached();
  await removing;
});
