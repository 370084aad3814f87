import type * as ChildProcess from "node:child_process";
import type * as Dgram from "node:dgram";
import { messageOf } from "../../wire/cni/error.ts";
import { builtin } from "../node/builtin.ts";
import { service } from "../node/process.ts";
import { breakOff } from "./join.ts";
import { listenAt, pause } from "./listening.ts";
import { type Opened, type Order, refusal, type Report, type Request } from "./port.ts";
import { serveRequests } from "./requests.ts";

/** The ports by id, and the inner process. */
interface Relay {
  readonly requests: Map<number, Request>;
  /** Has the inner process do something. @throws Error with its reason if it cannot */
  order(order: Order, opened?: Opened): Promise<void>;
}

/**
 * Starts the inner process, and serves requests in slirp4netns's format.
 * @param command starts the inner process
 * @throws Error if it cannot listen at the socket
 */
export async function relayOutside(socket: string, command: readonly string[]): Promise<void> {
  const relay = await startInner(command);
  await serveRequests(socket, (text) => answer(relay, text));
}

/** Without the inner process no port can be forwarded. So the outer one ends too, and both are started again. */
async function startInner([program, ...words]: readonly string[]): Promise<Relay> {
  const waiting = new Map<number, (problem?: string) => void>();
  const reported = (id: number) =>
    new Promise<void>((resolve, reject) =>
      waiting.set(id, (problem) => problem === undefined ? resolve() : reject(new Error(problem)))
    );
  const child = builtin<typeof ChildProcess>("node:child_process").spawn(program!, words, {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const relay: Relay = {
    requests: new Map(),
    order: (order, opened) => {
      child.send(order, opened, {}, (error) => {
        // The inner process has a descriptor of its own by now.
        opened?.close();
        if (error) waiting.get(order.id)?.(error.message);
      });
      return reported(order.id);
    },
  };
  child.on("exit", () => service.exit(1)).on("error", ({ message }) => {
    service.tell(message);
    service.exit(1);
  });
  child.on("message", ({ id, problem, again }: Report) => {
    if (again) return void openAgain(relay, id);
    waiting.get(id)?.(problem);
    waiting.delete(id);
  });
  await reported(0);
  return relay;
}

/** Opens a port that the inner process has had to close, once that is possible. */
async function openAgain(relay: Relay, id: number): Promise<void> {
  const request = relay.requests.get(id);
  if (!request) return;
  try {
    const opened = await open(request);
    if (relay.requests.has(id)) await relay.order({ id, request }, opened);
    else opened.close();
  } catch {
    setTimeout(() => void openAgain(relay, id), pause);
  }
}

async function answer(relay: Relay, text: string): Promise<unknown> {
  try {
    const { execute, arguments: given } = JSON.parse(text) as { execute: string; arguments: unknown };
    switch (execute) {
      case "add_hostfwd":
        return { return: { id: await add(relay, given as Request) } };
      case "list_hostfwd":
        return { return: { entries: [...relay.requests].map(([id, request]) => ({ id, ...request })) } };
      case "remove_hostfwd":
        return { return: await remove(relay, (given as { id: number }).id) };
      default:
        throw new Error(`bad request: unknown "execute": ${execute}`);
    }
  } catch (error) {
    return { error: { desc: messageOf(error).replaceAll('"', "'") } };
  }
}

let lastId = 0;

async function add(relay: Relay, request: Request): Promise<number> {
  const opened = await open(request);
  const id = ++lastId;
  relay.requests.set(id, request);
  try {
    await relay.order({ id, request }, opened);
  } catch (error) {
    relay.requests.delete(id);
    throw error;
  }
  return id;
}

async function remove(relay: Relay, id: number): Promise<Record<string, never>> {
  if (!relay.requests.delete(id)) throw new Error(`bad request: there is no port with id ${id}`);
  await relay.order({ id });
  return {};
}

/** Opens a port of the host's. A client that comes before the inner process has it is broken off. */
async function open(request: Request): Promise<Opened> {
  const { proto, host_addr: host, host_port: port, ipv6_only: ipv6Only } = request;
  try {
    return await (proto === "tcp"
      ? listenAt({ host, port, ipv6Only }, breakOff)
      : bind(host, port, ipv6Only ?? false));
  } catch (error) {
    throw refusal(error as Error, request);
  }
}

function bind(address: string, port: number, ipv6Only: boolean): Promise<Dgram.Socket> {
  const type = address.includes(":") ? "udp6" : "udp4";
  const socket = builtin<typeof Dgram>("node:dgram").createSocket({ type, ipv6Only });
  return new Promise((resolve, reject) =>
    void socket.once("error", reject).bind({ address, port }, () => resolve(socket))
  );
}
