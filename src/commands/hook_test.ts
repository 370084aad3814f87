import assert from "node:assert/strict";
import { test } from "node:test";
import { addNamespace, startProcess } from "../host/fake/kernel.ts";
import { newFake } from "../host/fake.ts";
import { realWorld } from "../host/runtime.ts";
import { hook } from "./hook.ts";
import { inject } from "./inject.ts";
import { inspect } from "./inspect.ts";
import { list } from "./list.ts";
import { repair } from "./repair.ts";
import { trace } from "./trace.ts";

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

test("a bundle that switches IPv6 off has no address of it, on a network that has IPv4 as well", async () => {
  const fake = newFake();
  const { pid } = startProcess(fake.kernel, "init", addNamespace(fake.kernel).inode);
  const place = (name: string, ...subnets: readonly string[]) =>
    fake.place(
      `/etc/ocinet/net.d/${name}.conflist`,
      JSON.stringify({
        ...{ cniVersion: "1.1.0", name },
        plugins: [{
          ...{ type: "bridge", bridge: `${name}0`, isDefaultGateway: true },
          ipam: {
            type: "host-local",
            ranges: subnets.map((subnet) => [{ subnet }]),
            routes: [{ dst: "::/0" }],
          },
        }],
      }),
    );
  place("dual", "10.6.0.0/24", "fd00:6::/64");
  place("six", "fd00:7::/64");
  const both = ["10.6.0", "fd00:6:", "fd00:7:"];
  for (const [value, expected] of [["1", ["10.6.0", "fd00:7:"]], [0, both]] as const) {
    const linux = { sysctl: { "net.ipv6.conf.all.disable_ipv6": value } };
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
