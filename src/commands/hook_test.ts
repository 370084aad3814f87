import assert from "node:assert/strict";
import { test } from "node:test";
import { addNamespace, type Namespace, removeAddress, startProcess } from "../host/fake/kernel.ts";
import { type Fake, newFake } from "../host/fake.ts";
import { realWorld } from "../host/runtime.ts";
import { doctor } from "./doctor.ts";
import { hook } from "./hook.ts";
import { inject } from "./inject.ts";
import { inspect } from "./inspect.ts";
import { list } from "./list.ts";
import { networkConnect, networkDisconnect } from "./network.ts";
import { repair } from "./repair.ts";
import { trace } from "./trace.ts";
import { up } from "./up.ts";

const known = async (fake: ReturnType<typeof newFake>) =>
  ((await list(fake.world)).json as { id: string; state: string }[]).map(({ id, state }) => `${id} ${state}`);

/** Our own id of the one container. */
const idOf = (fake: ReturnType<typeof newFake>) => fake.world.list("/run/ocinet/containers")[0];

test("every id that runc or crun takes is taken, shown, and understood again", async () => {
  const fake = newFake();
  const ids = ["web+1", "_web", ".web", "web@1", "web:1", "x".repeat(255), "x".repeat(129), "web-1"];
  const { pid } = startProcess(fake.kernel, "init", addNamespace(fake.kernel).inode);
  for (const id of ids) {
    const state = JSON.stringify({ ociVersion: "1.0.2", id, pid, bundle: "" });
    await hook(fake.world, ["createRuntime", "--net=default", "-p", "8080:80"], state);
    assert.deepEqual(await known(fake), [`${id} up`]);
    assert.equal(((await inspect(fake.world, [id])).json as { id: string }[])[0]!.id, id);
    assert.deepEqual((await repair(fake.world, [id])).json, [{ id: idOf(fake), repaired: [] }]);
    await trace(fake.world, id, undefined);
    await hook(fake.world, ["poststop"], state);
    assert.deepEqual(await known(fake), []);
  }
});

function placeNetwork(fake: Fake, name: string, ...subnets: readonly string[]): void {
  const ipam = {
    type: "host-local",
    ranges: subnets.map((subnet) => [{ subnet }]),
    routes: [{ dst: "::/0" }],
  };
  const plugins = [{ type: "bridge", bridge: `${name}0`, isDefaultGateway: true, ipam }];
  fake.place(`/etc/ocinet/net.d/${name}.conflist`, JSON.stringify({ cniVersion: "1.1.0", name, plugins }));
}

test("a bundle that switches IPv6 off has no address of it, on a network that has IPv4 as well", async () => {
  const fake = newFake();
  const { pid } = startProcess(fake.kernel, "init", addNamespace(fake.kernel).inode);
  placeNetwork(fake, "dual", "10.6.0.0/24", "fd00:6::/64");
  placeNetwork(fake, "six", "fd00:7::/64");
  const both = ["10.6.0", "fd00:6:", "fd00:7:"];
  const four = ["10.6.0", "fd00:7:"];
  for (
    const [key, value, expected] of [
      ["net.ipv6.conf.all.disable_ipv6", "1", four],
      ["net/ipv6/conf/all/disable_ipv6", " 2", four],
      ["net.ipv6.conf.all.disable_ipv6", 0, both],
      ["net.ipv6.conf.all.disable_ipv6", { toString: 1 }, both],
    ] as const
  ) {
    const linux = { sysctl: { [key]: value } };
    fake.place("/bundle/config.json", JSON.stringify({ ociVersion: "1.0.2", linux }));
    const state = JSON.stringify({ ociVersion: "1.0.2", id: "web", pid, bundle: "/bundle" });
    await hook(fake.world, ["createRuntime", "--net=dual,six"], state);
    const [shown] = (await inspect(fake.world, ["web"])).json as [{ networks: { ips: string[] }[] }];
    assert.deepEqual(
      shown.networks.flatMap(({ ips }) => ips.map((ip) => ip.replace(/[.:][0-9]+\/.*/, ""))),
      expected,
    );
    await hook(fake.world, ["poststop"], state);
  }
});

test("what a hook warns of is in its log, where the runtime shows none of it, and is no failed hook", async () => {
  const fake = newFake();
  const { pid } = startProcess(fake.kernel, "init", addNamespace(fake.kernel).inode);
  const inner = {
    cniVersion: "1.1.0",
    name: "inner",
    type: "bridge",
    ipam: { type: "host-local", subnet: "10.6.0.0/24" },
  };
  fake.place("/etc/ocinet/net.d/inner.conf", JSON.stringify(inner));
  const state = JSON.stringify({ ociVersion: "1.0.2", id: "web", pid, bundle: "" });
  await hook(fake.world, ["createRuntime", "--net=inner", "-p", "8080:80"], state);
  const log = fake.world.read("/run/ocinet/hook.log");
  assert.match(log!, /^\S+ createRuntime web warns: published ports may lead nowhere: .* "inner" \(bridge\)/);
  assert.doesNotMatch(JSON.stringify((await doctor(fake.world)).json), /last failed hook/);
});

