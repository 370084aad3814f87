import assert from "node:assert/strict";
import { test } from "node:test";
import { onDeno, realWorld } from "../runtime.ts";

const world = realWorld();

// In Node a request is written as soon as it is connected.
if (onDeno) test("a request that a service did not wait for is sent again", isSentAgain);

async function isSentAgain(): Promise<void> {
  const path = `/tmp/ocinet-request-test.${world.pid}`;
  const { connect: real } = Deno;
  const listener = Deno.listen({ transport: "unix", path });
  const first = listener.accept().then((connection) => connection.close());
  const second = first.then(async () => {
    const connection = await listener.accept();
    await connection.read(new Uint8Array(100));
    await connection.write(new TextEncoder().encode("served"));
    connection.close();
  });
  Deno.connect = (async (options: Deno.UnixConnectOptions) => {
    const connection = await real(options);
    await first;
    return connection;
  }) as typeof Deno.connect;
  try {
    assert.equal(await world.request(path, "hello\n"), "served");
    await second;
  } finally {
    Deno.connect = real;
    listener.close();
    world.remove(path);
  }
}
