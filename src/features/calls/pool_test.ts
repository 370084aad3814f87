import assert from "node:assert/strict";
import { test } from "node:test";
import { realWorld } from "../../host/runtime.ts";
import type { World } from "../../plan/world.ts";
import { keepWaiting, notServed } from "./pool.ts";
import { slotIn } from "./slot.ts";

/** Waits as a process of the agent's does, and answers as the line says that it is sent: a status, `cold`, or nothing. */
const worker = `slot=$1/$2.0
mkdir "$slot" && mkfifo "$slot/request" "$slot/answer"
exec 3<>"$slot/request" 4<>"$slot/answer"
echo $$ >"$slot/new" && mv "$slot/new" "$slot/ready"
read -r line <&3
case $line in die) exit 9 ;; cold) echo cold >&4; exit ${notServed} ;; hang) exec sleep 1000 ;; esac
echo "$line" >&4`;

/** A World in a directory of its own, whose agent starts that. */
async function inDirectory(act: (world: World, directory: string) => Promise<void>): Promise<void> {
  const real = realWorld();
  const { stdout } = await real.run(["mktemp", "-d"]);
  const directory = `${stdout.trim()}/calls/build`;
  const sh = ["/bin/sh", "-c", worker];
  try {
    await act({ ...real, lean: sh }, directory);
  } finally {
    real.remove(stdout.trim());
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isTrue()) {
    assert(performance.now() < deadline, `waited in vain for ${isTrue}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function free(world: World, directory: string): readonly string[] {
  return world.list(directory).map((name) => `${directory}/${name}`)
    .filter((path) =>
      world.stat(slotIn(path).ready) !== undefined && world.stat(slotIn(path).caller) === undefined
    )
    .sort();
}

/** Claims a slot and asks, as the launcher does. @returns what is answered */
async function ask(world: World, directory: string, line: string): Promise<string> {
  const [slot] = free(world, directory);
  const script = `set -C; echo $$ >"$1/caller"; exec 3<>"$1/request" 4<>"$1/answer" 5<"$1/answer" 4>&-
echo "$2" >&3; read -r answer <&5; echo "$answer"`;
  return (await world.run(["sh", "-c", script, "sh", slot!, line])).stdout.trim();
}

test("another process takes the place of one that has ended, whether it has served or not", async () => {
  await inDirectory(async (world, directory) => {
    const told: string[] = [];
    const pool = await keepWaiting(world, directory, 2, (line) => told.push(line));
    await until(() => free(world, directory).length === 2);
    await until(() => told.length > 0);
    assert.equal(world.stat(directory)?.mode, 0o700);
    const before = free(world, directory);
    assert.equal(await ask(world, directory, "7"), "7");
    assert.equal(await ask(world, directory, "cold"), "cold");
    // The launcher sees the end of one that dies, and goes on by itself.
    await until(() => free(world, directory).length > 0);
    assert.equal(await ask(world, directory, "die"), "");
    await until(() => free(world, directory).length === 2);
    assert.deepEqual(free(world, directory).filter((slot) => before.includes(slot)), []);
    await assert.rejects(keepWaiting(world, directory, 1, () => {}), /another agent does/);
    await pool.stop();
    assert.equal(world.stat(directory), undefined);
    assert.deepEqual(told, ["serves calls, 2 at once", "served 1 calls"]);
  });
});

test("a caller that is killed does not keep its slot, and one that was left is removed", async () => {
  await inDirectory(async (world, directory) => {
    const left = slotIn(`${directory}/1-1`);
    world.makeDirectory(left.directory);
    world.write(left.ready, "2147483646\n");
    const pool = await keepWaiting(world, directory, 1, () => {});
    assert.equal(world.stat(left.directory), undefined);
    await until(() => free(world, directory).length === 1);
    const slot = slotIn(free(world, directory)[0]!);
    const [pid] = (world.read(slot.ready) ?? "").split("\n");
    // No process has this pid.
    world.write(slot.caller, "2147483646\n");
    await until(() => world.stat(slot.directory) === undefined && free(world, directory).length === 1);
    assert.equal(world.stat(`/proc/${pid}`), undefined);
    await pool.stop();
  });
});
