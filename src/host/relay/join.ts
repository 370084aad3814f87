import type { Socket } from "node:net";

/** In bytes: when more waits to be written, no more is read. A part may have 64 KiB, and one more should be there. */
const mostWaiting = 1 << 17;

/**
 * Copies data between two sockets in both directions, at the receiver's speed, and passes on the end of each direction
 * separately. If one socket breaks, the other is broken off too, once it has what the first had received.
 */
export function join(a: Socket, b: Socket): void {
  keepReading(a);
  keepReading(b);
  lead(a, b);
  lead(b, a);
}

function lead(from: Socket, to: Socket): void {
  from.on("error", () => {}).on("close", (broken) => {
    // After a proper end, the end has already been passed on.
    if (broken || !from.readableEnded) breakOffWritten(to);
  });
  if (from.destroyed) return breakOff(to);
  // pipe() does the same with more work for each part.
  from.on("data", (part) => {
    if (!to.write(part) && to.writableLength > mostWaiting) from.pause();
  });
  from.on("end", () => failed.has(from) ? breakOffWritten(to) : to.end());
  to.on("drain", () => from.resume());
  if (!to.writableNeedDrain) from.resume();
}

/** Sockets to which a write has failed. */
const failed = new WeakSet<Socket>();

/**
 * A failed write would destroy the socket, and with it what it has received and nothing has read: the answer of a server
 * that closes before it has read the whole request. So what cannot be written is dropped, as long as there is more to read.
 */
function keepReading(socket: Socket): void {
  const { _write, _writev } = socket;
  const kept = (done: (error?: Error | null) => void) => (error?: Error | null) => {
    if (!error) return done();
    failed.add(socket);
    done(socket.readableEnded ? error : null);
  };
  socket._write = (part, encoding, done) => _write.call(socket, part, encoding, kept(done));
  socket._writev = (parts, done) => _writev!.call(socket, parts, kept(done));
}

/** Breaks a socket off once all has been written to it. */
function breakOffWritten(socket: Socket): void {
  if (socket.destroyed || socket.writableLength === 0) return breakOff(socket);
  if (socket.writableEnded) socket.once("finish", () => breakOff(socket));
  else socket.write("", () => breakOff(socket));
}

/** Closes a socket so that its peer sees an error instead of a proper end, if that is possible. */
export function breakOff(socket: Socket): void {
  if (socket.destroyed) return;
  // It is not possible for a unix socket.
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
