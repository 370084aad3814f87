import type * as Net from "node:net";
import { proxyHeader } from "../../net/proxy_protocol.ts";
import { builtin } from "../node/builtin.ts";
import { breakOff, join } from "./join.ts";
import { firstLine } from "./line.ts";
import { listenWithRoom } from "./listening.ts";
import { type Common, destinationLine, type Forward, isForeign, refusal, type Request } from "./port.ts";

/** Forwards connections. @throws Error if the port cannot be listened on */
export async function forwardConnections(common: Common, request: Request): Promise<Forward> {
  const [tellCrowd, tell] = [newsOnly(common.log), newsOnly(common.log)];
  const { room } = common;
  const { host_addr: host, host_port: port, ipv6_only: ipv6Only } = request;
  const serve = (client: Net.Socket) => {
    client.on("close", () => room.give(1));
    if (!isForeign(request, client.remoteAddress)) return void carry(common, request, client, tell);
    room.give(1);
    breakOff(client);
  };
  try {
    return await listenWithRoom({ at: { host, port, ipv6Only }, room, serve, tell: tellCrowd });
  } catch (error) {
    throw refusal(error as Error, request);
  }
}

async function carry(
  { inside, room }: Common,
  request: Request,
  client: Net.Socket,
  tell: (problem: string | undefined) => void,
): Promise<void> {
  // Keep-alive detects a client that has gone without closing.
  client.setNoDelay(true).setKeepAlive(true, 60_000);
  const { remoteAddress, remotePort, localAddress, localPort } = client;
  if (remoteAddress === undefined || localAddress === undefined) {
    room.give(1);
    return void client.destroy();
  }
  const within = builtin<typeof Net>("node:net").connect({ path: inside, allowHalfOpen: true });
  within.on("error", () => {}).on("close", () => room.give(1));
  within.write(destinationLine(request));
  if (request.proxy_protocol) {
    const ends = [
      { address: remoteAddress, port: remotePort! },
      { address: localAddress, port: localPort! },
    ] as const;
    within.write(proxyHeader(request.proxy_protocol, ...ends));
  }
  const answer = await firstLine(within);
  tell(
    answer === "" ? undefined : `cannot reach port ${request.guest_port}: ${answer ?? "no process answers"}`,
  );
  if (answer === "") return join(client, within);
  within.destroy();
  breakOff(client);
}

/** Reports a problem when it begins, and again only after it has been over. */
function newsOnly(log: (line: string) => void): (problem: string | undefined) => void {
  let last: string | undefined;
  return (problem) => {
    if (problem !== undefined && problem !== last) log(problem);
    last = problem;
  };
}
