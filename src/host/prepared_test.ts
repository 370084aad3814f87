import assert from "node:assert/strict";
import { test } from "node:test";
import { becoming } from "./prepared.ts";
import { realWorld } from "./runtime.ts";

const world = realWorld();

/** The pids of this process's children. */
function children(): readonly number[] {
  const lists = world.list("/proc/self/task").map((thread) =>
    world.read(`/proc/self/task/${thread}/children`)
  );
  return lists.flatMap((list) => list?.match(/[0-9]+/g) ?? []).map(Number);
}

/** The pid of the child that an action starts. */
function startedBy(action: () => unknown): number {
  const before = children();
  action();
  return children().find((pid) => !before.includes(pid))!;
}

async function awaitEnd(pid: number): Promise<void> {
  while (children().includes(pid) && !/\) Z/.test(world.read(`/proc/${pid}/stat`)!)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a program that was prepared gets the input of the run that wants it, once", async () => {
  const argv = ["sh", "-c", "cat; echo $$"];
  const pid = startedBy(() => world.prepare(argv));
  assert.equal(startedBy(() => world.prepare(argv)), undefined);
  assert.equal((await world.run(argv, { stdin: "one\n" })).stdout, `one\n${pid}\n`);
  assert.notEqual((await world.run(argv, { stdin: "two\n" })).stdout, `two\n${pid}\n`);
});

test("a program that was prepared and is not wanted, or has been killed, is in no run's way", async () => {
  const argv = ["sh", "-c", "cat; echo $$"];
  let release = () => {};
  const unwanted = startedBy(() => release = world.prepare(argv));
  release();
  await awaitEnd(unwanted);
  const killed = startedBy(() => world.prepare(argv));
  world.signal(killed, "SIGKILL");
  await awaitEnd(killed);
  const { code, stdout } = await world.run(argv, { stdin: "in\n" });
  assert.deepEqual([code, /^in\n[0-9]+\n$/.test(stdout)], [0, true]);
  world.prepare(["nosuch"])();
});

test("what only enters becomes whatever program follows, with its own arguments and input", async () => {
  const enter = ["env", "PLACE=there"];
  const script = ["sh", "-c", 'echo "$PLACE $# $1"; cat; echo $$ >&2', "sh", "it's; $(false)", "*"];
  const pid = startedBy(() => world.prepare(enter, { enters: true }));
  assert.deepEqual(await world.run([...enter, ...script], { stdin: "in\n" }), {
    ...{ code: 0, stdout: "there 2 it's; $(false)\nin\n", stderr: `${pid}\n` },
  });
  world.prepare(enter, { enters: true });
  assert.equal((await world.run([...enter, "sed", "s/a b/$PLACE/"], { stdin: "a b\n" })).stdout, "$PLACE\n");
  const release = world.prepare(enter, { enters: true });
  assert.equal((await world.run([...enter, "printf", "%s", "a\nb"], { stdin: "" })).stdout, "a\nb");
  release();
});

test("a shell that waits already is what enters; of other programs that wait none is", async () => {
  const enter = ["env", "PLACE=there"];
  startedBy(() => world.prepare(["cat"]));
  const shell = startedBy(() => world.prepare(becoming));
  assert.equal(startedBy(() => world.prepare(enter, { enters: true })), undefined);
  const script = ["sh", "-c", 'echo "$PLACE"; cat; echo $$'];
  assert.equal((await world.run([...enter, ...script], { stdin: "in\n" })).stdout, `there\nin\n${shell}\n`);
  const unwanted = startedBy(() => world.prepare(becoming));
  world.prepare(enter, { enters: true })();
  await awaitEnd(unwanted);
  assert.equal((await world.run(["cat"], { stdin: "in\n" })).stdout, "in\n");
});
