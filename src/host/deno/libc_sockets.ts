/**
 * Sockets by descriptor, through the C library: Deno's own API copies all that passes into JavaScript. The numbers are those of
 * Linux on x86-64 and ARM64, which are all that Deno runs on.
 */
import { fromNumber, toNumber } from "../../net/address.ts";
import type { Endpoint } from "../../net/proxy_protocol.ts";
import { libcNames } from "./libc.ts";

const [i32, u32, buffer, pointer] = ["i32", "u32", "buffer", "pointer"] as const;

const symbols = {
  __errno_location: { parameters: [], result: pointer },
  accept4: { parameters: [i32, buffer, buffer, i32], result: i32 },
  close: { parameters: [i32], result: i32 },
  connect: { parameters: [i32, buffer, u32], result: i32 },
  epoll_create1: { parameters: [i32], result: i32 },
  epoll_ctl: { parameters: [i32, i32, i32, buffer], result: i32 },
  epoll_wait: { parameters: [i32, buffer, i32, i32], result: i32 },
  fcntl: { parameters: [i32, i32, i32], result: i32 },
  getsockname: { parameters: [i32, buffer, buffer], result: i32 },
  getsockopt: { parameters: [i32, i32, i32, buffer, buffer], result: i32 },
  pipe2: { parameters: [buffer, i32], result: i32 },
  ppoll: { parameters: [buffer, "u64", buffer, pointer], result: i32 },
  recv: { parameters: [i32, buffer, u32, i32], result: i32 },
  send: { parameters: [i32, buffer, u32, i32], result: i32 },
  setsockopt: { parameters: [i32, i32, i32, buffer, u32], result: i32 },
  shutdown: { parameters: [i32, i32], result: i32 },
  socket: { parameters: [i32, i32, i32], result: i32 },
  splice: { parameters: [i32, pointer, i32, pointer, u32, u32], result: i32 },
} as const;

const waiting = { epoll_wait: { ...symbols.epoll_wait, nonblocking: true } } as const;

/** Error numbers, which calls return as negative numbers, as the kernel does. */
export const [eagain, einprogress] = [11, 115];
/** What a descriptor is ready for (epoll_ctl(2)); `edge` reports a change only. */
export const events = {
  ...{ read: 1, urgent: 2, write: 4, error: 8, hangup: 16, peerEnded: 0x2000 },
  edge: 1 << 31,
};

const [cloexec, nonBlocking, noSignal, dontWait] = [0o2000000, 0o4000, 0x4000, 0x40];
const [ipv4, ipv6, stream, tcp] = [2, 10, 1, 6];
const pipeSize = 1031;
/** Bytes: the most that a user may give a pipe (/proc/sys/fs/pipe-max-size). */
const wholePipe = 1 << 20;
/** Nanoseconds: how long a moment is, for which `moment` waits. */
const aMoment = 250_000n;
const mostEvents = 256;

export type Sockets = ReturnType<typeof wrap>;

/** @returns undefined where the C library cannot be called */
export function openSockets(): Sockets | undefined {
  for (const name of libcNames()) {
    try {
      return wrap(Deno.dlopen(name, symbols).symbols, Deno.dlopen(name, waiting).symbols);
    } catch { /* Then by the next one. */ }
  }
  return undefined;
}

type Libc = Deno.StaticForeignLibraryInterface<typeof symbols>;
type Waiting = Deno.StaticForeignLibraryInterface<typeof waiting>;
/** The result of a call, or its error as a negative number. */
type Done = (result: number) => number;

function wrap(libc: Libc, { epoll_wait }: Waiting) {
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(libc.__errno_location()!, 4));
  const done: Done = (result) => result < 0 ? -errno[0]! : result;
  return {
    ...connections(libc, done),
    ...options(libc),
    ...data(libc, done),
    ...readiness(libc, epoll_wait, done),
  };
}

function bytes(view: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer);
}

function connections(libc: Libc, done: Done) {
  const [name, length] = [new Uint8Array(28), new Uint32Array(1)];
  const nameLength = () => {
    length[0] = name.length;
    return bytes(length);
  };
  return {
    /** A client, whose address `peer` then is. */
    accept: (fd: number) => done(libc.accept4(fd, name, nameLength(), cloexec | nonBlocking)),
    /** The client's address, after `accept`. */
    peer: () => endpointOf(name),
    local: (fd: number): Endpoint => {
      libc.getsockname(fd, name, nameLength());
      return endpointOf(name);
    },
    /** Begins to connect; once it can be written to, `problem` says how that ended. @returns a descriptor, or an error */
    connect: (to: Endpoint) => {
      const address = bytesOf(to);
      const fd = done(libc.socket(address[0]!, stream | cloexec | nonBlocking, 0));
      if (fd < 0) return fd;
      const result = done(libc.connect(fd, address, address.length));
      if (result === 0 || result === -einprogress) return fd;
      libc.close(fd);
      return result;
    },
    /** The error that a socket has met, as a number. */
    problem: (fd: number) => {
      const value = new Int32Array(1);
      length[0] = 4;
      const result = done(libc.getsockopt(fd, 1, 4, bytes(value), bytes(length)));
      return result < 0 ? -result : value[0]!;
    },
    close: (fd: number) => libc.close(fd),
    /** Tells the peer that no more comes. */
    end: (fd: number) => libc.shutdown(fd, 1),
  };
}

