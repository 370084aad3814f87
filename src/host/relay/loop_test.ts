import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sockets } from "../deno/libc_sockets.ts";
import { startLoop } from "./loop.ts";

test("what is unfinished goes on, also when something else is reported of the same descriptor", async () => {
  const reported: number[][] = [[], [1], [4], []];
  let now: readonly number[] = [];
  const told: number[] = [];
  await new Promise<void>((resolve) => {
    const sockets = {
      ...{
        watch: () => 0,
        readySoon: () => 0,
        readyLater: () => reported.length > 0 ? Promise.resolve(0) : new Promise<number>(() => resolve()),
      },
      ready: () => (now = reported.shift() ?? []).length,
      readyOne: (i: number) => [1, now[i]!] as const,
    };
    const loop = startLoop(sockets as unknown as Sockets);
    loop.watch(7, 0, (events) => told.push(events) === 1);
  });
  assert.deepEqual(told, [1, 4, 0]);
});

test("what was reported of a socket that is closed by now is not taken for its successor's", async () => {
  const keys: number[] = [];
  const told: string[] = [];
  await new Promise<void>((resolve) => {
    let turns = 0;
    const sockets = {
      ...{
        watch: (_: number, __: number, key: number) => keys.push(key),
        unwatch: () => 0,
        readySoon: () => 0,
      },
      readyLater: () => turns < 2 ? Promise.resolve(0) : new Promise<number>(() => resolve()),
      ready: () => turns++ === 1 ? 2 : 0,
      readyOne: (i: number) => [keys[i]!, 1] as const,
    };
    const loop = startLoop(sockets as unknown as Sockets);
    loop.watch(7, 0, () => {
      told.push("first");
      loop.forget(8);
      loop.watch(8, 0, () => !told.push("successor"));
      return false;
    });
    loop.watch(8, 0, () => !told.push("closed"));
  });
  assert.deepEqual(told, ["first"]);
});
