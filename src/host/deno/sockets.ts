import { noAnswer, type RequestOptions, usualTimeoutSeconds } from "../../plan/world.ts";

/** See `World.hasAddress`. */
export function hasAddress(hostname: string): Promise<boolean> {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return Promise.resolve(true);
  } catch {
    return Promise.resolve(false);
  }
}

/** See `World.request`. */
export async function request(
  socket: string,
  text: string,
  options: RequestOptions = {},
): Promise<string> {
  try {
    return await exchange(socket, text, options);
  } catch (error) {
    // On a busy machine we may have connected long before we write. A service that did not wait has heard nothing.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    return await exchange(socket, text, options);
  }
}

async function exchange(
  socket: string,
  text: string,
  { timeoutSeconds = usualTimeoutSeconds }: RequestOptions,
): Promise<string> {
  const connection = await Deno.connect({ transport: "unix", path: socket });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(noAnswer(timeoutSeconds));
      connection.close();
    }, timeoutSeconds * 1000);
  });
  try {
    return await Promise.race([converse(connection, text), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function converse(connection: Deno.UnixConn, text: string): Promise<string> {
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}
