import assert from "node:assert/strict";
import { test } from "node:test";
import type { Output, World } from "../plan/world.ts";
import { watched } from "./progress.ts";

test("what a command waits for is drawn again and again, and goes before anything else is printed", async () => {
  const printed: string[] = [];
  let end = (_: Output) => {};
  let drawn = () => {};
  const world = {
    run: () => new Promise<Output>((resolve) => end = resolve),
    warn: (text: string) => void printed.push(`${text}\n`),
  } as Partial<World> as World;
  const next = () => new Promise<void>((resolve) => drawn = resolve);
  const progress = watched(world, (text) => {
    printed.push(text);
    drawn();
  }, 1);
  const ran = progress.world.run(["nsenter", "--net=/proc/7/ns/net", "/usr/sbin/ip", "-batch", "-"], {});
  await next();
  progress.world.warn("a warning");
  await next();
  end({ code: 0, stdout: "", stderr: "" });
  await ran;
  await next();
  progress.end();
  const lines = printed.map((text) => text.replace(/[0-9]+ s/, "N s"));
  const waits = "\rocinet: N s, waiting for nsenter ip\x1b[K";
  assert.deepEqual(lines.slice(0, 4), [waits, "\r\x1b[K", "a warning\n", waits]);
  assert.deepEqual(lines.slice(-2), ["\rocinet: N s\x1b[K", "\r\x1b[K"]);
});
