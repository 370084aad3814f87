import { eagain, events, type Sockets } from "../deno/libc_sockets.ts";
import type { Loop } from "./loop.ts";
import type { Room } from "./room.ts";

/** What carries connections. */
export interface Carrier {
  readonly sockets: Sockets;
  readonly loop: Loop;
  readonly room: Room;
  /** Pipes that are not in use. They stay counted. */
  readonly pipes: (readonly [read: number, write: number])[];
}

/** One direction of a connection. */
interface Lane {
  readonly from: number;
  readonly to: number;
  /** What was read and could not be written yet. */
  rest?: Uint8Array<ArrayBuffer> | undefined;
  pipe?: readonly [read: number, write: number] | undefined;
  /** Bytes in the pipe. */
  piped: number;
  /** Much comes at a time, which the kernel is to move by itself. */
  isBulk: boolean;
  /** A read that got little is not the last: the sender may have ended, or has sent urgent data, at which a read stops. */
  needsAnotherRead: boolean;
  /** The sender uses urgent data (tcp(7)), at which splice(2) stops for good. */
  hasUrgent: boolean;
  /** A write failed: what still comes is dropped. */
  isLost: boolean;
  end: "none" | "read" | "passed on" | "broken";
}

/** Parts that are read before other connections get their turn. */
const partsAtOnce = 4;
/** Pipes that are kept for later. */
const spare = 16;

const buffer = new Uint8Array(1 << 16);

const { edge, read, urgent, write, peerEnded, hangup, error } = events;

/** What is watched of a connected socket. */
const changes = edge | read | urgent | write | peerEnded;

/**
 * Copies data between two connected sockets in both directions, as `join` does. What comes in large parts the kernel moves
 * by itself.
 * @param header is sent to the second before what the first sends
 * @param ended is called when both are closed
 */
export function carry(
  carrier: Carrier,
  [a, b]: readonly [number, number],
  header: Uint8Array<ArrayBuffer> | undefined,
  ended: () => void,
): void {
  const { loop, sockets } = carrier;
  const lanes = [newLane(a, b, header), newLane(b, a)] as const;
  const finish = (close: (fd: number) => void) => {
    for (const fd of [a, b]) {
      loop.forget(fd);
      close(fd);
    }
    lanes.forEach((lane) => putPipe(carrier, lane));
    ended();
    return false;
  };
  const tell = (fd: number) => (now: number) => {
    let isUnfinished = false;
    for (const [i, lane] of lanes.entries()) {
      if (lane.from === fd) heed(lane, now);
      const state = isConcerned(lane, fd, now) ? pump(carrier, lane, lanes[1 - i]!) : "waits";
      if (state === "broken") return finish(sockets.reset);
      if (state === "unfinished") isUnfinished = true;
    }
    if (lanes.every(({ end }) => end === "passed on")) return finish(sockets.close);
    return isUnfinished;
  };
  for (const fd of [a, b]) {
    sockets.keepUrgent(fd);
    if (loop.watch(fd, changes, tell(fd)) < 0) return void finish(sockets.reset);
  }
}

function newLane(from: number, to: number, rest?: Uint8Array<ArrayBuffer>): Lane {
  const state = {
    isBulk: false,
    needsAnotherRead: false,
    hasUrgent: false,
    isLost: false,
    end: "none",
  } as const;
  return { from, to, rest, piped: 0, ...state };
}

/** Notes what an event says of how to read. */
function heed(lane: Lane, now: number): void {
  if (now & urgent) lane.hasUrgent = true;
  if (now & (urgent | peerEnded | hangup | error)) lane.needsAnotherRead = true;
}

/** Nearly every event says that a socket can be written to: that concerns only what waits for it. */
function isConcerned({ from, rest, piped }: Lane, fd: number, now: number): boolean {
  if (from === fd) return now !== write;
  return rest !== undefined || piped > 0 || now === 0 || (now & (hangup | error)) !== 0;
}

