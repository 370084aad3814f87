import type { ListenAt, Listening, ListenLimits, Serve, Unheard } from "../../plan/world.ts";

/** The first line from a client, or the reason why there is none. */
type Heard = { readonly line: string } | { readonly unheard: Unheard };

/**
 * Serves clients of a unix socket with Deno's own API. Sockets of Deno's Node layer lack close-on-exec (seen in 2.9.5,
 * not in 2.0), so every program we run would inherit the sockets of all users.
 */
export function listen(at: ListenAt, limits: ListenLimits, serve: Serve): Promise<Listening> {
  if (!("path" in at)) return Promise.reject(new Error("Cannot listen on a descriptor: Deno has no way to"));
  const umask = Deno.umask(0o177);
  try {
    const listener = Deno.listen({ transport: "unix", path: at.path });
    const listening = { open: true };
    void acceptAll(listener, listening, limits, serve);
    return Promise.resolve({
      close: () => {
        listening.open = false;
        listener.close();
      },
    });
  } catch (error) {
    return Promise.reject(error);
  } finally {
    Deno.umask(umask);
  }
}

async function acceptAll(
  listener: Deno.UnixListener,
  listening: { readonly open: boolean },
  limits: ListenLimits,
  serve: Serve,
): Promise<void> {
  let connections = 0;
  while (listening.open) {
    try {
      const connection = await listener.accept();
      const crowded = connections++ >= limits.most;
      // An error with one client must not end the service.
      void converse(connection, crowded, limits, serve).catch(() => {}).finally(() => {
        connections--;
        connection.close();
      });
    } catch {
      // An accept that fails for lack of descriptors must not end the service. The connection is still pending, so we
      // wait before the next try.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function converse(
  connection: Deno.UnixConn,
  crowded: boolean,
  limits: ListenLimits,
  serve: Serve,
): Promise<void> {
  const heard = crowded ? { unheard: "too many" } as const : await hear(connection, limits);
  const { answer, undelivered } = await serve(heard);
  const delivered = await within(limits.timeoutMs, say(connection, answer), false);
  if (!delivered) await undelivered?.();
}

/** Writes a text. Returns false if the client has gone. */
async function say(connection: Deno.UnixConn, text: string): Promise<boolean> {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
    return true;
  } catch {
    return false;
  }
}

function hear(connection: Deno.UnixConn, { longest, timeoutMs }: ListenLimits): Promise<Heard> {
  const late: Heard = { unheard: "too late" };
  return within(
    timeoutMs,
    firstLine(connection, longest).catch(() => ({ unheard: "nothing" } as const)),
    late,
  );
}

/** The first line, with or without a newline. */
async function firstLine(connection: Deno.UnixConn, longest: number): Promise<Heard> {
  const [bytes, decoder] = [new Uint8Array(longest + 1), new TextDecoder()];
  for (let size = 0; size <= longest;) {
    const read = await connection.read(bytes.subarray(size));
    const end = read === null ? size : bytes.indexOf(10);
    if (read === null && size === 0) return { unheard: "nothing" };
    if (read === null || (end >= 0 && end < size + read)) {
      return { line: decoder.decode(bytes.subarray(0, end)) };
    }
    size += read;
  }
  return { unheard: "too long" };
}

/** The value of a promise, or `otherwise` after a time limit. */
async function within<T>(milliseconds: number, promise: Promise<T>, otherwise: T): Promise<T> {
  let timer;
  const late = new Promise<T>((resolve) => timer = setTimeout(() => resolve(otherwise), milliseconds));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
