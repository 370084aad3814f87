import type * as Net from "node:net";
import { proxyHeader } from "../../net/proxy_protocol.ts";
import { builtin } from "../node.ts";
import { breakOff, join } from "./join.ts";
import { firstLine } from "./line.ts";
import { type Common, destinationLine, type Forward, isForeign, refusal, type Request } from "./port.ts";

let connections = 0;

/** Forwards connections. @throws Error when the port cannot be had */
export function forwardConnections(common: Common, request: Request): Promise<Forward> {
  const [tellCrowd, tell] = [newsOnly(common.log), newsOnly(common.log)];
  const server = builtin<typeof Net>("node:net").createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => {});
    const crowded = connections >= common.most;
    tellCrowd(crowded ? `there are ${common.most} connections already` : undefined);
    if (crowded || isForeign(request, client.remoteAddress)) return breakOff(client);
    connections++;
    client.on("close", () => connections--);
    void carry(common, request, client, tell);
  });
  const { host_addr: host, host_port: port, ipv6_only: ipv6Only } = request;
  return new Promise((resolve, reject) => {
    const refuse = (error: Error) => reject(refusal(error, request));
    server.once("error", refuse);
    server.listen({ host, port, ipv6Only }, () => {
      // One that could not be accepted, for want of descriptors, ends nothing.
      server.off("error", refuse).on("error", (error) => tell(error.message));
      resolve({ close: () => void server.close() });
    });
  });
}

async function carry(
  { inside }: Common,
  request: Request,
  client: Net.Socket,
  tell: (problem: string | undefined) => void,
): Promise<void> {
  // A client that is gone without a word is found out, and lets go.
  client.setNoDelay(true).setKeepAlive(true, 60_000);
  const { remoteAddress, remotePort, localAddress, localPort } = client;
  if (remoteAddress === undefined || localAddress === undefined) return void client.destroy();
  const within = builtin<typeof Net>("node:net").connect({ path: inside, allowHalfOpen: true });
  within.on("error", () => {});
  within.write(destinationLine(request));
  if (request.proxy_protocol) {
    const ends = [
      { address: remoteAddress, port: remotePort! },
      { address: localAddress, port: localPort! },
    ] as const;
    within.write(proxyHeader(request.proxy_protocol, ...ends));
  }
  const answer = await firstLine(within);
  tell(answer === "" ? undefined : `cannot reach port ${request.guest_port}: ${answer ?? "nobody answers"}`);
  if (answer === "") return join(client, within);
  within.destroy();
  breakOff(client);
}

/** Tells a problem when it begins, and not again before it has been over. */
function newsOnly(log: (line: string) => void): (problem: string | undefined) => void {
  let last: string | undefined;
  return (problem) => {
    if (problem !== undefined && problem !== last) log(problem);
    last = problem;
  };
}
