import type * as Net from "node:net";
import { proxyHeader, type ProxyVersion } from "../../net/proxy_protocol.ts";
import { builtin } from "../node/builtin.ts";
import { breakOff, join } from "./join.ts";
import { listenWithRoom } from "./listening.ts";
import { type Common, type Forward, isForeign, type Request } from "./port.ts";

/**
 * Forwards connections.
 * @param opened listens on the port
 * @param again requests a server like it, for `goOn`, after it had to be closed
 */
export function forwardConnections(
  opened: Net.Server,
  { request, room, log, again }: Common & { again(): void },
): Forward {
  const [tellCrowd, tell] = [newsOnly(log), newsOnly(log)];
  let goOn = (_: Net.Server) => {};
  let first: Net.Server | undefined = opened;
  const open = (serve: (client: Net.Socket) => void) =>
    new Promise<Net.Server>((resolve) => {
      // Keep-alive detects a client that has gone without closing.
      const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60 };
      goOn = (server) => resolve(Object.assign(server, options).on("connection", serve));
      if (first) goOn(first);
      else again();
      first = undefined;
    });
  const serve = (client: Net.Socket) => {
    const ended = () => room.give(1);
    client.on("close", ended);
    if (!request.ipv6_only || !isForeign(client.remoteAddress)) {
      return void carry(request, client, tell).then(ended);
    }
    ended();
    breakOff(client);
  };
  const listening = listenWithRoom({ open, room, serve, tell: tellCrowd });
  return { close: () => void listening.then((forward) => forward.close()), goOn: (server) => goOn(server) };
}

/** Resolves when the connection to the container is over, or if there is none. */
async function carry(
  { guest_addr, guest_addr6, guest_port: port, proxy_protocol }: Request,
  client: Net.Socket,
  tell: (problem: string | undefined) => void,
): Promise<void> {
  const header = proxy_protocol && headerOf(proxy_protocol, client);
  const within = await dial(guest_addr6 === undefined ? [guest_addr] : [guest_addr, guest_addr6], port);
  const isReached = typeof within !== "string";
  tell(isReached ? undefined : `cannot reach port ${port}: ${within}`);
  if (!isReached) return breakOff(client);
  if (header) within.write(header);
  join(client, within);
  return new Promise((resolve) => void within.on("close", () => resolve()));
}

/** Undefined for a client that has gone. */
function headerOf(
  version: ProxyVersion,
  { remoteAddress, remotePort, localAddress, localPort }: Net.Socket,
): Uint8Array | undefined {
  if (remoteAddress === undefined || localAddress === undefined) return;
  const [client, server] = [{ address: remoteAddress, port: remotePort! }, {
    address: localAddress,
    port: localPort!,
  }];
  return proxyHeader(version, client, server);
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
  const socket = builtin<typeof Net>("node:net").connect({ host, port, allowHalfOpen: true, noDelay: true });
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket));
    socket.on("error", (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message));
  });
}

/** Reports a problem when it begins, and again only after it has been over. */
export function newsOnly(log: (line: string) => void): (problem: string | undefined) => void {
  let last: string | undefined;
  return (problem) => {
    if (problem !== undefined && problem !== last) log(problem);
    last = problem;
  };
}
