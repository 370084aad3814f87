import assert from "node:assert/strict";
import { test } from "node:test";
import { isOurs } from "../engine/external_plugin.ts";
import { newFake } from "../host/fake.ts";
import { installPlugins } from "./install_plugins.ts";

test("each type is a file that calls ocinet, and what is copied over one replaces that alone", async () => {
  const { world, place } = newFake();
  const { json } = await installPlugins(world, "/opt/cni/bin", false);
  assert.ok((json as { types: string[] }).types.includes("host-local"));
  const self = world.self.at(-1)!;
  assert.equal(
    world.read("/opt/cni/bin/bridge"),
    `#!/bin/sh\n# A CNI plugin of ocinet's.\nexec ${self} plugin bridge "$@"\n`,
  );
  assert.equal(world.stat("/opt/cni/bin/bridge")?.mode, 0o755);
  assert.ok(isOurs(world, "bridge", ["/opt/cni/bin"]));
  // As an installer of the reference plugins does.
  place("/opt/cni/bin/bridge", "another's program");
  assert.ok(!isOurs(world, "bridge", ["/opt/cni/bin"]));
  assert.ok(isOurs(world, "ptp", ["/opt/cni/bin"]));
  await assert.rejects(
    async () => await installPlugins(world, "/opt/cni/bin", false),
    /Cannot install plugin "bridge" in \/opt\/cni\/bin: there is a file of that name; move it away first$/,
  );
  await installPlugins(world, "/opt/cni/bin", true);
  assert.deepEqual(world.list("/opt/cni/bin"), ["bridge"]);
});
