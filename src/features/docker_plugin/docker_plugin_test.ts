import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fake, newFake } from "../../host/fake.ts";
import type { DockerPlugin } from "./plugin.ts";
import { answer } from "./requests.ts";
import { sweepEndpoints } from "./endpoints.ts";

type Json = Readonly<Record<string, unknown>>;

function pluginOn({ world }: Fake): DockerPlugin {
  return { world, state: "/run/ocinet", data: "/var/lib/ocinet/docker" };
}

/** Calls a method as Docker does, without a body if there is no request. */
async function call(fake: Fake, method: string, request?: Json): Promise<Json> {
  const body = request === undefined ? "" : JSON.stringify(request);
  const { status, body: text } = await answer(pluginOn(fake), { path: `/${method}`, body });
  assert.equal(status, 200, method);
  return JSON.parse(text) as Json;
}

const [network, endpoint] = ["ab".repeat(32), "cd".repeat(32)];
const name = { NetworkID: network, EndpointID: endpoint };
const v4 = { AddressSpace: "ocinetLocal", Pool: "10.5.0.0/24", Gateway: "10.5.0.1/24" };

function created(options: Json = {}, more: Json = {}): Json {
  return {
    NetworkID: network,
    Options: { "com.docker.network.enable_ipv6": false, "com.docker.network.generic": options, ...more },
    IPv4Data: [v4],
    IPv6Data: [],
  };
}

const given = { Address: "10.5.0.2/24", AddressIPv6: "", MacAddress: "" };
const portmap = [{ Proto: 6, IP: "", Port: 80, HostIP: "", HostPort: 8080, HostPortEnd: 8080 }];

test("the transcript of a network, and of a container on it", async () => {
  const fake = newFake();
  assert.deepEqual(await call(fake, "Plugin.Activate"), { Implements: ["NetworkDriver", "IpamDriver"] });
  assert.equal((await call(fake, "NetworkDriver.GetCapabilities"))["Scope"], "local");
  assert.deepEqual(await call(fake, "NetworkDriver.CreateNetwork", created()), {});
  const made = await call(fake, "NetworkDriver.CreateEndpoint", { ...name, Interface: given, Options: {} });
  const mac = (made["Interface"] as Json)["MacAddress"];
  assert.match(String(mac), /^02(:[0-9a-f]{2}){5}$/);
  const sandbox = { SandboxKey: "/var/run/docker/netns/1", Options: {} };
  const joined = await call(fake, "NetworkDriver.Join", { ...name, ...sandbox });
  const { SrcName: link } = joined["InterfaceName"] as { SrcName: string };
  assert.match(link, /^dk[0-9a-f]{12}$/);
  assert.deepEqual(joined, {
    InterfaceName: { SrcName: link, DstPrefix: "eth" },
    Gateway: "10.5.0.1",
    DisableGatewayService: true,
  });
  const host = fake.kernel.namespaces.find(({ inode }) => inode === fake.kernel.own)!;
  assert.ok(host.links.some(({ name }) => name === link));
  assert.ok(host.links.some(({ name }) => name === "br-abababababab"));
  const ports = { ...name, Options: { "com.docker.network.portmap": portmap } };
  assert.deepEqual(await call(fake, "NetworkDriver.ProgramExternalConnectivity", ports), {});
  assert.deepEqual(await call(fake, "NetworkDriver.ProgramExternalConnectivity", ports), {});
  assert.ok(fake.dump().some((line) => /8080/.test(line) && /10\.5\.0\.2/.test(line)));
  assert.deepEqual(await call(fake, "NetworkDriver.EndpointOperInfo", name), {
    Value: { "ocinet.link": link },
  });
  assert.deepEqual(await call(fake, "NetworkDriver.RevokeExternalConnectivity", name), {});
  assert.ok(!fake.dump().some((line) => /element.*8080/.test(line)));
  for (const method of ["Leave", "DeleteEndpoint"]) {
    assert.deepEqual(await call(fake, `NetworkDriver.${method}`, name), {});
    assert.deepEqual(await call(fake, `NetworkDriver.${method}`, name), {});
  }
  assert.deepEqual(await call(fake, "NetworkDriver.DeleteNetwork", { NetworkID: network }), {});
  assert.deepEqual(await call(fake, "NetworkDriver.DeleteNetwork", { NetworkID: network }), {});
  assert.ok(!fake.dump().some((line) => /10\.5\.0\.2|br-ab|dk[0-9a-f]{12}|docker\/.*json/.test(line)));
});

