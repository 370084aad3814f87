import type * as Net from "node:net";
import { builtin, codeOf } from "./builtin.ts";

/** See `World.canListen`. */
export function canListen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = builtin<typeof Net>("node:net").createServer();
    server.on("error", (error) => resolve(codeOf(error) !== "EADDRINUSE"));
    server.listen({ host, port, ipv6Only: host.includes(":") }, () => server.close(() => resolve(true)));
  });
}
