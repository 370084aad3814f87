import type * as Dgram from "node:dgram";
import { builtin } from "../node/builtin.ts";
import { type Common, type Forward, isForeign, type Request } from "./port.ts";

/** In milliseconds: how long an idle flow lives. These are the kernel's values for conntrack. */
const idle = { unanswered: 30_000, answered: 120_000 };
/** The largest number of clients per port. A new client replaces the one that has been idle the longest. */
const mostFlows = 1024;
/** In bytes: when this much is waiting, further datagrams are dropped. */
const mostWaiting = 1 << 20;

/** The flow of one client. It has a socket of its own in the container. */
interface Flow {
  used: number;
  answered: boolean;
  send(datagram: Uint8Array): void;
  end(): void;
}

/** Forwards datagrams, each client's separately. @param socket receives those of clients */
export function forwardDatagrams(socket: Dgram.Socket, { request, room }: Common): Forward {
  // Ordered by last use, the latest last.
  const flows = new Map<string, Flow>();
  const sweeping = setInterval(() => sweep(flows), 5000);
  // A client that has gone is not an error.
  socket.on("error", () => {}).on("message", (datagram, client) => {
    if (request.ipv6_only && isForeign(client.address)) return;
    const key = `${client.address} ${client.port}`;
    if (!flows.has(key) && !room.take(1)) return endOldest(flows);
    const flow = flows.get(key) ?? begin(request, sender(socket, client), {
      ended: () => flows.delete(key),
      closed: () => room.give(1),
    });
    flows.delete(key);
    flows.set(key, flow);
    flow.used = Date.now();
    flow.send(datagram);
    if (flows.size > mostFlows) endOldest(flows);
  });
  return {
    close: () => {
      clearInterval(sweeping);
      flows.forEach((flow) => flow.end());
      socket.close();
    },
  };
}

function begin(
  { guest_addr: host, guest_port: port }: Request,
  answer: (datagram: Uint8Array) => void,
  { ended, closed }: { ended(): void; closed(): void },
): Flow {
  const within = builtin<typeof Dgram>("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
  const send = sender(within);
  let [isOpen, early] = [true, [] as Uint8Array[] | undefined];
  const flow: Flow = {
    ...{ used: Date.now(), answered: false },
    send: (datagram) => early ? void early.push(datagram) : send(datagram),
    end: () => {
      if (!isOpen) return;
      isOpen = false;
      ended();
      within.close();
    },
  };
  // A destination on which no program listens is not an error: a program may start to listen later.
  within.on("error", () => {}).on("close", closed).on("message", (datagram) => {
    flow.used = Date.now();
    flow.answered = true;
    answer(datagram);
  });
  within.connect(port, host, (error?: Error) => {
    // The container's link is gone, until its uplink is restored.
    if (error) return flow.end();
    early?.forEach(send);
    early = undefined;
  });
  return flow;
}

/** @param to absent if the socket is connected */
function sender(socket: Dgram.Socket, to?: Dgram.RemoteInfo): (datagram: Uint8Array) => void {
  let waiting = 0;
  return (datagram) => {
    if (waiting > mostWaiting) return;
    waiting += datagram.length;
    const done = () => void (waiting -= datagram.length);
    if (to) socket.send(datagram, to.port, to.address, done);
    else socket.send(datagram, done);
  };
}

function endOldest(flows: ReadonlyMap<string, Flow>): void {
  flows.values().next().value?.end();
}

function sweep(flows: ReadonlyMap<string, Flow>): void {
  const now = Date.now();
  for (const { used, answered, end } of flows.values()) {
    if (now - used > (answered ? idle.answered : idle.unanswered)) end();
  }
}
