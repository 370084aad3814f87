import type * as Dgram from "node:dgram";
import type * as Net from "node:net";
import { builtin } from "../node/builtin.ts";
import { frame, unframe } from "./frames.ts";
import { join } from "./join.ts";
import { firstLine } from "./line.ts";
import { listenWithRoom } from "./listening.ts";
import type { Room } from "./room.ts";

/** The destination of a connection from the outer process: its first line, as JSON. */
export interface Destination {
  readonly proto: "tcp" | "udp";
  /** The container's addresses, tried in this order. */
  readonly hosts: readonly string[];
  readonly port: number;
}

/** In bytes: when this much is waiting, further datagrams are dropped. */
export const mostWaiting = 1 << 20;

/** Connects clients of a unix socket to destinations in the container's network. Resolves when it listens. */
export async function relayInside(path: string, room: Room): Promise<void> {
  await listenWithRoom({
    ...{ at: { path }, room, tell: () => {} },
    serve: (outside) => {
      outside.on("close", () => room.give(1));
      void serve(outside, () => room.give(1));
    },
  });
}

/**
 * Answers the outer process with one line: empty, or the reason why the destination cannot be reached.
 * @param ended is called when the socket to the destination is closed, or if there is none
 */
async function serve(outside: Net.Socket, ended: () => void): Promise<void> {
  const line = await firstLine(outside);
  if (line === undefined) {
    ended();
    return void outside.destroy();
  }
  const { proto, hosts, port } = JSON.parse(line) as Destination;
  if (proto === "udp") return leadDatagrams(outside, { host: hosts[0]!, port, ended });
  const reached = await dial(hosts, port);
  if (typeof reached === "string") {
    ended();
    return void outside.resume().end(`${reached}\n`);
  }
  reached.on("close", ended);
  outside.write("\n");
  join(outside, reached);
}

async function dial(hosts: readonly string[], port: number): Promise<Net.Socket | string> {
  const problems: string[] = [];
  for (const host of hosts) {
    const reached = await dialOne(host, port);
    if (typeof reached !== "string") return reached;
    problems.push(reached);
  }
  return problems[0]!;
}

function dialOne(host: string, port: number): Promise<Net.Socket | string> {
  const socket = builtin<typeof Net>("node:net").connect({ host, port, allowHalfOpen: true });
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket.setNoDelay(true)));
    socket.on("error", (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message));
  });
}

/** The flow lives until the outer process closes it, which knows the clients. */
function leadDatagrams(
  outside: Net.Socket,
  { host, port, ended }: { readonly host: string; readonly port: number; readonly ended: () => void },
): void {
  const socket = builtin<typeof Dgram>("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
  let waiting = 0;
  // A destination on which no program listens is not an error: a program may start to listen later.
  socket.on("error", () => {});
  socket.on("message", (datagram) => {
    if (outside.writableLength < mostWaiting) outside.write(frame(datagram));
  });
  outside.on("end", () => outside.destroy()).on("close", () => {
    socket.close();
    ended();
  });
  socket.connect(port, host, (error?: Error) => {
    // The container's link is gone, until its uplink is restored.
    if (error) return outside.destroy();
    const pass = unframe((datagram) => {
      if (waiting > mostWaiting || outside.destroyed) return;
      waiting += datagram.length;
      socket.send(datagram, () => waiting -= datagram.length);
    });
    outside.on("data", pass).resume();
  });
}