function options(libc: Libc) {
  const set = (fd: number, level: number, which: number, ...values: number[]) =>
    libc.setsockopt(fd, level, which, bytes(new Int32Array(values)), 4 * values.length);
  return {
    /** Small parts are sent at once. */
    sendAtOnce: (fd: number) => set(fd, tcp, 1, 1),
    /** Urgent data is received in its place among the other data. */
    keepUrgent: (fd: number) => set(fd, 1, 10, 1),
    /** Asks a peer that has said nothing for so many seconds whether it is still there. */
    keepAlive: (fd: number, seconds: number) => set(fd, 1, 9, 1) + set(fd, tcp, 4, seconds),
    /** Closes a socket so that its peer sees an error instead of a proper end. */
    reset: (fd: number) => {
      set(fd, 1, 13, 1, 0);
      return libc.close(fd);
    },
  };
}

function data(libc: Libc, done: Done) {
  return {
    receive: (fd: number, into: Uint8Array<ArrayBuffer>) => done(libc.recv(fd, into, into.length, dontWait)),
    send: (fd: number, what: Uint8Array<ArrayBuffer>) =>
      done(libc.send(fd, what, what.length, dontWait | noSignal)),
    /** Moves bytes between a socket and a pipe, or a pipe and a socket, within the kernel. */
    splice: (from: number, to: number, most = wholePipe) => done(libc.splice(from, null, to, null, most, 3)),
    /** @returns the two ends of a pipe, or undefined */
    pipe: (): readonly [read: number, write: number] | undefined => {
      const ends = new Int32Array(2);
      if (libc.pipe2(bytes(ends), cloexec | nonBlocking) < 0) return undefined;
      libc.fcntl(ends[1]!, pipeSize, wholePipe);
      return [ends[0]!, ends[1]!];
    },
  };
}

function readiness(libc: Libc, waitLong: Waiting["epoll_wait"], done: Done) {
  const poll = libc.epoll_create1(cloexec);
  // The kernel's struct epoll_event is packed on x86-64 alone.
  const [size, at] = Deno.build.arch === "x86_64" ? [12, 4] : [16, 8];
  const one = new DataView(new ArrayBuffer(size));
  const ready = new DataView(new ArrayBuffer(size * mostEvents));
  const [oneBytes, readyBytes] = [bytes(one), bytes(ready)];
  // struct pollfd, whose events are POLLIN.
  const polled = bytes(new Int32Array([poll, 1]));
  const moment = bytes(new BigInt64Array([0n, aMoment]));
  const control = (what: number, fd: number, wanted: number, key: number) => {
    one.setUint32(0, wanted, true);
    one.setUint32(at, key, true);
    return done(libc.epoll_ctl(poll, what, fd, oneBytes));
  };
  return {
    /** @param key what `readyOne` calls it, below 2^32 @returns a negative number if it cannot be watched */
    watch: (fd: number, wanted: number, key: number) => control(1, fd, wanted, key),
    unwatch: (fd: number) => control(2, fd, 0, 0),
    /** How many watched descriptors are ready now. @returns less than one for none */
    ready: () => libc.epoll_wait(poll, readyBytes, mostEvents, 0),
    /** The same, after having waited a moment at most, in which this process does nothing else. */
    readySoon: () =>
      libc.ppoll(polled, 1n, moment, null) > 0 ? libc.epoll_wait(poll, readyBytes, mostEvents, 0) : 0,
    /** The same, when some are. */
    readyLater: () => waitLong(poll, readyBytes, mostEvents, -1),
    /** The key of one of those that are ready, and for what it is. */
    readyOne: (i: number): readonly [key: number, what: number] => [
      ready.getUint32(size * i + at, true),
      ready.getUint32(size * i, true),
    ],
  };
}

/** A socket's name as the kernel has it (ip(7), ipv6(7)): the family, the port, and the address. */
function bytesOf({ address, port }: Endpoint): Uint8Array<ArrayBuffer> {
  const [size, at, family] = address.includes(":") ? [28, 8, ipv6] as const : [16, 4, ipv4] as const;
  const name = new Uint8Array(size);
  name.set([family, 0, port >> 8, port & 255]);
  let rest = toNumber(address);
  for (let i = at + (family === ipv4 ? 3 : 15); i >= at; i--, rest >>= 8n) name[i] = Number(rest & 255n);
  return name;
}

function endpointOf(name: Uint8Array): Endpoint {
  const port = name[2]! << 8 | name[3]!;
  if (name[0] === ipv4) return { address: name.subarray(4, 8).join("."), port };
  const value = name.subarray(8, 24).reduce((sum, byte) => sum << 8n | BigInt(byte), 0n);
  return { address: fromNumber(value, 6), port };
}
