import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "../../wire/cni/network_list.ts";
import { emptyResult } from "../../wire/cni/result.ts";
import type { World } from "../../plan/world.ts";
import {
  dropLaterDefaults,
  externalSteps,
  hasExternal,
  keepingLeases,
  pluginPath,
  publishesPorts,
} from "./external_network.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Attached } from "../../engine/record.ts";
import type { NetDirectory } from "../networks/networks.ts";

/** A World with these files, in which /self is the program. `looked` collects the files that were looked up. */
function having(...files: readonly string[]): World & { readonly looked: readonly string[] } {
  const looked: string[] = [];
  const stat = (path: string) => {
    looked.push(path);
    return files.includes(path) || path === "/self" ? { kind: "file", identity: `0:${path}` } : undefined;
  };
  return { looked, uid: 0, self: ["/self"], stat } as unknown as World & { looked: readonly string[] };
}

function network(...plugins: readonly unknown[]) {
  return parseNetworkList(JSON.stringify({ cniVersion: "1.0.0", name: "n", plugins }), "/n.conflist");
}

function directories(...names: readonly string[]): readonly NetDirectory[] {
  return [{ path: "/etc/net.d", names: [] }, { path: "/extra", names }];
}

const bridge = network({ type: "bridge", ipam: { type: "host-local" } });

test("plugins are looked for beside networks first, then where rkt, runtimes and distributions have them", () => {
  assert.deepEqual(pluginPath(directories()), [
    ...["/etc/net.d", "/extra", "/usr/lib/rkt/plugins/net"],
    ...["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"],
  ]);
});

test("a type of ours is ours, unless a file beside the networks has its name, and no file is looked at", () => {
  const world = having("/usr/lib/cni/bridge", "/opt/cni/bin/host-local", "/usr/lib/rkt/plugins/net/bridge");
  assert.equal(hasExternal(world, bridge, directories("n.conflist")), false);
  assert.deepEqual(world.looked, []);
  for (const name of ["bridge", "host-local"]) {
    assert.equal(hasExternal(having(`/extra/${name}`), bridge, directories(name)), true);
    // The path is e.g. a directory.
    assert.equal(hasExternal(having(), bridge, directories(name)), false);
  }
});

test("a type that is not ours has a file, for addresses as well", () => {
  const rows = [
    network({ type: "bridge" }, { type: "warp" }),
    network({ type: "ptp", ipam: { type: "warp" } }),
  ];
  for (const list of rows) {
    for (const file of ["/opt/cni/bin/warp", "/usr/lib/rkt/plugins/net/warp", "/extra/warp"]) {
      assert.equal(hasExternal(having(file), list, directories()), true);
    }
    assert.throws(() => hasExternal(having(), list, directories()), {
      message:
        /^Cannot use plugin type "warp": it is not one of ours \(.*bridge.*\), nor is it in .*\/extra, .*\/opt\/cni\/bin/,
    });
  }
});

test("addresses that are ours to give are kept where those of all networks are", () => {
  const kept = (world: World, names: readonly string[], ipam: unknown) =>
    keepingLeases(world, network({ type: "ptp", IPAM: ipam }, { type: "warp" }), {
      directories: directories(...names),
      dataDir: "/run/n",
    }).plugins.map((plugin) => plugin["IPAM"]);
  const [own, said] = [{ type: "host-local" }, { type: "host-local", dataDir: "/said" }];
  assert.deepEqual(kept(having(), [], own), [{ dataDir: "/run/n", ...own }, undefined]);
  assert.deepEqual(kept(having(), [], said), [said, undefined]);
  assert.deepEqual(kept(having("/extra/host-local"), ["host-local"], own), [own, undefined]);
  assert.deepEqual(kept(having("/extra/ptp"), ["ptp"], own), [own, undefined]);
});

test("ports are published by a plugin that is not ours and can", () => {
  const can = { portMappings: true };
  const rows = [
    [true, { type: "x", capabilities: can }],
    [false, { type: "x", capabilities: { portMappings: false, ips: true } }],
    [false, { type: "portmap", capabilities: can }],
  ] as const;
  for (const [expected, plugin] of rows) {
    assert.equal(publishesPorts(having(), network({ type: "warp" }, plugin), directories()), expected);
  }
  const theirs = network({ type: "portmap", capabilities: can });
  assert.equal(publishesPorts(having("/extra/portmap"), theirs, directories("portmap")), true);
});

test("of default routes the first network's stays, if it is in the main table", () => {
  const result = { ...emptyResult, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "10.0.0.0/8" }] };
  const earlier = {
    ...emptyResult,
    routes: [{ dst: "0.0.0.0/0" }, { dst: "10.0.0.0/8" }, { dst: "::/0", table: 9 }],
  };
  const attached = { ifname: "eth1" } as Attached;
  assert.deepEqual(dropLaterDefaults(attached, result, []), []);
  assert.deepEqual(dropLaterDefaults(attached, result, [emptyResult, earlier]), [
    {
      tool: "exec",
      on: "container",
      id: { kind: "route", dst: "0.0.0.0/0", dev: "eth1", attributes: [] },
      removes: true,
      onError: "ignore",
      run: ["ip", "route", "del", "0.0.0.0/0", "dev", "eth1"],
    },
  ]);
});

test("an interface that is ours is closed to other networks, and one that is not ours is left alone", () => {
  const result = { ...emptyResult, interfaces: [{ name: "blue0" }], ips: [{ address: "10.1.1.2/24" }] };
  const attached = (list: typeof bridge) => ({
    attached: { ifname: "eth0", network: list, path: pluginPath(directories()) } as unknown as Attached,
    at: { containerId: "c1", ifname: "eth0", digest: "a1".repeat(64) } as Attachment,
  });
  const closing = externalSteps(having("/opt/cni/bin/warp"), attached(bridge), result, []);
  assert.deepEqual(closing.map((step) => step.tool === "nft" && step.run), [
    'add element inet ocinet contained4 { "blue0" . 10.1.1.2 }',
  ]);
  assert.deepEqual(externalSteps(having("/extra/warp"), attached(network({ type: "warp" })), result, []), []);
});
