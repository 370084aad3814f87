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
      readyOne: (i: number) => [7, now[i]!] as const,
    };
    const loop = startLoop(sockets as unknown as Sockets);
    loop.watch(7, 0, (events) => told.push(events) === 1);
  });
  assert.deepEqual(told, [1, 4, 0]);
});