test("a container in which IPv6 is off gets no address of it by connect, up or repair", async () => {
  const fake = newFake();
  const namespace = addNamespace(fake.kernel);
  const { pid } = startProcess(fake.kernel, "init", namespace.inode);
  placeNetwork(fake, "dual", "10.6.0.0/24", "fd00:6::/64");
  placeNetwork(fake, "six", "fd00:7::/64");
  const linux = { sysctl: { "net.ipv6.conf.all.disable_ipv6": "1" } };
  fake.kernel.mounts["/run/netns/box"] = namespace.inode;
  placeNetwork(fake, "other", "10.8.0.0/24", "fd00:8::/64");
  placeNetwork(fake, "six2", "fd00:9::/64");
  fake.place("/bundle/config.json", JSON.stringify({ ociVersion: "1.0.2", linux }));
  const state = JSON.stringify({ ociVersion: "1.0.2", id: "web", pid, bundle: "/bundle" });
  await hook(fake.world, ["createRuntime", "--net=dual,six"], state);
  // As the runtime does then.
  switchIpv6Off(namespace);
  const addresses = () =>
    namespace.links.filter(({ name }) => name !== "lo").flatMap(({ name, addresses }) =>
      addresses.map(({ address }) => `${name} ${address}`)
    );
  const before = addresses();
  assert.deepEqual((await repair(fake.world, ["web"])).json, [{ id: "web", repaired: [] }]);
  await networkConnect(fake.world, ["other", "web"], new Map());
  assert.deepEqual(addresses(), [...before, "eth2 10.8.0.2/24"]);
  const connect = (network: string, given = {}) =>
    networkConnect(fake.world, [network, "web"], new Map(Object.entries(given)));
  await networkDisconnect(fake.world, ["other", "web"], new Map(), false);
  await assert.rejects(
    connect("six2"),
    /"web" to network "six2": it has IPv6 subnets only, and IPv6 is off/,
  );
  await assert.rejects(connect("other", { ip6: ["fd00:8::8"] }), /address fd00:8::8: IPv6 is off in it/);
  assert.deepEqual(addresses(), before);
  assert.deepEqual((await repair(fake.world, ["web"])).json, [{ id: "web", repaired: [] }]);
  await hook(fake.world, ["poststop"], state);
  await assert.rejects(
    up(fake.world, "/run/netns/box", new Map([["net", ["six"]]])),
    /IPv6 is off in the container/,
  );
  await up(fake.world, "/run/netns/box", new Map([["net", ["dual"]]]));
  assert.deepEqual(addresses(), ["eth0 10.6.0.3/24"]);
});

function switchIpv6Off(namespace: Namespace): void {
  namespace.sysctls["net/ipv6/conf/all/disable_ipv6"] = "1";
  for (const link of namespace.links) {
    link.sysctls["ipv6/conf/disable_ipv6"] = "1";
    for (const { address } of [...link.addresses]) {
      if (address.includes(":")) removeAddress(namespace, link, address);
    }
  }
}

test("no id leads to another directory, or another container", async () => {
  const fake = newFake();
  const { pid } = startProcess(fake.kernel, "init", addNamespace(fake.kernel).inode);
  for (const id of ["..", ".", "a/b", "../x", "a\nb", "a\u001bb", "x".repeat(1025)]) {
    const state = JSON.stringify({ ociVersion: "1.0.2", id, pid, bundle: "" });
    await assert.rejects(
      hook(fake.world, ["createRuntime"], state),
      /or has "\/" or control characters$/,
    );
  }
  for (const id of ["web+1", "web_1", "web@1"]) {
    const state = JSON.stringify({ ociVersion: "1.0.2", id, pid, bundle: "" });
    await hook(fake.world, ["createRuntime", "--net=none"], state);
  }
  assert.deepEqual((await known(fake)).sort(), ["web+1 up", "web@1 up", "web_1 up"]);
});

test("inject tells an ordinary user at once that a bundle of plain runc spec is root's alone", async () => {
  const real = realWorld();
  const directory = `${real.env("TMPDIR") ?? "/tmp"}/ocinet-inject-${real.pid}`;
  real.makeDirectory(directory);
  try {
    for (const namespaces of [[], [{ type: "user" }]]) {
      const linux = { namespaces: [{ type: "network" }, ...namespaces] };
      real.write(`${directory}/config.json`, JSON.stringify({ ociVersion: "1.0.2", linux }));
      const given = new Map([["net", ["none"]]]);
      const { note = "" } = await inject({ ...real, uid: 1000 }, directory, { given, dryRun: true });
      const isTold = /^Only root can run this bundle, .*runc spec --rootless/.test(note);
      assert.equal(isTold, namespaces.length === 0, note);
    }
  } finally {
    real.remove(directory);
  }
});
