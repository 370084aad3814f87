import type * as Net from "node:net";
import { messageOf } from "../../wire/cni/error.ts";
import { builtin } from "../node/builtin.ts";
import { service } from "../node/process.ts";
import { forwardConnections } from "./connections.ts";
import { forwardDatagrams } from "./datagrams.ts";
import { relayInside } from "./inside.ts";
import type { Common, Forward, Request } from "./port.ts";
import { serveRequests } from "./requests.ts";
import { roomOf } from "./room.ts";

/** The largest number of log lines of a process: the file may be in memory. */
const mostLines = 1000;

/**
 * Forwards ports to an ordinary user's container, until standard input closes. It consists of two processes that a unix
 * socket connects, because neither runtime can change its network namespace. Both runtimes use Node's API. It prints a
 * line when it is ready.
 * @param words `inside SOCKET LIMIT`, or `outside SOCKET INSIDE LIMIT`: the socket for requests, that of the inner
 * process, and the limit of descriptors
 */
export async function relay([side, socket, ...rest]: readonly string[]): Promise<number> {
  const room = roomOf(rest.at(-1) === "unlimited" ? Infinity : Number(rest.at(-1)));
  try {
    if (side === "inside") await relayInside(socket!, room);
    else {
      const [inside] = rest;
      await tie(inside!);
      const common = { inside: inside!, room, log: logger() };
      const entries = new Map<number, Entry>();
      await serveRequests(socket!, (text) => answer(common, entries, text));
    }
  } catch (error) {
    service.tell(messageOf(error));
    return 1;
  }
  service.ready();
  await service.inputEnds();
  return 0;
}

/** Without the inner process no port can be forwarded. So the outer one ends too, and both are started again. */
function tie(inside: string): Promise<void> {
  const socket = builtin<typeof Net>("node:net").connect({ path: inside });
  return new Promise((resolve, reject) => {
    socket.on("connect", () => resolve()).on("error", reject).on("close", () => service.exit(1)).resume();
  });
}

function logger(): (line: string) => void {
  let lines = 0;
  return (line) => {
    if (lines++ < mostLines) service.tell(`${new Date().toISOString()} ${line}`);
  };
}

interface Entry {
  readonly request: Request;
  readonly forward: Forward;
}

async function answer(common: Common, entries: Map<number, Entry>, text: string): Promise<unknown> {
  try {
    const { execute, arguments: given } = JSON.parse(text) as { execute: string; arguments: unknown };
    switch (execute) {
      case "add_hostfwd":
        return { return: { id: await add(common, entries, given as Request) } };
      case "list_hostfwd":
        return { return: { entries: [...entries].map(([id, { request }]) => ({ id, ...request })) } };
      case "remove_hostfwd":
        return { return: remove(common, entries, (given as { id: number }).id) };
      default:
        throw new Error(`bad request: unknown "execute": ${execute}`);
    }
  } catch (error) {
    return { error: { desc: messageOf(error).replaceAll('"', "'") } };
  }
}

let lastId = 0;

async function add(common: Common, entries: Map<number, Entry>, request: Request): Promise<number> {
  if (!common.room.take(1)) throw new Error("there is no room for more ports and connections");
  try {
    const forward = await (request.proto === "tcp" ? forwardConnections : forwardDatagrams)(common, request);
    entries.set(++lastId, { request, forward });
  } catch (error) {
    common.room.give(1);
    throw error;
  }
  return lastId;
}

function remove(common: Common, entries: Map<number, Entry>, id: number): Record<string, never> {
  const entry = entries.get(id);
  if (!entry) throw new Error(`bad request: there is no port with id ${id}`);
  entries.delete(id);
  entry.forward.close();
  common.room.give(1);
  return {};
}
