import assert from "node:assert/strict";
import { test } from "node:test";
import { realWorld } from "../../host/runtime.ts";
import { keepRunning } from "./supervise.ts";

const world = realWorld();

test("an uplink that never gets ready is told with the time that it had", async () => {
  const directory = `/tmp/ocinet-supervise-test.${world.pid}`;
  world.makeDirectory(`${directory}/bin`);
  try {
    // The time is over at once.
    // Another process writes it: a program that one of this process's children has open for writing cannot be run.
    const write = 'printf "#!/bin/sh\nexit 124\n" >"$0" && chmod 755 "$0"';
    await world.run(["sh", "-c", write, `${directory}/bin/timeout`]);
    const entrance = {
      ...{ pid: world.pid, init: world.pid, lasting: world.pid, ownPidNamespace: false },
      ...{ enter: [], directory, again: ["false"] },
    };
    const program = {
      name: "true",
      words: () => ["true"],
      ends: "itself",
      cmdlineMarker: directory,
    } as const;
    const { run } = keepRunning(entrance, { ...program, cleanupPaths: [] });
    const env = { ...world.environment(), PATH: `${directory}/bin:${world.env("PATH")}` };
    const { code, stderr } = await world.run(run, { env });
    assert.deepEqual([code, stderr], [1, "it is not ready after 60 s\n"]);
  } finally {
    await removeOnceUnused(directory);
  }
});

/** What keeps the uplink running ends by itself here, and may write there until then. */
async function removeOnceUnused(directory: string): Promise<void> {
  for (let left = 1000;; left--) {
    try {
      return world.remove(directory);
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
