import type * as Net from "node:net";
import { proxyHeader, type ProxyVersion } from "../../net/proxy_protocol.ts";
import { builtin } from "../node.ts";
import { onDeno } from "../runtime.ts";
import { forwardDatagrams } from "./datagrams.ts";
import type { Destination } from "./inside.ts";
import { breakOff, join } from "./join.ts";
import { firstLine } from "./line.ts";

/** What is asked for, in slirp4netns's words (slirp4netns(1), API) and a few more. */
export interface Request {
  readonly proto: "tcp" | "udp";
  /** `::` is IPv4's addresses too, unless `ipv6_only`. */
  readonly host_addr: string;
  readonly ipv6_only?: boolean;
  readonly host_port: number;
  readonly guest_addr: string;
  /** Where nobody listens on the other. */
  readonly guest_addr6?: string;
  readonly guest_port: number;
  readonly proxy_protocol?: ProxyVersion;
}

/** A port that is listened on. */
export interface Forward {
  /** Those who are connected stay so. */
  close(): void;
}

/** What all ports have in common. */
export interface Common {
  /** Path of the socket that `relayInside` listens on. */
  readonly inside: string;
  /** The most connections at once. */
  readonly most: number;
  log(line: string): void;
}

/** Listens for connections or datagrams. @throws Error when it cannot */
export function forward(common: Common, request: Request): Promise<Forward> {
  return request.proto === "tcp" ? forwardConnections(common, request) : forwardDatagrams(common, request);
}

/** The first line that the inside is told. */
export function destinationLine({ proto, guest_addr, guest_addr6, guest_port }: Request): string {
  const hosts = guest_addr6 === undefined ? [guest_addr] : [guest_addr, guest_addr6];
  const destination: Destination = { proto, hosts, port: guest_port };
  return `${JSON.stringify(destination)}\n`;
}

/** Deno listens on `::` for both families, whatever it is told. */
export function refusal(error: NodeJS.ErrnoException, { ipv6_only }: Request): Error {
  if (error.code !== "EADDRINUSE" || !ipv6_only || !onDeno) return error;
  return new Error(
    `${error.message}; with Deno, for whom :: is IPv4's addresses too, name an IPv6 address of the host's`,
  );
}

/** So whom it lets in may be of the other family. */
export function isForeign({ ipv6_only }: Request, address: string | undefined): boolean {
  return ipv6_only === true && address !== undefined && address.startsWith("::ffff:");
}

let connections = 0;

function forwardConnections(common: Common, request: Request): Promise<Forward> {
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
