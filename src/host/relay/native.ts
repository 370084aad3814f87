import type * as Net from "node:net";
import type * as Util from "node:util";
import { type Endpoint, proxyHeader } from "../../net/proxy_protocol.ts";
import { eagain, events, openSockets } from "../deno/libc_sockets.ts";
import { builtin } from "../node/builtin.ts";
import { type Carrier, carry } from "./carrying.ts";
import { newsOnly } from "./connections.ts";
import { pause } from "./listening.ts";
import { startLoop } from "./loop.ts";
import { type Common, type Forward, isForeign, type Request } from "./port.ts";
import type { Room } from "./room.ts";

/** Clients that are accepted before connections get their turn. */
const clientsAtOnce = 64;

/** Seconds after which a client that says nothing is asked whether it is still there. */
const keepAlive = 60;

type Forwarding = (opened: Net.Server, common: Common) => Forward | undefined;

/**
 * Forwards connections without the runtime's sockets, where the C library can be called: on Deno.
 * @returns what takes over a port as `forwardConnections` does, or refuses with undefined
 */
export function openNative(room: Room): Forwarding | undefined {
  const sockets = openSockets();
  if (!sockets) return undefined;
  const carrier: Carrier = { sockets, room, loop: startLoop(sockets), pipes: [] };
  return (opened, common) => {
    const own = descriptorOf(opened);
    if (own === undefined) return undefined;
    opened.close();
    return forward(carrier, own, common);
  };
}

/** A descriptor of our own for a server's socket, by what Deno 2.8 and later have for passing a socket on. */
function descriptorOf(server: Net.Server): number | undefined {
  const { _handle: handle } = server as { readonly _handle?: { fdForIpc?(): number } };
  const fd = handle?.fdForIpc?.();
  return fd !== undefined && fd >= 0 ? fd : undefined;
}

/** @param own listens on the port */
function forward(carrier: Carrier, own: number, { request, log }: Common): Forward {
  const { sockets, loop, room } = carrier;
  const [tellCrowd, tell] = [newsOnly(log), newsOnly(log)];
  let isOpen = true;
  const rest = (problem: number) => {
    tellCrowd(nameOf(problem));
    loop.forget(own);
    setTimeout(() => isOpen && begin(), pause);
    return false;
  };
  const begin = () => {
    const problem = loop.watch(own, events.read, accept);
    if (problem < 0) rest(-problem);
  };
  const accept = () => {
    for (let i = 0; i < clientsAtOnce; i++) {
      const client = sockets.accept(own);
      if (client < 0) return client !== -eagain && rest(-client);
      if (request.ipv6_only && isForeign(sockets.peer().address)) sockets.reset(client);
      else if (room.take(2)) {
        tellCrowd(undefined);
        serve(carrier, client, request, tell);
      } else {
        tellCrowd("there is no room for more connections");
        sockets.reset(client);
      }
    }
    return false;
  };
  begin();
  return {
    close: () => {
      isOpen = false;
      loop.forget(own);
      sockets.close(own);
    },
  };
}

function serve(
  carrier: Carrier,
  client: number,
  { guest_addr, guest_addr6, guest_port: port, proxy_protocol }: Request,
  tell: (problem: string | undefined) => void,
): void {
  const { sockets, room } = carrier;
  const header = proxy_protocol && proxyHeader(proxy_protocol, sockets.peer(), sockets.local(client));
  sockets.sendAtOnce(client);
  sockets.keepAlive(client, keepAlive);
  const ended = () => room.give(2);
  const hosts = guest_addr6 === undefined ? [guest_addr] : [guest_addr, guest_addr6];
  dial(carrier, hosts.map((address) => ({ address, port })), (within) => {
    tell(within < 0 ? `cannot reach port ${port}: ${nameOf(-within)}` : undefined);
    if (within < 0) {
      sockets.reset(client);
      return ended();
    }
    carry(carrier, [client, within], header as Uint8Array<ArrayBuffer> | undefined, ended);
  });
}

/** Connects to the first that can be reached. @param done is told of the descriptor, or of the first one's error */
function dial(
  carrier: Pick<Carrier, "sockets" | "loop">,
  [first, ...others]: readonly Endpoint[],
  done: (result: number) => void,
): void {
  const { sockets, loop } = carrier;
  const failed = (problem: number) => {
    if (others.length === 0) return done(problem);
    dial(carrier, others, (result) => done(result < 0 ? problem : result));
  };
  const fd = sockets.connect(first!);
  if (fd < 0) return failed(fd);
  const watched = loop.watch(fd, events.write, () => {
    const problem = sockets.problem(fd);
    loop.forget(fd);
    if (problem !== 0) {
      sockets.close(fd);
      failed(-problem);
    } else {
      sockets.sendAtOnce(fd);
      done(fd);
    }
    return false;
  });
  if (watched < 0) {
    loop.forget(fd);
    sockets.close(fd);
    failed(watched);
  }
}

function nameOf(problem: number): string {
  return builtin<typeof Util>("node:util").getSystemErrorName(-problem);
}
