import assert from "node:assert/strict";
import { test } from "node:test";
import { realWorld } from "../host/runtime.ts";
import { parsePluginPath } from "../wire/cni/environment.ts";
import { callExternal, findPlugin, isOurs } from "./external_plugin.ts";

const world = realWorld();

test("a plugin that does not end is not waited for, nor is what it has started", async () => {
  const path = `${world.env("TMPDIR") ?? "/tmp"}/ocinet-foreign-${world.pid}`;
  world.makeDirectory(path);
  try {
    const install = "cat >$0/slow; chmod 755 $0/slow";
    const stdin = "#!/bin/sh\nsleep 1000 & echo $! >$0.started; echo $$ >$0.pid\nwait\n";
    await world.run(["sh", "-c", install, path], { stdin });
    const call = {
      type: "slow",
      command: "ADD",
      request: { cniVersion: "1.0.0" },
      env: {},
      path: [path],
    } as const;
    await assert.rejects(callExternal(world, { ...call, timeoutMs: 200 }), {
      code: 999,
      message: 'Cannot wait for plugin "slow" any longer: it has not ended after 0.2 s',
    });
    const pid = world.read(`${path}/slow.pid`)!.trim();
    // The process is about to end.
    while ((world.read(`/proc/${pid}/cmdline`) ?? "") !== "") await world.run(["sleep", "0.05"]);
    await world.run(["kill", world.read(`${path}/slow.started`)!.trim()]);
  } finally {
    world.remove(path);
  }
});

test("a type that is no plain name, or a relative directory, leads to no program", () => {
  for (const type of ["../bin/sh", "bin/sh", "..", "", "-x"]) {
    assert.throws(() => findPlugin(world, type, ["/usr", "/bin"]), {
      code: 7,
      message: `invalid plugin name: ${JSON.stringify(type)}`,
    });
    assert.equal(isOurs(world, type, ["/usr"]), false);
  }
  assert.deepEqual(parsePluginPath("/a:.:b/c::/d"), ["/a", "/d"]);
});
