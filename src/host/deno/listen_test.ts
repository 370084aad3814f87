import assert from "node:assert/strict";
import { test } from "node:test";
import { onDeno, realWorld } from "../runtime.ts";
import { listen } from "./listen.ts";

const world = realWorld();

// Node has no accept that could be made to fail: its server goes on by itself.
if (onDeno) test("an accept that fails for lack of descriptors does not end a service", goesOn);

async function goesOn(): Promise<void> {
  const path = `/tmp/ocinet-listen-test.${world.pid}`;
  const { listen: real } = Deno;
  const failures = [new Error("Too many open files (os error 24)"), new Error("again")];
  Deno.listen = ((options: Deno.UnixListenOptions & { transport: "unix" }) => {
    const listener = real(options);
    const accept = listener.accept.bind(listener);
    listener.accept = () => failures.length > 0 ? Promise.reject(failures.pop()) : accept();
    return listener;
  }) as typeof Deno.listen;
  const limits = { longest: 100, timeoutMs: 10_000, most: 4 };
  try {
    const listening = await listen({ path }, limits, () => Promise.resolve({ answer: "served" }));
    assert.equal(await world.request(path, "hello\n"), "served");
    assert.equal(failures.length, 0);
    listening.close();
  } finally {
    Deno.listen = real;
    world.remove(path);
  }
}