/** Moves what there is. */
function pump(carrier: Carrier, lane: Lane, reverse: Lane): "waits" | "unfinished" | "broken" {
  for (let part = 0; part < partsAtOnce; part++) {
    const isFlushed = flush(carrier, lane);
    // To a socket that cannot be written to, and from which nothing comes any more, there is no way.
    if (lane.isLost && reverse.end !== "none") return "broken";
    if (!isFlushed) return "waits";
    switch (lane.end) {
      case "broken":
        return "broken";
      case "read":
        if (reverse.isLost) return "broken";
        carrier.sockets.end(lane.to);
        lane.end = "passed on";
        return "waits";
      case "passed on":
        return "waits";
    }
    const count = readPart(carrier, lane);
    if (count === -eagain) {
      putPipe(carrier, lane);
      return "waits";
    }
    if (count <= 0) lane.end = count === 0 ? "read" : "broken";
    else if (isAll(lane, count)) return "waits";
  }
  return "unfinished";
}

/** Whether there was no more to read, so that the next part is an event. Into a pipe less may fit than there is. */
function isAll({ isBulk, isLost, needsAnotherRead, rest, piped }: Lane, count: number): boolean {
  return !isBulk && !isLost && !needsAnotherRead && rest === undefined && piped === 0 &&
    count < buffer.length;
}

/** Writes what waits. @returns whether nothing waits any more */
function flush(carrier: Carrier, lane: Lane): boolean {
  const { sockets } = carrier;
  while (lane.rest) {
    const count = sockets.send(lane.to, lane.rest);
    if (count === -eagain) return false;
    if (count < 0) lose(carrier, lane);
    else lane.rest = count < lane.rest.length ? lane.rest.subarray(count) : undefined;
  }
  while (lane.piped > 0) {
    const count = sockets.splice(lane.pipe![0], lane.to, lane.piped);
    if (count === -eagain) return false;
    if (count <= 0) lose(carrier, lane);
    else lane.piped -= count;
  }
  return true;
}

function lose(carrier: Carrier, lane: Lane): void {
  lane.isLost = true;
  lane.rest = undefined;
  putPipe(carrier, lane);
}

/** Reads a part, and writes it as far as it can be written. @returns its bytes, 0 at the end, or an error */
function readPart(carrier: Carrier, lane: Lane): number {
  const { sockets } = carrier;
  if (lane.isBulk && !lane.hasUrgent && !lane.isLost && takePipe(carrier, lane)) {
    const count = sockets.splice(lane.from, lane.pipe![1]);
    if (count > 0) lane.piped += count;
    lane.isBulk = count >= buffer.length >> 2 || count === -eagain;
    return count;
  }
  const count = sockets.receive(lane.from, buffer);
  lane.isBulk = count === buffer.length;
  if (count <= 0 || lane.isLost) return count;
  const sent = sockets.send(lane.to, count === buffer.length ? buffer : buffer.subarray(0, count));
  if (sent < 0 && sent !== -eagain) lose(carrier, lane);
  else if (sent < count) lane.rest = buffer.slice(Math.max(0, sent), count);
  return count;
}

/** Has a pipe ready. @returns false where there is no room for one */
function takePipe({ sockets, room, pipes }: Carrier, lane: Lane): boolean {
  lane.pipe ??= pipes.pop();
  if (lane.pipe || !room.take(2)) return lane.pipe !== undefined;
  lane.pipe = sockets.pipe();
  if (!lane.pipe) room.give(2);
  return lane.pipe !== undefined;
}

/** Keeps an empty pipe for later, and closes any other. */
function putPipe({ sockets, room, pipes }: Carrier, lane: Lane): void {
  if (!lane.pipe) return;
  if (lane.piped === 0 && pipes.length < spare) pipes.push(lane.pipe);
  else {
    lane.pipe.forEach(sockets.close);
    room.give(2);
  }
  lane.pipe = undefined;
  lane.piped = 0;
}
