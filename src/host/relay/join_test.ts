import assert from "node:assert/strict";
import { test } from "node:test";
import { builtin } from "../node/builtin.ts";
import { realWorld } from "../runtime.ts";
import { join } from "./join.ts";

const world = realWorld();
type Socket = Parameters<typeof join>[0];
interface Server {
  listen(at: { readonly path: string }): Server;
  once(event: string, then: (socket: Socket) => void): void;
  close(): void;
}
const net = builtin<{ createServer(): Server; connect(to: object): Socket }>("node:net");

const once = <T>(emitter: { once(event: string, then: (value: T) => void): unknown }, event: string) =>
  new Promise<T>((resolve) => emitter.once(event, resolve));

/** Both ends of a connection; the first reads nothing yet. */
async function connection(name: string): Promise<readonly [Socket, Socket]> {
  const path = `/tmp/ocinet-join-${name}-${world.pid}`;
  const server = net.createServer().listen({ path });
  await once(server, "listening");
  const near = net.connect({ path, allowHalfOpen: true }).pause();
  const far = await once<Socket>(server, "connection");
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

test("a client that has sent all and then goes away ends the server's answer", async () => {
  const [[inside, server], [outside, client]] = [await connection("inside"), await connection("outside")];
  join(outside, inside);
  const closed = once(server, "close");
  server.on("error", () => {}).on("end", () => client.destroy()).resume();
  client.end("request");
  const more = () => server.destroyed || server.write("answer ".repeat(1000), () => setTimeout(more));
  more();
  await closed;
});