test("addresses are given once, in turn, and back", async () => {
  const fake = newFake();
  const ask = (method: string, request?: Json) => call(fake, `IpamDriver.${method}`, request);
  assert.equal((await ask("GetDefaultAddressSpaces"))["LocalDefaultAddressSpace"], "ocinetLocal");
  const pool = await ask("RequestPool", { AddressSpace: "", Pool: "10.6.0.0/29", SubPool: "", V6: false });
  assert.deepEqual(pool, { PoolID: "ocinetLocal/10.6.0.0/29", Pool: "10.6.0.0/29", Data: {} });
  const PoolID = pool["PoolID"];
  const next = async (Address = "") => (await ask("RequestAddress", { PoolID, Address, Options: {} }));
  assert.deepEqual(await next(), { Address: "10.6.0.1/29", Data: {} });
  assert.match(String((await next("10.6.0.1"))["Error"]), /^Address already in use/);
  assert.match(String((await next("10.7.0.1"))["Error"]), /^requested address is out of range/);
  for (const last of [2, 3, 4, 5, 6]) assert.equal((await next())["Address"], `10.6.0.${last}/29`);
  assert.equal((await next())["Error"], "no available addresses on this pool");
  assert.deepEqual(await ask("ReleaseAddress", { PoolID, Address: "10.6.0.3" }), {});
  assert.deepEqual(await ask("ReleaseAddress", { PoolID, Address: "10.6.0.3" }), {});
  assert.equal((await next())["Address"], "10.6.0.3/29");
  const again = { Pool: "10.6.0.0/24" };
  assert.match(String((await ask("RequestPool", again))["Error"]), /^Pool overlaps with other one/);
  assert.match(String((await ask("RequestPool", {}))["Pool"]), /^172\.18\.0\.0\/16$/);
  assert.match(String((await ask("RequestPool", { V6: true }))["Pool"]), /^fd.*\/64$/);
  assert.deepEqual(await ask("ReleasePool", { PoolID }), {});
  assert.deepEqual(await ask("ReleasePool", { PoolID: "../../../etc" }), {});
  assert.equal((await ask("RequestPool", again))["Pool"], "10.6.0.0/24");
  const part = await ask("RequestPool", { Pool: "10.8.0.0/16", SubPool: "10.8.9.0/24" });
  assert.equal(part["PoolID"], "ocinetLocal/10.8.0.0/16/10.8.9.0/24");
});

test("an endpoint on a parent is a link of its type, and no port is published on it", async () => {
  const fake = newFake();
  await fake.world.run(["ip", "link", "add", "name", "eth0", "type", "dummy"]);
  await call(fake, "NetworkDriver.CreateNetwork", created({ type: "macvlan", parent: "eth0" }));
  const made = await call(fake, "NetworkDriver.CreateEndpoint", {
    ...name,
    Interface: { ...given, MacAddress: "02:42:0a:05:00:02" },
  });
  assert.deepEqual(made, { Interface: {} });
  assert.ok(fake.dump().some((line) => /dk[0-9a-f]{12}.*macvlan|macvlan.*dk[0-9a-f]{12}/.test(line)));
  const ports = { ...name, Options: { "com.docker.network.portmap": portmap } };
  const refused = await call(fake, "NetworkDriver.ProgramExternalConnectivity", ports);
  assert.match(String(refused["Err"]), /^Cannot publish ports on a network of type macvlan/);
  await call(fake, "NetworkDriver.DeleteEndpoint", name);
  assert.ok(!fake.dump().some((line) => /dk[0-9a-f]{12}/.test(line)));
});

