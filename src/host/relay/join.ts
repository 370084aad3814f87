import type { Socket } from "node:net";

/**
 * Copies data between two sockets in both directions, at the receiver's speed, and passes on the end of each direction
 * separately. If one socket breaks, the other is broken off too, once it has what the first had received.
 */
export function join(a: Socket, b: Socket): void {
  lead(a, b);
  lead(b, a);
}

function lead(from: Socket, to: Socket): void {
  const isBroken = keepReading(from);
  from.on("error", () => {}).on("close", (broken) => {
    // After a proper end, the end has already been passed on.
    if (broken || !from.readableEnded) breakOff(to);
  });
  from.on("end", () => isBroken() && breakOff(to));
  if (from.destroyed) breakOff(to);
  else from.pipe(to);
}

/**
 * A failed write would destroy the socket, and with it what it has received and nothing has read: the answer of a server
 * that closes before it has read the whole request. So what cannot be written is dropped, as long as there is more to read.
 * @returns whether a write has failed
 */
function keepReading(socket: Socket): () => boolean {
  let broken = false;
  for (const name of ["_write", "_writev"] as const) {
    const write = socket[name] as (...args: unknown[]) => void;
    socket[name] = (...args: unknown[]) => {
      const done = args.pop() as (error?: Error | null) => void;
      write.call(socket, ...args, (error?: Error | null) => {
        broken ||= !!error;
        done(socket.readableEnded ? error : null);
      });
    };
  }
  return () => broken;
}

/** Closes a socket so that its peer sees an error instead of a proper end, if that is possible. */
export function breakOff(socket: Socket): void {
  if (socket.destroyed) return;
  // It is not possible for a unix socket.
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
