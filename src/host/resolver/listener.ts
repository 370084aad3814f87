import type * as Net from "node:net";
import { listenAt, listenWithRoom } from "../relay/listening.ts";
import type { Forward } from "../relay/port.ts";
import type { Room } from "../relay/room.ts";
import { framed, unframed } from "./connection.ts";
import { type Datagrams, openDatagrams } from "./datagrams.ts";

/** Answers a question of an address, or does not. */
export type Answering = (
  question: Uint8Array,
  from: string,
  byConnection: boolean,
) => Promise<Uint8Array | undefined>;

/** An address whose port 53 is listened on, or is to be. */
export interface Listener {
  /** Why no question is answered there, if so. */
  problem(): string | undefined;
  /** When it has been tried to listen there. */
  readonly tried: Promise<void>;
  close(): void;
}

/** Milliseconds: until it is tried again to listen, and how long a connection may be idle. */
const pause = { retry: 1000, idle: 8000 };
/** The most connections of one client to an address: one more ends the oldest. */
const mostOfOne = 32;
/** The most questions of one connection at once. */
const mostAtOnce = 32;

/** Listens on an address for both transports; where that cannot be had, it is tried again until it is closed. */
export function listenOn(address: string, room: Room, answering: Answering): Listener {
  const state = { isOpen: true, problem: undefined as string | undefined };
  const sockets: { udp?: Datagrams; tcp?: Forward } = {};
  const bind = async () => {
    try {
      sockets.udp ??= await bindDatagrams(address, answering);
      sockets.tcp ??= await bindConnections(address, room, answering);
      state.problem = undefined;
    } catch (error) {
      state.problem = String((error as { code?: string }).code ?? (error as Error).message);
    }
    if (!state.isOpen) close();
    else if (state.problem !== undefined) setTimeout(() => state.isOpen && void bind(), pause.retry);
  };
  const close = () => {
    state.isOpen = false;
    sockets.udp?.close();
    sockets.tcp?.close();
    delete sockets.udp;
    delete sockets.tcp;
  };
  return { problem: () => state.problem, tried: bind(), close };
}

async function bindDatagrams(address: string, answering: Answering): Promise<Datagrams> {
  const socket: Datagrams = await openDatagrams({ address, port: 53 }, (question, from) => {
    answering(question, from.address, false).then(
      (answer) => answer && socket.send(answer, from),
      () => {},
    );
  });
  return socket;
}

async function bindConnections(address: string, room: Room, answering: Answering): Promise<Forward> {
  const clients = new Map<string, Net.Socket[]>();
  return await listenWithRoom({
    ...{ open: (serve) => listenAt({ host: address, port: 53 }, serve), room, tell: () => {} },
    serve: (socket) => {
      const from = socket.remoteAddress ?? "";
      const own = [...clients.get(from) ?? [], socket];
      clients.set(from, own);
      if (own.length > mostOfOne) own[0]!.destroy();
      socket.on("close", () => {
        room.give(2);
        const left = (clients.get(from) ?? []).filter((one) => one !== socket);
        if (left.length > 0) clients.set(from, left);
        else clients.delete(from);
      });
      converse(socket, from, answering);
    },
  });
}

function converse(socket: Net.Socket, from: string, answering: Answering): void {
  let waiting = 0;
  let ended = false;
  socket.setTimeout(pause.idle, () => socket.destroy());
  const hear = unframed((question) => {
    waiting++;
    if (waiting >= mostAtOnce) socket.pause();
    answering(question, from, true).catch(() => undefined).then((answer) => {
      waiting--;
      if (socket.destroyed) return;
      // A client that is not answered, or does not read, need not stay.
      if (!answer || socket.writableLength > 1 << 20) return void socket.destroy();
      socket.write(framed(answer));
      if (ended && waiting === 0) socket.end();
      else socket.resume();
    });
  });
  socket.on("data", hear).on("end", () => {
    ended = true;
    if (waiting === 0) socket.end();
  });
}
