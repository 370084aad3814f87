import type * as Net from "node:net";
import { builtin } from "../node/builtin.ts";

/** The longest request in bytes. */
const longestRequest = 4096;

/**
 * Listens on a unix socket, and answers as slirp4netns does: one JSON request per connection, at whose end the client
 * closes its side.
 * @param answered is called after each answer, when the connection is closed: the client waits for that
 * @throws Error if it cannot listen
 */
export function serveRequests(
  path: string,
  answer: (text: string) => Promise<unknown>,
  answered: () => void = () => {},
): Promise<void> {
  const server = builtin<typeof Net>("node:net").createServer({ allowHalfOpen: true }, (socket) => {
    let text = "";
    socket.on("error", () => {}).setEncoding("utf8");
    socket.on("data", (part: string) => {
      text += part;
      if (text.length > longestRequest) socket.destroy();
    });
    socket.on("close", answered);
    socket.on("end", async () => socket.end(JSON.stringify(await answer(text))));
  });
  return new Promise((resolve, reject) => void server.on("error", reject).listen({ path }, resolve));
}
