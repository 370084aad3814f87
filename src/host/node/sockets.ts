import type * as Net from "node:net";
import {
  type ListenAt,
  type Listening,
  type ListenLimits,
  noAnswer,
  type RequestOptions,
  type Serve,
  type Unheard,
  usualTimeoutSeconds,
} from "../../plan/world.ts";
import { builtin, codeOf } from "./builtin.ts";

/** See `World.hasAddress`. */
export function hasAddress(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = builtin<typeof Net>("node:net").createServer();
    server.on("error", () => resolve(false));
    server.listen({ host, port: 0, ipv6Only: host.includes(":") }, () => server.close(() => resolve(true)));
  });
}

/** See `World.request`. */
export async function request(socket: string, text: string, options: RequestOptions = {}): Promise<string> {
  try {
    return await exchange(socket, text, options);
  } catch (error) {
    // See deno/sockets.ts.
    if (codeOf(error) !== "EPIPE") throw error;
    return await exchange(socket, text, options);
  }
}

function exchange(
  socket: string,
  text: string,
  { timeoutSeconds = usualTimeoutSeconds }: RequestOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const connection = builtin<typeof Net>("node:net").connect({ path: socket, allowHalfOpen: true });
    const timer = setTimeout(() => connection.destroy(noAnswer(timeoutSeconds)), timeoutSeconds * 1000);
    connection.setEncoding("utf8").on("data", (part: string) => answer += part);
    connection.on("error", reject).on("close", () => clearTimeout(timer));
    connection.on("end", () => {
      connection.end();
      resolve(answer);
    });
    connection.end(text);
  });
}

/** See `World.listen`. */
export function listen(at: ListenAt, limits: ListenLimits, serve: Serve): Promise<Listening> {
  const open = new Set<Net.Socket>();
  const server = builtin<typeof Net>("node:net").createServer({ allowHalfOpen: true }, (socket) => {
    const crowded = open.size >= limits.most;
    open.add(socket.on("close", () => open.delete(socket)).on("error", () => {}));
    const hearing = crowded ? Promise.resolve("too many" as const) : hear(socket, limits);
    // Whatever goes wrong with one of them must not end us.
    converse(socket, hearing, limits, serve).catch(() => socket.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const umask = process.umask(0o177);
    server.listen("path" in at ? { path: at.path } : { fd: at.descriptor }, () => {
      // One that cannot be accepted, for want of descriptors, must not end us.
      server.on("error", () => {});
      resolve({ close: () => void server.close() });
    });
    process.umask(umask);
  });
}

async function converse(
  socket: Net.Socket,
  hearing: Promise<Unheard | { readonly line: string }>,
  { timeoutMs }: ListenLimits,
  serve: Serve,
): Promise<void> {
  const heard = await hearing;
  const { answer, undelivered } = await serve(typeof heard === "string" ? { unheard: heard } : heard);
  let timer;
  const delivered = await new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
    socket.once("error", () => resolve(false)).once("close", () => resolve(false));
    if (socket.destroyed) resolve(false);
    else socket.end(answer, () => resolve(!socket.errored));
  });
  clearTimeout(timer);
  socket.destroy();
  if (!delivered) await undelivered?.();
}

/** The first line that comes, with or without its end. */
function hear(
  socket: Net.Socket,
  { longest, timeoutMs }: ListenLimits,
): Promise<Unheard | { readonly line: string }> {
  const parts: Uint8Array[] = [];
  let size = 0;
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle("too late"), timeoutMs);
    const settle = (heard: Unheard | { readonly line: string }) => {
      clearTimeout(timer);
      socket.removeAllListeners("data").pause();
      resolve(heard);
    };
    const whole = () => {
      const decoder = new TextDecoder();
      return parts.map((part) => decoder.decode(part, { stream: true })).join("").split("\n")[0]!;
    };
    socket.on("data", (part: Uint8Array) => {
      parts.push(part);
      size += part.length;
      if (size > longest) settle("too long");
      else if (part.includes(10)) settle({ line: whole() });
    });
    socket.once("end", () => settle(size > 0 ? { line: whole() } : "nothing"));
    socket.once("close", () => settle("nothing"));
  });
}
