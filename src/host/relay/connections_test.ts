import assert from "node:assert/strict";
import { test } from "node:test";
import { builtin } from "../node/builtin.ts";
import { forwardConnections } from "./connections.ts";
import { listenAt } from "./listening.ts";
import { roomOf } from "./room.ts";

type Server = Awaited<ReturnType<typeof listenAt>>;
type Socket = Parameters<Parameters<typeof listenAt>[1]>[0];

const host = "127.0.0.1";
const net = builtin<{ connect(to: { readonly host: string; readonly port: number }): Socket }>("node:net");
const portOf = (server: Server) => (server.address() as { readonly port: number }).port;
const listen = (port: number, serve: (client: Socket) => void = () => {}) => listenAt({ host, port }, serve);

/** A client of a port, and what an echo there sends back: nothing if the client is broken off. */
function ask(port: number): Promise<{ readonly socket: Socket; readonly said: string }> {
  const socket = net.connect({ host, port });
  return new Promise((resolve) => {
    socket.on("error", () => {}).on("close", () => resolve({ socket, said: "" }));
    socket.on("data", (part) => resolve({ socket, said: String(part) })).write("hello");
  });
}

test("a port that had more clients than there is room for is forwarded again when some have gone", async () => {
  const guest = await listen(0, (client) => void client.on("error", () => {}).pipe(client));
  const opened = await listen(0);
  const port = portOf(opened);
  const problems: string[] = [];
  const forward = forwardConnections(opened, {
    request: { proto: "tcp", host_addr: host, host_port: port, guest_addr: host, guest_port: portOf(guest) },
    room: roomOf(68),
    log: (line) => void problems.push(line),
    again: () => void listen(port).then((server) => forward.goOn!(server)),
  });
  const first = await Promise.all([ask(port), ask(port)]);
  assert.deepEqual(first.map(({ said }) => said), ["hello", "hello"]);
  assert.equal((await ask(port)).said, "");
  assert.deepEqual(problems, ["there is no room for more connections"]);
  first.forEach(({ socket }) => socket.destroy());
  let last = await ask(port);
  while (last.said === "") last = await ask(port);
  forward.close();
  await assert.doesNotReject(listen(port).then((server) => server.close()));
  last.socket.write("on");
  assert.equal(String(await new Promise((resolve) => last.socket.once("data", resolve))), "on");
  last.socket.destroy();
  guest.close();
});
