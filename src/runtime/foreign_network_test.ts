import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "../cni/network_list.ts";
import { emptyResult } from "../cni/result.ts";
import type { World } from "../plan/world.ts";
import { isForeign, pluginPath, publishesPorts, yieldDefaults } from "./foreign_network.ts";
import type { Attached } from "./journal.ts";

/** A world with these files, of which /self is the program. */
function having(...files: readonly string[]): World {
  return {
    uid: 0,
    self: ["/self"],
    env: () => undefined,
    stat: (path: string) =>
      [...files, "/self", "/proc/sys/net/ipv4/ip_forward"].includes(path)
        ? { kind: "file", identity: `0:${path}`, uid: 0 }
        : undefined,
  } as unknown as World;
}

function network(...plugins: readonly unknown[]) {
  return parseNetworkList(JSON.stringify({ cniVersion: "1.0.0", name: "n", plugins }), "/n.conflist");
}

const path = pluginPath(having(), ["/extra"]);

test("plugins are looked for beside networks first, then where rkt, runtimes and distributions have them", () => {
  assert.deepEqual(path, [
    ...["/etc/ocinet/net.d", "/extra", "/usr/lib/rkt/plugins/net"],
    ...["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"],
  ]);
});

test("a type of ours is ours, unless a file beside the networks has its name", () => {
  const bridge = network({ type: "bridge", ipam: { type: "host-local" } });
  assert.equal(isForeign(having(), bridge, path), false);
  assert.equal(isForeign(having("/usr/lib/cni/bridge", "/opt/cni/bin/host-local"), bridge, path), false);
  assert.equal(isForeign(having("/extra/bridge"), bridge, path), true);
  assert.equal(isForeign(having("/usr/lib/rkt/plugins/net/host-local"), bridge, path), true);
});

test("a type of somebody else's has a file, for addresses as well", () => {
  const rows = [
    network({ type: "bridge" }, { type: "warp" }),
    network({ type: "ptp", ipam: { type: "warp" } }),
  ];
  for (const list of rows) {
    assert.equal(isForeign(having("/opt/cni/bin/warp"), list, path), true);
    assert.throws(() => isForeign(having(), list, path), {
      message:
        /^Cannot use plugin type "warp": it is not one of ours \(.*bridge.*\), nor is it in .*\/opt\/cni\/bin/,
    });
  }
});

test("a network publishes ports itself if one of its plugins can", () => {
  assert.equal(
    publishesPorts(network({ type: "warp" }, { type: "x", capabilities: { portMappings: true } })),
    true,
  );
  assert.equal(
    publishesPorts(network({ type: "x", capabilities: { portMappings: false, ips: true } })),
    false,
  );
});

test("of default routes the first stays", () => {
  const result = { ...emptyResult, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "10.0.0.0/8" }] };
  const earlier = { ...emptyResult, routes: [{ dst: "0.0.0.0/0" }, { dst: "10.0.0.0/8" }] };
  const attached = { ifname: "eth1" } as Attached;
  assert.deepEqual(yieldDefaults(attached, result, []), []);
  assert.deepEqual(yieldDefaults(attached, result, [emptyResult, earlier]), [
    {
      tool: "exec",
      on: "container",
      tolerant: true,
      run: ["ip", "route", "del", "0.0.0.0/0", "dev", "eth1"],
    },
  ]);
});
