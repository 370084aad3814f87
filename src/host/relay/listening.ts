import type * as Net from "node:net";
import { builtin } from "../node/builtin.ts";
import { onDeno } from "../runtime.ts";
import { breakOff } from "./join.ts";
import type { Forward } from "./port.ts";
import type { Room } from "./room.ts";

/** A port to listen on, and what to do with its clients. */
export interface Listener {
  /** @param serve is called for each client @throws Error if it cannot listen */
  open(serve: (client: Net.Socket) => void): Promise<Net.Server>;
  /** A connection takes two descriptors: its own, and the one to its destination. `serve` releases them. */
  readonly room: Room;
  serve(socket: Net.Socket): void;
  /** Reports the reason why connections cannot be accepted; undefined once they can. */
  tell(problem: string | undefined): void;
}

/** In milliseconds: the time before listening is tried again. */
export const pause = 100;

/** Listens. @param serve is called for each client @throws Error if it cannot */
export function listenAt(at: Net.ListenOptions, serve: (client: Net.Socket) => void): Promise<Net.Server> {
  const server = builtin<typeof Net>("node:net").createServer({ allowHalfOpen: true }, serve);
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen(at, () => resolve(server.off("error", reject)));
  });
}

/**
 * Listens on a port. Clients that come when there is no room are broken off. After an accept fails for lack of
 * descriptors, Deno's Node layer (2.9.5) silently accepts no more connections. So in that case it stops listening until
 * there is room again.
 * @throws Error if it cannot listen
 */
export async function listenWithRoom(listener: Listener): Promise<Forward> {
  const state: State = { open: true, server: undefined };
  state.server = await begin(listener, state);
  return {
    close: () => {
      state.open = false;
      state.server?.close();
    },
  };
}

interface State {
  open: boolean;
  /** Absent while there is no room. */
  server: Net.Server | undefined;
}

async function begin(listener: Listener, state: State): Promise<Net.Server> {
  const { open, room, serve, tell } = listener;
  const server = await open((socket) => {
    socket.on("error", () => {});
    if (room.take(2)) {
      tell(undefined);
      return serve(socket);
    }
    tell("there is no room for more connections");
    breakOff(socket);
    if (onDeno && state.server) void rest(listener, state.server, state);
  });
  // A connection that could not be accepted for lack of descriptors ends nothing.
  return server.on("error", (error) => tell(error.message));
}

/** Stops listening until there is room and the address is available. */
async function rest(listener: Listener, server: Net.Server, state: State): Promise<void> {
  server.close();
  state.server = undefined;
  while (state.open && state.server === undefined) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (!listener.room.take(2)) continue;
    listener.room.give(2);
    try {
      state.server = await begin(listener, state);
    } catch (error) {
      listener.tell((error as Error).message);
    }
  }
  if (!state.open) state.server?.close();
}
