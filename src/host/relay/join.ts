import type { Socket } from "node:net";

/**
 * Copies data between two sockets in both directions, at the receiver's speed, and passes on the end of each direction
 * separately. If one socket breaks, the other is broken off too.
 */
export function join(a: Socket, b: Socket): void {
  lead(a, b);
  lead(b, a);
}

function lead(from: Socket, to: Socket): void {
  from.on("error", () => {}).on("close", (broken) => {
    // After a proper end, the end has already been passed on.
    if (broken || !from.readableEnded) breakOff(to);
  });
  if (from.destroyed) breakOff(to);
  else from.pipe(to);
}

/** Closes a socket so that its peer sees an error instead of a proper end, if that is possible. */
export function breakOff(socket: Socket): void {
  if (socket.destroyed) return;
  // It is not possible for a unix socket.
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
