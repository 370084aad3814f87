import assert from "node:assert/strict";
import { test } from "node:test";
import { builtin } from "../node/builtin.ts";
import { realWorld } from "../runtime.ts";
import { listenAt, type Listener, listenWithRoom } from "./listening.ts";
import { type Room, roomOf } from "./room.ts";

type Socket = Parameters<Listener["serve"]>[0];

const world = realWorld();
const at = { path: `/tmp/ocinet-listening-${world.pid}` };
const net = builtin<{ connect(to: { readonly path: string }): Socket }>("node:net");

/** What a server sends to a client: "hello", or nothing if it broke off or did not listen. */
function ask(): Promise<{ readonly socket: Socket; readonly said: string }> {
  const socket = net.connect(at);
  let said = "";
  return new Promise((resolve) => {
    socket.on("error", () => {}).on("close", () => resolve({ socket, said }));
    socket.on("data", (part) => {
      said += String(part);
      resolve({ socket, said });
    });
  });
}

function serve(socket: Socket, room: Room): void {
  socket.on("close", () => room.give(2)).on("end", () => socket.end()).resume();
  socket.write("hello");
}

test("when there is room again after too many came, connections are accepted again", async () => {
  const [room, problems] = [roomOf(70), new Set<string | undefined>()];
  const open: Listener["open"] = (serve) => listenAt(at, serve);
  const tell = (problem: string | undefined) => void problems.add(problem);
  const listening = await listenWithRoom({ open, room, serve: (socket) => serve(socket, room), tell });
  const first = await Promise.all(Array.from({ length: 3 }, ask));
  assert.deepEqual(first.map(({ said }) => said), ["hello", "hello", "hello"]);
  const more = await Promise.all(Array.from({ length: 20 }, ask));
  assert.equal(more.filter(({ said }) => said === "hello").length, 0);
  assert.ok(problems.has("there is no room for more connections"));
  first.forEach(({ socket }) => socket.destroy());
  let last = await ask();
  while (last.said === "") last = await ask();
  last.socket.destroy();
  listening.close();
  world.remove(at.path);
});
