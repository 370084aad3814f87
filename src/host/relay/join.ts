import type { Socket } from "node:net";

/**
 * Leads what each of two sockets says to the other, as fast as that takes it, and its end as well: one that has said all
 * may still listen. What breaks one breaks the other.
 */
export function join(a: Socket, b: Socket): void {
  lead(a, b);
  lead(b, a);
}

function lead(from: Socket, to: Socket): void {
  from.on("error", () => {}).on("close", (broken) => {
    // One that closes in order has said its end, and that is on its way.
    if (broken || !from.readableEnded) breakOff(to);
  });
  if (from.destroyed) breakOff(to);
  else from.pipe(to);
}

/** Closes a socket so that its other end does not take it for a proper end, where that can be told. */
export function breakOff(socket: Socket): void {
  if (socket.destroyed) return;
  // Of a unix socket it cannot.
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
