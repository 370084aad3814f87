import { messageOf } from "../../wire/cni/error.ts";
import { service } from "../node/process.ts";
import { relayInside } from "./inside.ts";
import { relayOutside } from "./outside.ts";
import { roomOf } from "./room.ts";

/**
 * Forwards ports to an ordinary user's container, until standard input closes. It consists of two processes, because
 * neither runtime can change its network namespace: the outer one opens the host's ports, and passes each open socket to
 * the inner one, which does the rest: with Node's API, and on Deno connections with the C library (native.ts). It prints a
 * line when it is ready.
 * @param words `outside SOCKET COMMAND…`: the socket for requests, and the command that starts the inner process, which
 * ends in `relay inside LIMIT`: the limit of descriptors
 */
export async function relay([side, ...rest]: readonly string[]): Promise<number> {
  if (side === "inside") {
    relayInside(roomOf(rest[0] === "unlimited" ? Infinity : Number(rest[0])));
    return await new Promise<number>(() => {});
  }
  try {
    const [socket, ...command] = rest;
    await relayOutside(socket!, command);
  } catch (error) {
    service.tell(messageOf(error));
    return 1;
  }
  service.ready();
  await service.inputEnds();
  return 0;
}
