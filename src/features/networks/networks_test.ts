import assert from "node:assert/strict";
import { test } from "node:test";
import { realWorld } from "../../host/runtime.ts";
import { parseNets } from "../../net/modes.ts";
import type { World } from "../../plan/world.ts";
import { chooseNetworks, loadNetworks } from "./networks.ts";

const real = realWorld();
let roots = 0;

/** Files of networks below a directory that is gone when the test ends; the user's are in `home`. */
function having(
  files: Readonly<Record<string, string>>,
  body: (world: World, root: string) => void,
): () => void {
  return () => {
    const root = `${real.env("TMPDIR") ?? "/tmp"}/ocinet-networks-${real.pid}-${roots++}`;
    const world = {
      ...real,
      uid: 1000,
      env: (name: string) => name === "XDG_CONFIG_HOME" ? `${root}/home` : undefined,
    };
    try {
      for (const [path, text] of Object.entries(files)) {
        const file = `${root}/${path}`;
        real.makeDirectory(file.slice(0, file.lastIndexOf("/")));
        real.write(file, text);
      }
      body(world, root);
    } finally {
      real.remove(root);
    }
  };
}

function network(name: string, type = "bridge"): string {
  return JSON.stringify({ cniVersion: "1.0.0", name, plugins: [{ type }] });
}

const user = "home/ocinet/net.d";

test(
  "without a file there are rkt's two networks, the restricted one first",
  having({}, (world) => {
    const found = loadNetworks(world, []);
    assert.deepEqual(found.map(({ file, list }) => [file, list.name, list.plugins[0]!["ipMasq"]]), [
      ["99-default-restricted.conf", "default-restricted", false],
      ["99-default.conf", "default", true],
    ]);
    const ipam = found.map(({ list }) => list.plugins[0]!["ipam"] as { ranges: { subnet: string }[][] });
    assert.deepEqual(ipam.map(({ ranges }) => ranges[0]![0]!.subnet), ["172.31.0.0/16", "172.16.28.0/24"]);
  }),
);

test(
  "files count in the order of their names, whichever directory they are in",
  having({
    [`${user}/20-b.conflist`]: network("b"),
    [`${user}/10-a.conf`]: network("a"),
    [`${user}/10-a-again.conf`]: network("c"),
    [`${user}/notes.txt`]: "{",
    [`${user}/.conf.swp`]: "{",
    [`${user}/dir.conf/x`]: "{",
    "more/15-d.conf": network("d"),
  }, (world, root) => {
    const names = loadNetworks(world, [`${root}/more`]).map(({ list }) => list.name);
    assert.deepEqual(names, ["c", "a", "d", "b", "default-restricted", "default"]);
    assert.throws(() => loadNetworks(world, [`${root}/none`]), {
      message: `Cannot read networks in --net-dir "${root}/none": there is no such directory`,
    });
  }),
);

test(
  "a user's network stands in for a built-in one, a later directory's for an earlier one's, a first file for a second",
  having({
    [`${user}/50-mine.conf`]: network("default", "ptp"),
    [`${user}/51-mine.conf`]: network("default", "loopback"),
    [`${user}/60-a.conf`]: network("a", "ptp"),
    "more/05-a.conf": network("a", "bridge"),
  }, (world, root) => {
    const found = loadNetworks(world, [`${root}/more`]);
    assert.deepEqual(found.map(({ file, list }) => [file, list.name, list.plugins[0]!.type]), [
      ["05-a.conf", "a", "bridge"],
      ["50-mine.conf", "default", "ptp"],
      ["99-default-restricted.conf", "default-restricted", "ptp"],
    ]);
  }),
);

test(
  "a file that cannot be read stops who asks for its network by name, with its path",
  having({ [`${user}/10-a.conf`]: network("a"), [`${user}/20-b.conf`]: '{"name":"../b"}' }, (world, root) => {
    assert.throws(() => loadNetworks(world, [], "b"), {
      message: `Cannot use network name "../b" in ${root}/${user}/20-b.conf: ` +
        'it may have only letters, digits, "_", "." and "-", and starts with a letter or digit',
    });
  }),
);

test(
  "interfaces are numbered in the order of the files, not of the asking",
  having({ [`${user}/20-b.conf`]: network("b"), [`${user}/10-a.conf`]: network("a") }, (world) => {
    const found = loadNetworks(world, []);
    const chosen = (...nets: readonly string[]) =>
      chooseNetworks(found, parseNets(nets)).map(({ list, ifname, args }) =>
        `${ifname} ${list.name} ${args}`.trim()
      );
    assert.deepEqual(chosen("b:IP=10.0.0.1", "a"), ["eth0 a", "eth1 b IP=10.0.0.1"]);
    assert.deepEqual(chosen(), ["eth0 default"]);
    assert.deepEqual(chosen("all,a:K=V"), [
      "eth0 a K=V",
      "eth1 b",
      "eth2 default-restricted",
      "eth3 default",
    ]);
    assert.deepEqual([chosen("none"), chosen("host")], [[], []]);
    const known = "(there are: a, b, default-restricted, default)";
    assert.throws(() => chosen("a,x", "../y"), { message: `networks not found: x, ../y ${known}` });
    assert.throws(() => chosen("pasta"), {
      message: `networks not found: pasta ${known}; pasta is an uplink, which --uplink chooses`,
    });
    assert.throws(() => chosen("bridge"), {
      message: `networks not found: bridge ${known}; the network that Docker calls "bridge" is "default"`,
    });
    assert.throws(() => chosen("--net=host"), { message: `networks not found: --net=host ${known}` });
  }),
);

test(
  "a file that cannot be read is in the way of what it could be alone",
  having({ [`${user}/x.conf`]: "{ nonsense", [`${user}/10-shop.conf`]: network("shop") }, (world) => {
    const names = (...nets: readonly string[]) =>
      chooseNetworks(loadNetworks(world, [], parseNets(nets)), parseNets(nets)).map(({ list }) => list.name);
    assert.deepEqual([names(), names("shop"), names("none")], [["default"], ["shop"], []]);
    for (const nets of ["x", "blue", "all", "shop,x"]) {
      assert.throws(() => names(nets), /^Error: Cannot read network file .*x\.conf: /);
    }
    const problem = /x\.conf: it is not JSON: line 1, column 3: a key in double/;
    assert.throws(() => loadNetworks(world, [], "x"), problem);
    const warnings: string[] = [];
    const warned = { ...world, warn: (line: string) => void warnings.push(line) };
    for (const _ of [1, 2]) {
      const all = loadNetworks(warned, []).map(({ list }) => list.name);
      assert.deepEqual(all, ["shop", "default-restricted", "default"]);
    }
    assert.equal(warnings.length, 1, "a page looks again and again");
    assert.match(warnings[0]!, problem);
  }),
);

test(
  "a file that has a network's name is in its way",
  having({ [`${user}/10-default.conf`]: "" }, (world) => {
    assert.throws(
      () => loadNetworks(world, [], parseNets([])),
      /10-default\.conf: it is not JSON: it is empty/,
    );
  }),
);
