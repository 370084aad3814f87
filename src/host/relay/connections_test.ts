import assert from "node:assert/strict";
import { test } from "node:test";
import { builtin } from "../node/builtin.ts";
import { onDeno } from "../runtime.ts";
import { forwardConnections } from "./connections.ts";
import { listenAt } from "./listening.ts";
import { openNative } from "./native.ts";
import type { Forward, Request } from "./port.ts";
import { roomOf } from "./room.ts";

type Server = Awaited<ReturnType<typeof listenAt>>;
type Socket = Parameters<Parameters<typeof listenAt>[1]>[0];

const host = "127.0.0.1";
const net = builtin<{ connect(to: object): Socket }>("node:net");
const portOf = (server: Server) => (server.address() as { readonly port: number }).port;
const listen = (port: number, serve: (client: Socket) => void = () => {}) => listenAt({ host, port }, serve);

/** A port that is forwarded. */
interface Forwarded extends Forward {
  readonly port: number;
  readonly problems: readonly string[];
}

/** Forwards a port to a server, by a way of the relay's. */
type Way = (guest: Server, options?: Partial<Request> & { readonly limit?: number }) => Promise<Forwarded>;

const byRuntime: Way = async (guest, { limit = 1000, ...more } = {}) => {
  const opened = await listen(0);
  const port = portOf(opened);
  const problems: string[] = [];
  const forward = forwardConnections(opened, {
    ...{
      request: requestFor(port, guest, more),
      room: roomOf(limit),
      log: (line) => void problems.push(line),
    },
    again: () => void listen(port).then((server) => forward.goOn!(server)),
  });
  return { ...forward, port, problems };
};

const byLibc: Way = async (guest, { limit = 1000, ...more } = {}) => {
  const opened = await listen(0);
  const port = portOf(opened);
  const problems: string[] = [];
  const room = roomOf(limit);
  const common = {
    request: requestFor(port, guest, more),
    room,
    log: (line: string) => void problems.push(line),
  };
  return { ...openNative(room)!(opened, common)!, port, problems };
};

function requestFor(port: number, guest: Server, more: Partial<Request>): Request {
  const own = { proto: "tcp", host_addr: host, host_port: port } as const;
  return { ...own, guest_addr: host, guest_port: portOf(guest), ...more };
}

/** Bytes that differ from each other by where they are. */
const much = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 31 + (i >> 8)));

const ways = { "the runtime's sockets": byRuntime, ...(onDeno ? { "the C library": byLibc } : {}) };

for (const [name, forward] of Object.entries(ways)) {
  const on = (title: string, act: () => Promise<void>) => test(`by ${name}: ${title}`, act);

  on(
    "a port that had more clients than there is room for is forwarded again when some have gone",
    async () => {
      const guest = await listen(0, (client) => void client.on("error", () => {}).pipe(client));
      const { port, problems, close } = await forward(guest, { limit: 68 });
      const first = await Promise.all([ask(port), ask(port)]);
      assert.deepEqual(first.map(({ said }) => said), ["hello", "hello"]);
      assert.equal((await ask(port)).said, "");
      assert.deepEqual(problems, ["there is no room for more connections"]);
      first.forEach(({ socket }) => socket.destroy());
      let last = await ask(port);
      while (last.said === "") last = await ask(port);
      close();
      await assert.doesNotReject(listen(port).then((server) => server.close()));
      last.socket.write("on");
      assert.equal(String(await new Promise((resolve) => last.socket.once("data", resolve))), "on");
      last.socket.destroy();
      guest.close();
    },
  );

  on("much goes through both ways at once, and one way may end before the other", async () => {
    const guest = await listen(0, (client) => {
      client.write(much);
      void read(client).then((got) => client.end(got.equals(much) ? "yes" : "no"));
    });
    const { port, close } = await forward(guest);
    const client = net.connect({ host, port, allowHalfOpen: true });
    client.end(much);
    const got = await read(client);
    assert.ok(got.equals(Buffer.concat([much, Buffer.from("yes")])));
    close();
    guest.close();
  });

  on("parts of any size are passed on at once, without more to come", async () => {
    const guest = await listen(0, (client) => void client.pipe(client));
    const { port, close } = await forward(guest);
    const client = net.connect({ host, port });
    for (const size of [1, 65_535, 65_536, 65_537, 70_000, 140_000, 1_048_577, 10]) {
      client.write(much.subarray(0, size));
      let left = size;
      while (left > 0) left -= (await new Promise<Buffer>((resolve) => client.once("data", resolve))).length;
      assert.equal(left, 0);
    }
    client.destroy();
    close();
    guest.close();
  });

  on("what a server answers arrives whole, though it closes before it has read the request", async () => {
    const answer = much.subarray(0, 100_000);
    const guest = await listen(0, (client) => {
      client.on("error", () => {}).once("data", () => client.pause().write(answer, () => client.destroy()));
    });
    const { port, close } = await forward(guest);
    for (let i = 0; i < 10; i++) {
      const client = net.connect({ host, port });
      client.on("error", () => {}).write(much);
      assert.equal((await read(client)).length, answer.length);
    }
    close();
    guest.close();
  });

  on("a client that breaks its connection off has the one to the server broken off", async () => {
    const served: Promise<string>[] = [];
    const guest = await listen(0, (client) => {
      served.push(new Promise((resolve) => client.on("error", ({ message }) => resolve(message)).resume()));
      client.write("hello");
    });
    const { port, close } = await forward(guest);
    const client = net.connect({ host, port });
    await new Promise((resolve) => client.once("data", resolve));
    client.resetAndDestroy();
    assert.match(await served[0]!, /ECONNRESET/);
    close();
    guest.close();
  });

  on("a server is told who connects, and its other address is tried", async () => {
    const guest = await listen(0, (client) => void client.pipe(client));
    const { port, problems, close } = await forward(guest, {
      ...{ guest_addr: "127.0.0.9", guest_addr6: host, proxy_protocol: "v1" },
    });
    const { socket, said } = await ask(port);
    const { localPort } = socket;
    assert.equal(said.split("hello")[0], `PROXY TCP4 ${host} ${host} ${localPort} ${port}\r\n`);
    assert.deepEqual(problems, []);
    socket.destroy();
    const other = await forward(guest, { guest_addr: "127.0.0.9" });
    assert.equal((await ask(other.port)).said, "");
    assert.deepEqual(other.problems, [`cannot reach port ${portOf(guest)}: ECONNREFUSED`]);
    [close, other.close].forEach((one) => one());
    guest.close();
  });
}

/** All that comes until the end. */
function read(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  return new Promise((resolve) => {
    for (const end of ["end", "close"]) socket.once(end, () => resolve(Buffer.concat(parts)));
  });
}

/** A client of a port, and what an echo there sends back: nothing if the client is broken off. */
function ask(port: number): Promise<{ readonly socket: Socket; readonly said: string }> {
  const socket = net.connect({ host, port });
  return new Promise((resolve) => {
    socket.on("error", () => {}).on("close", () => resolve({ socket, said: "" }));
    socket.on("data", (part) => resolve({ socket, said: String(part) })).write("hello");
  });
}