test("ports are led from the address that the network binds them to, and back into their own container", async () => {
  const fake = newFake();
  const host = "com.docker.network.bridge.host_binding_ipv4";
  await call(fake, "NetworkDriver.CreateNetwork", created({ [host]: "127.0.0.1" }));
  await call(fake, "NetworkDriver.CreateEndpoint", { ...name, Interface: given });
  const ports = { ...name, Options: { "com.docker.network.portmap": portmap } };
  assert.deepEqual(await call(fake, "NetworkDriver.ProgramExternalConnectivity", ports), {});
  const made = fake.dump().filter((line) => /^host: element.*8080/.test(line));
  assert.ok(made.length === 1 && /hostports4.*127\.0\.0\.1 \. tcp \. 8080/.test(made[0]!), made.join("\n"));
  const record = fake.world.read(`/run/ocinet/docker/${endpoint}.json`)!;
  assert.match(record, /bridge_slave hairpin on/);
});

test("gateway modes: routed opens the container's ports, nat-unprotected all, isolated gives no gateway", async () => {
  const key = "com.docker.network.bridge.gateway_mode_ipv4";
  const ports = { ...name, Options: { "com.docker.network.portmap": portmap } };
  const made = async (mode: string, more: Json = {}) => {
    const fake = newFake();
    assert.deepEqual(await call(fake, "NetworkDriver.CreateNetwork", created({ [key]: mode }, more)), {});
    await call(fake, "NetworkDriver.CreateEndpoint", { ...name, Interface: given });
    return fake;
  };
  const routed = await made("routed");
  assert.deepEqual(await call(routed, "NetworkDriver.ProgramExternalConnectivity", ports), {});
  const elements = routed.dump().filter((line) => /element/.test(line)).join("\n");
  assert.match(elements, /opened4.*"br-abababababab" \. 10\.5\.0\.2 \. tcp \. 80/);
  assert.doesNotMatch(elements, /8080|masquerade4/);
  assert.ok((await made("nat-unprotected")).dump().some((line) => /open4.*10\.5\.0\.2/.test(line)));
  const two = newFake();
  await call(two, "NetworkDriver.CreateNetwork", {
    ...created({ [key]: "nat-unprotected", [key.replace("ipv4", "ipv6")]: "routed" }),
    IPv6Data: [{ AddressSpace: "local", Pool: "fd00:5::/64", Gateway: "fd00:5::1/64" }],
  });
  const both = { ...given, AddressIPv6: "fd00:5::2/64" };
  await call(two, "NetworkDriver.CreateEndpoint", { ...name, Interface: both });
  assert.deepEqual(await call(two, "NetworkDriver.ProgramExternalConnectivity", ports), {});
  const own = two.dump().filter((line) => /element/.test(line)).join("\n");
  for (const there of [/open4.*10\.5/, /masquerade4/, /ports4.*8080/, /opened6.*fd00:5::2 \. tcp \. 80/]) {
    assert.match(own, there);
  }
  assert.doesNotMatch(own, /open6|apart6|masquerade6|ports6|opened4/);
  const isolated = await made("isolated", { "com.docker.network.internal": true });
  assert.ok(!isolated.dump().some((line) => /10\.5\.0\.1\/24/.test(line)));
});

test("an internal network has a bridge, and no way out", async () => {
  const fake = newFake();
  await call(fake, "NetworkDriver.CreateNetwork", created({}, { "com.docker.network.internal": true }));
  await call(fake, "NetworkDriver.CreateEndpoint", { ...name, Interface: given });
  const joined = await call(fake, "NetworkDriver.Join", { ...name, SandboxKey: "/x" });
  assert.deepEqual([joined["Gateway"], joined["DisableGatewayService"]], [undefined, true]);
  assert.ok(fake.dump().some((line) => /internal/.test(line)));
});

