/** Networks of Docker's plugins: one that is written here from the protocol alone, and our own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseWords } from "../wire/oci/options.ts";
import type { HttpRequest } from "../plan/http.ts";
import type { World } from "../plan/world.ts";
import { containerOfPath } from "../engine/namespace.ts";
import { attach } from "../features/container/attach.ts";
import { detach } from "../features/container/detach.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { upOptions } from "../commands/up.ts";
import { answer } from "../features/docker_plugin/requests.ts";
import { releaseOutlived } from "../drivers/ipam/docker_leases.ts";
import { allNetworks, findNetwork } from "../features/networks/catalog.ts";
import { createNetwork } from "../features/networks/create.ts";
import { describe } from "../features/networks/describe.ts";
import type { NetworkOptions } from "../features/networks/network_options.ts";
import { collectBegunNetworks, removeNetwork } from "../features/networks/remove.ts";
import { dumpOf, newHost, state } from "./machine.ts";

type Json = Readonly<Record<string, unknown>>;
type Answers = Readonly<Record<string, (body: Json) => unknown>>;

const plain: NetworkOptions = {
  ...{ driver: "wire", ipamDriver: "wire", ipamOptions: {}, subnets: [], ranges: [], gateways: [] },
  ...{ auxiliary: [], ipv6: false, internal: false, attachable: false, labels: {}, options: { a: "b" } },
};

/** A host with a plugin `wire`, which makes a veth. It is found by a file that names its socket. */
function machine(more: Answers = {}) {
  const fake = newHost();
  fake.world.makeDirectory(state);
  fake.addNamespace("box");
  fake.place("/etc/docker/plugins/wire.spec", "unix:///run/wire.sock\n");
  const heard: string[] = [];
  const ip = (...words: readonly string[]) => fake.world.run(["ip", ...words]);
  let last = 1;
  const answers: Answers = {
    "Plugin.Activate": () => ({ Implements: ["NetworkDriver", "IpamDriver"] }),
    "NetworkDriver.GetCapabilities": () => ({ Scope: "local" }),
    "IpamDriver.GetCapabilities": () => ({}),
    "IpamDriver.GetDefaultAddressSpaces": () => ({ LocalDefaultAddressSpace: "here" }),
    "IpamDriver.RequestPool": ({ Pool }) => ({
      PoolID: `p${Pool || "10.7.0.0/24"}`,
      Pool: Pool || "10.7.0.0/24",
    }),
    "IpamDriver.RequestAddress": ({ PoolID, Address }) => ({
      Address: `${Address || `${/p(.*)\.0\//.exec(String(PoolID))![1]}.${last++}`}/24`,
    }),
    "NetworkDriver.CreateEndpoint": async () => {
      await ip("link", "add", "wire0", "type", "veth", "peer", "name", "wire1");
      return { Interface: { MacAddress: "02:00:00:00:00:07" } };
    },
    "NetworkDriver.Join": () => ({
      InterfaceName: { SrcName: "wire1", DstPrefix: "wire" },
      Gateway: "10.7.0.1",
      StaticRoutes: [{ Destination: "10.8.0.0/16", RouteType: 0, NextHop: "10.7.0.9" }],
    }),
    "NetworkDriver.DeleteEndpoint": async () => void await ip("link", "del", "dev", "wire0"),
    ...more,
  };
  const http = async ({ url, socket, body, timeoutMs }: HttpRequest) => {
    assert.equal(socket, "/run/wire.sock");
    const method = new URL(url).pathname.slice(1);
    // A command on a plugin that is mute ends before a person gives up.
    assert.equal(timeoutMs, method === "Plugin.Activate" ? 20_000 : 60_000);
    const { NetworkID: _, EndpointID: __, ...rest } = (body === "" ? {} : JSON.parse(body)) as Json;
    heard.push(`${method} ${JSON.stringify(rest)}`);
    const said = await answers[method]?.(JSON.parse(body || "{}") as Json);
    return { status: 200, body: JSON.stringify(said ?? {}) };
  };
  const world: World = { ...fake.world, http };
  return { fake, world, heard };
}

const up = (world: World, network: string, ...words: readonly string[]) =>
  attach(world, state, {
    ...{ id: "c1", container: containerOfPath(world, "/run/netns/box"), replace: false },
    options: parseAttachOptions(parseWords(["--net", network, ...words], upOptions)),
  });

const methods = (heard: readonly string[]) => heard.map((line) => line.split(" ")[0]!.split(".")[1]);

test("a plugin is asked in libnetwork's order, and its network works like any other", async () => {
  const { fake, world, heard } = machine();
  const before = dumpOf(fake);
  const { id } = await createNetwork(world, state, "shop", {
    ...{ ...plain, subnets: ["10.7.0.0/24"], auxiliary: ["printer=10.7.0.5"], ipamOptions: { c: "d" } },
  });
  const pool = { AddressSpace: "here", Pool: "10.7.0.0/24" };
  const generic = { "com.docker.network.generic": { a: "b" } };
  assert.deepEqual(heard.splice(0), [
    "Plugin.Activate {}",
    "NetworkDriver.GetCapabilities {}",
    "Plugin.Activate {}",
    "IpamDriver.GetCapabilities {}",
    "IpamDriver.GetDefaultAddressSpaces {}",
    `IpamDriver.RequestPool ${JSON.stringify({ ...pool, SubPool: "", Options: { c: "d" }, V6: false })}`,
    'IpamDriver.RequestAddress {"PoolID":"p10.7.0.0/24","Address":"","Options":{"RequestAddressType":"com.docker.network.gateway"}}',
    'IpamDriver.RequestAddress {"PoolID":"p10.7.0.0/24","Address":"10.7.0.5","Options":{}}',
    `NetworkDriver.CreateNetwork ${
      JSON.stringify({
        Options: {
          "com.docker.network.enable_ipv4": true,
          "com.docker.network.enable_ipv6": false,
          ...generic,
        },
        IPv4Data: [{ ...pool, Gateway: "10.7.0.1/24", AuxAddresses: { printer: "10.7.0.5/24" } }],
        IPv6Data: [],
      })
    }`,
  ]);
  assert.deepEqual(describe(findNetwork(await allNetworks(world), id), [])["IPAM"], {
    ...{ Driver: "wire", Options: { c: "d" } },
    Config: [{ Subnet: "10.7.0.0/24", Gateway: "10.7.0.1", AuxiliaryAddresses: { printer: "10.7.0.5" } }],
  });
  const made = dumpOf(fake);
  const record = await up(world, "shop", "-p", "8080:80");
  assert.deepEqual(record!.attachments[0]!.result, {
    interfaces: [{ name: "eth0", mac: "02:00:00:00:00:07", sandbox: "/run/netns/box" }],
    ips: [{ address: "10.7.0.2/24", gateway: "10.7.0.1", interface: 0 }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.7.0.1" }, { dst: "10.8.0.0/16", gw: "10.7.0.9" }],
    dns: {},
  });
  const inside = fake.dump().filter((line) => / route /.test(line));
  assert.ok(inside.some((line) => /route.* 10\.8\.0\.0\/16 .*10\.7\.0\.9/.test(line)), inside.join("\n"));
  assert.deepEqual(methods(heard), [
    ...["Activate", "RequestAddress", "Activate", "CreateEndpoint", "Join", "ProgramExternalConnectivity"],
  ]);
  assert.match(
    heard.splice(0).at(-1)!,
    /portmap":\[\{"Proto":6,"IP":"","Port":80,"HostIP":"","HostPort":8080/,
  );
  await assert.rejects(removeNetwork(world, state, "shop"), /has active endpoints/);
  await detach(world, state, "c1");
  assert.deepEqual(methods(heard.splice(0)), [
    ...["RevokeExternalConnectivity", "Leave", "DeleteEndpoint", "ReleaseAddress"],
  ]);
  assert.deepEqual(dumpOf(fake), made);
  await removeNetwork(world, state, "shop");
  assert.deepEqual(methods(heard), ["DeleteNetwork", "ReleaseAddress", "ReleaseAddress", "ReleasePool"]);
  assert.deepEqual(dumpOf(fake), before);
});

test("what a plugin refuses is told in its words, and all that it was asked for is given back", async () => {
  const refuse = () => ({ Err: "no more cables" });
  const { fake, world, heard } = machine({ "NetworkDriver.CreateNetwork": refuse });
  const before = dumpOf(fake);
  await assert.rejects(createNetwork(world, state, "shop", plain), { message: "remote: no more cables" });
  assert.deepEqual(methods(heard.slice(-3)), ["CreateNetwork", "ReleaseAddress", "ReleasePool"]);
  assert.deepEqual(dumpOf(fake), before);
  for (
    const [method, said, message] of [
      ["CreateEndpoint", refuse, /remote: no more cables/],
      ["CreateEndpoint", () => ({ Interface: { Address: "10.9.9.9/24" } }), /driver modified interface/],
      ["Join", () => ({ InterfaceName: { SrcName: "../x" } }), /Cannot use InterfaceName.SrcName/],
      ["Join", () => ({ InterfaceName: { SrcName: "none0" } }), /named link "none0", which is not there/],
      ["ProgramExternalConnectivity", refuse, /no more cables/],
    ] as const
  ) {
    const { fake, world, heard } = machine({ [`NetworkDriver.${method}`]: said });
    await createNetwork(world, state, "shop", plain);
    const before = dumpOf(fake);
    await assert.rejects(up(world, "shop", "-p", "8080:80"), (error) => {
      return message.test(`${(error as Error).message} ${(error as { details?: string }).details}`);
    });
    assert.deepEqual(methods(heard.slice(-3)), ["Leave", "DeleteEndpoint", "ReleaseAddress"], method);
    assert.deepEqual(dumpOf(fake), before, method);
  }
});

test("an address that a container had before a reboot is given back, once, and not while the machine is up", async () => {
  const { fake, world, heard } = machine();
  const boot = "/proc/sys/kernel/random/boot_id";
  fake.place("/etc/machine-id", "m1\n");
  await createNetwork(world, state, "shop", plain);
  await up(world, "shop");
  assert.deepEqual(await releaseOutlived(world), { released: [], problems: [] });
  // After a reboot there is neither the state directory nor the container.
  const notes = () => fake.world.list("/var/lib/ocinet/leases");
  assert.equal(notes().length, 1);
  const rebooted = (http: World["http"]): World => ({
    ...world,
    http,
    read: (path) => path === boot ? "11111111-0000-4000-8000-000000000000\n" : world.read(path),
  });
  heard.splice(0);
  const unheard = await releaseOutlived(rebooted(() => Promise.reject(new Error("connect ECONNREFUSED"))));
  assert.match(unheard.problems.join(), /^Cannot ask plugin "wire" of Docker's/);
  const { released } = await releaseOutlived(rebooted(world.http));
  assert.match(released.join(), /^plugin wire: \{.*"10\.7\.0\.2"\}$/);
  assert.match(heard.at(-1)!, /^IpamDriver\.ReleaseAddress .*"10\.7\.0\.2"/);
  assert.deepEqual(await releaseOutlived(rebooted(world.http)), { released: [], problems: [] });
  assert.deepEqual(notes(), []);
});

test("a plugin that is away is told later, and a network is given up whose making was cut short", async () => {
  let away = false;
  const { fake, world: here, heard } = machine();
  const world: World = {
    ...here,
    http: (request) => away ? Promise.reject(new Error("connect ECONNREFUSED")) : here.http(request),
  };
  await createNetwork(world, state, "shop", plain);
  const made = dumpOf(fake);
  await up(world, "shop");
  away = true;
  await assert.rejects(detach(world, state, "c1"), /Cannot ask plugin "wire" of Docker's/);
  await assert.rejects(removeNetwork(world, state, "shop"), /has active endpoints/);
  away = false;
  await detach(world, state, "c1");
  assert.deepEqual(dumpOf(fake), made);
  // As after kill -9: the file was not written yet.
  const cut: World = {
    ...world,
    http: async (request) => {
      if (request.url.endsWith("CreateNetwork")) away = true;
      return await world.http(request);
    },
  };
  await assert.rejects(createNetwork(cut, state, "other", { ...plain, subnets: ["10.6.0.0/24"] }));
  away = false;
  // A file that cannot be read could be that network's.
  fake.place("/etc/ocinet/net.d/other.conflist", "{");
  const { collected: none, problems } = await collectBegunNetworks(world, state);
  assert.deepEqual([none, problems.length], [[], 1]);
  assert.match(problems[0]!, /^Cannot tell whether network [0-9a-f]{12} is there: .*other\.conflist/);
  world.remove("/etc/ocinet/net.d/other.conflist");
  heard.splice(0);
  const { collected } = await collectBegunNetworks(world, state);
  assert.equal(collected.length, 1);
  assert.deepEqual(methods(heard), ["DeleteNetwork", "ReleaseAddress", "ReleasePool"]);
  assert.deepEqual(dumpOf(fake), made);
  // Without gc the next network that is made gives it up, and may have its subnet.
  await assert.rejects(createNetwork(cut, state, "other", { ...plain, subnets: ["10.6.0.0/24"] }));
  away = false;
  heard.splice(0);
  await createNetwork(world, state, "other", { ...plain, subnets: ["10.6.0.0/24"] });
  assert.match(
    methods(heard).join(" "),
    /DeleteNetwork ReleaseAddress ReleasePool .*RequestPool .*CreateNetwork/,
  );
  assert.deepEqual((await collectBegunNetworks(world, state)).collected, []);
  await removeNetwork(world, state, "other");
  assert.deepEqual(dumpOf(fake), made);
  away = true;
  await assert.rejects(removeNetwork(world, state, "shop"), /ocinet network rm -f shop removes it here/);
  await removeNetwork(world, state, "shop", true);
});

test("our own plugin for Docker serves our own networks, also addresses of our bridges", async () => {
  const { fake, world: other } = machine();
  const plugin = { world: other, state, data: "/var/lib/ocinet/docker" };
  const world: World = {
    ...other,
    http: ({ url, body }) => answer(plugin, { path: new URL(url).pathname, body }),
  };
  const before = dumpOf(fake);
  await createNetwork(world, state, "shop", { ...plain, options: { type: "bridge" } });
  const { attachments } = (await up(world, "shop"))!;
  assert.match(attachments[0]!.result!.ips[0]!.address, /^172\.(1[6-9]|[23][0-9])\.0\.[0-9]+\/16$/);
  await detach(world, state, "c1");
  await removeNetwork(world, state, "shop");
  await createNetwork(world, state, "own", { ...plain, driver: "bridge", options: {} });
  const own = (await up(world, "own"))!.attachments[0]!.result!;
  assert.equal(own.ips[0]!.gateway, own.ips[0]!.address.replace(/[0-9]+\/.*/, "1"));
  assert.deepEqual(own.routes.map(({ dst }) => dst), ["0.0.0.0/0"]);
  await detach(world, state, "c1");
  await removeNetwork(world, state, "own");
  const left = dumpOf(fake).filter((line) =>
    !before.includes(line) && !/ocinet (bridges|[a-z0-9]+$)|inet ocinet/.test(line)
  );
  assert.deepEqual(left, []);
});
