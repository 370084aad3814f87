import assert from "node:assert/strict";
import { once } from "node:events";
import type * as Net from "node:net";
import { test } from "node:test";
import { builtin } from "../node/builtin.ts";
import { realWorld } from "../runtime.ts";
import { join } from "./join.ts";

const world = realWorld();
const net = builtin<typeof Net>("node:net");

/** Both ends of a connection; the first reads nothing yet. */
async function connection(name: string): Promise<readonly [Net.Socket, Net.Socket]> {
  const path = `/tmp/ocinet-join-${name}-${world.pid}`;
  const server = net.createServer().listen({ path });
  await once(server, "listening");
  const near = net.connect({ path, allowHalfOpen: true }).pause();
  const [far] = await once(server, "connection") as [Net.Socket];
  server.close();
  return [near, far];
}

test("what a server answers arrives whole, though it closes before it has read the request", async () => {
  const [[inside, server], [outside, client]] = [await connection("inside"), await connection("outside")];
  const [before, answer] = ["-".repeat(1 << 20), "answer ".repeat(20_000)];
  // The client does not read yet, so that most of the answer waits while the request cannot be written.
  outside.write(before);
  server.write(answer);
  server.destroy();
  await once(server, "close");
  join(outside, inside);
  client.write("request");
  await once(outside, "data");
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve));
  let said = "";
  client.on("data", (part) => said += String(part));
  await once(client, "close");
  assert.equal(said.length, before.length + answer.length);
});