test("what a restart of either side leaves is the same again, or swept", async () => {
  const fake = newFake();
  await call(fake, "NetworkDriver.CreateNetwork", created());
  const request = { ...name, Interface: given };
  const first = await call(fake, "NetworkDriver.CreateEndpoint", request);
  const after = fake.restart();
  assert.deepEqual(await call(after, "NetworkDriver.CreateEndpoint", request), first);
  const other = { ...name, Interface: { ...given, Address: "10.5.0.3/24" } };
  assert.match(
    String((await call(after, "NetworkDriver.CreateEndpoint", other))["Err"]),
    /another of its name$/,
  );
  // The container ended while the plugin was not running.
  const host = after.kernel.namespaces.find(({ inode }) => inode === after.kernel.own)!;
  const veth = host.links.find(({ name }) => name.startsWith("veth"))!;
  await after.world.run(["ip", "link", "del", "dev", veth.name]);
  await sweepEndpoints(pluginOn(after));
  assert.ok(!after.dump().some((line) => /10\.5\.0\.2|ocinet\/docker\/cd/.test(line)));
  assert.deepEqual(await call(after, "NetworkDriver.CreateEndpoint", other), {
    Interface: { MacAddress: "02:6f:0a:05:00:03" },
  });
});

test("a network that is removed takes its endpoints along", async () => {
  const fake = newFake();
  await call(fake, "NetworkDriver.CreateNetwork", created());
  await call(fake, "NetworkDriver.CreateEndpoint", { ...name, Interface: given });
  assert.deepEqual(await call(fake, "NetworkDriver.DeleteNetwork", { NetworkID: network }), {});
  assert.ok(!fake.dump().some((line) => /10\.5\.0\.2|br-ab/.test(line)));
});

test("wherever the plugin dies, what follows takes all of it away", async () => {
  const request = { ...name, Interface: given };
  const whole = newFake();
  await call(whole, "NetworkDriver.CreateNetwork", created());
  const before = whole.calls;
  await call(whole, "NetworkDriver.CreateEndpoint", request);
  const ways = Array.from({ length: whole.calls - before }, (_, i) => i + 1)
    .flatMap((at) => [[at, "we die before"], [at, "we die after"]] as const);
  assert.ok(ways.length > 20);
  for (const [at, kind] of ways) {
    const fake = newFake();
    await call(fake, "NetworkDriver.CreateNetwork", created());
    fake.fail({ kind, call: at, at: 0 });
    await call(fake, "NetworkDriver.CreateEndpoint", request).catch(() => {});
    const after = fake.restart();
    await call(after, "NetworkDriver.DeleteEndpoint", name);
    await call(after, "NetworkDriver.DeleteNetwork", { NetworkID: network });
    assert.ok(!after.dump().some((line) => /10\.5\.0\.2|dk[0-9a-f]{12}|veth/.test(line)), `${kind} ${at}`);
  }
});

test("what cannot be done is told as Docker has it", async () => {
  const fake = newFake();
  const rows: readonly [string, Json, RegExp][] = [
    [
      "CreateNetwork",
      { ...created(), NetworkID: "../x" },
      /^Cannot use NetworkID "\.\.\/x": it may have only/,
    ],
    ["CreateNetwork", created({ type: "ptp" }), /^Cannot use option type ptp/],
    ["CreateNetwork", created({ color: "red" }), /^Cannot use option "color" of the network: there are type/],
    [
      "CreateNetwork",
      { ...created(), IPv4Data: [{ ...v4, Pool: "x" }] },
      /^Cannot use pool "x": it is not ADDRESS/,
    ],
    ["CreateNetwork", { ...created(), IPv4Data: [{ ...v4, Gateway: "10.6.0.1/24" }] }, /^Cannot use gateway/],
    [
      "CreateEndpoint",
      { ...name, Interface: given },
      /^Cannot find network abababababab: it was not created here/,
    ],
    ["Join", name, /^Cannot find network abababababab/],
    ["ProgramExternalConnectivity", name, /^Cannot find endpoint cdcdcdcdcdcd/],
    ["CreateEndpoint", { ...name, Interface: { MacAddress: "x" } }, /^Cannot use MacAddress "x"/],
  ];
  for (const [method, request, wanted] of rows) {
    assert.match(String((await call(fake, `NetworkDriver.${method}`, request))["Err"]), wanted);
  }
  const plugin = pluginOn(fake);
  assert.equal((await answer(plugin, { path: "/NetworkDriver.AllocateNetwork", body: "{}" })).status, 404);
  assert.match((await answer(plugin, { path: "/NetworkDriver.Join", body: "[" })).body, /it is not JSON/);
  assert.deepEqual(fake.world.list("/var/lib/ocinet/docker/networks"), []);
});
