import type * as Dgram from "node:dgram";
import type * as Net from "node:net";
import { builtin } from "../node/builtin.ts";
import { frame, unframe } from "./frames.ts";
import { mostWaiting } from "./inside.ts";
import { type Common, destinationLine, type Forward, isForeign, refusal, type Request } from "./port.ts";

/** In milliseconds: how long an idle flow lives. These are the kernel's values for conntrack. */
const idle = { unanswered: 30_000, answered: 120_000 };
/** The largest number of clients per port. A new client replaces the one that has been idle the longest. */
const mostFlows = 1024;

/** The flow of one client. It has a socket of its own in the container. */
interface Flow {
  readonly within: Net.Socket;
  used: number;
  answered: boolean;
}

/** Forwards datagrams, each client's separately. @throws Error if the port cannot be listened on */
export function forwardDatagrams({ inside, room }: Common, request: Request): Promise<Forward> {
  const { host_addr: host, host_port: port, ipv6_only: ipv6Only } = request;
  const type = host.includes(":") ? "udp6" : "udp4";
  const socket = builtin<typeof Dgram>("node:dgram").createSocket({ type, ipv6Only });
  // Ordered by last use, the latest last.
  const flows = new Map<string, Flow>();
  const sweeping = setInterval(() => sweep(flows), 5000);
  socket.on("message", (datagram, client) => {
    if (isForeign(request, client.address)) return;
    const key = `${client.address} ${client.port}`;
    // A flow takes one descriptor here, and two in the inner process.
    if (!flows.has(key) && !room.take(2)) return endOldest(flows);
    const flow = flows.get(key) ?? begin(inside, request, socket, client);
    if (!flows.has(key)) {
      flow.within.on("close", () => {
        room.give(2);
        if (flows.get(key) === flow) flows.delete(key);
      });
    }
    flows.delete(key);
    flows.set(key, flow);
    flow.used = Date.now();
    if (flow.within.writableLength < mostWaiting) flow.within.write(frame(datagram));
    if (flows.size > mostFlows) endOldest(flows);
  });
  const close = () => {
    clearInterval(sweeping);
    flows.forEach(({ within }) => within.destroy());
    socket.close();
  };
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      clearInterval(sweeping);
      reject(refusal(error, request));
    });
    socket.bind({ address: host, port }, () => {
      // A client that has gone is not an error.
      socket.removeAllListeners("error").on("error", () => {});
      resolve({ close });
    });
  });
}

function begin(inside: string, request: Request, socket: Dgram.Socket, client: Dgram.RemoteInfo): Flow {
  const within = builtin<typeof Net>("node:net").connect({ path: inside });
  const flow: Flow = { within, used: Date.now(), answered: false };
  let waiting = 0;
  const answer = unframe((datagram) => {
    flow.used = Date.now();
    flow.answered = true;
    if (waiting > mostWaiting) return;
    waiting += datagram.length;
    socket.send(datagram, client.port, client.address, () => waiting -= datagram.length);
  });
  within.on("error", () => {}).on("data", answer);
  within.write(destinationLine(request));
  return flow;
}

function endOldest(flows: ReadonlyMap<string, Flow>): void {
  flows.values().next().value?.within.destroy();
}

function sweep(flows: ReadonlyMap<string, Flow>): void {
  const now = Date.now();
  for (const { within, used, answered } of flows.values()) {
    if (now - used > (answered ? idle.answered : idle.unanswered)) within.destroy();
  }
}
