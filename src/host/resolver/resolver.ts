import type * as Fs from "node:fs";
import { oneLine } from "../../wire/cni/output.ts";
import { messageOf } from "../../wire/cni/error.ts";
import type { Zone } from "../../wire/dns/zone.ts";
import { builtin } from "../node/builtin.ts";
import { service } from "../node/process.ts";
import { serveRequests } from "../relay/requests.ts";
import { type Room, roomOf } from "../relay/room.ts";
import { answer, newResolver, type Resolver, setNetworks } from "./answering.ts";
import { directoryAt } from "./directory.ts";
import { hostServers } from "./host_servers.ts";
import { type Listener, listenOn } from "./listener.ts";

/** Milliseconds: how long it waits for its first network, and how often it looks whether there is none any more. */
const pause = { first: 10_000, next: 60_000 };
/** The most that is noted in a life: the file may be in memory. */
const mostLines = 1000;

/** What runs. */
interface Service {
  readonly resolver: Resolver;
  readonly room: Room;
  readonly socket: string;
  /** By the address that is listened on. */
  readonly listeners: Map<string, { readonly network: string; readonly listener: Listener }>;
  tell(line: string): void;
}

/**
 * Answers the members of this host's networks whose names are asked of a resolver, until no such network has a member. It
 * says a line once it can be asked through its socket.
 * @param words where the members' files are, the path of the socket, and how many descriptors it may have
 */
export async function resolve([names, socket, limit]: readonly string[]): Promise<number> {
  const tell = logger();
  service.survive((problem) => tell(messageOf(problem)));
  const running: Service = {
    resolver: newResolver(directoryAt(names!), hostServers()),
    room: roomOf(limit === "unlimited" ? Infinity : Number(limit)),
    ...{ socket: socket!, listeners: new Map(), tell },
  };
  try {
    follow(running);
    await listen(running);
  } catch (error) {
    service.tell(messageOf(error));
    return 1;
  }
  service.ready();
  setTimeout(() => void endUnused(running), pause.first);
  setInterval(() => void endUnused(running), pause.next);
  return await new Promise<number>(() => {});
}

function logger(): (line: string) => void {
  let lines = 0;
  return (line) => {
    if (lines++ < mostLines) service.tell(`${new Date().toISOString()} ${oneLine(line)}`);
  };
}

/** Listens where there are members now, and nowhere else. @param changed see `Directory.readAll` */
function follow({ resolver, room, listeners }: Service, changed?: string): readonly Zone[] {
  const zones = resolver.directory.readAll(changed);
  setNetworks(resolver, zones);
  const wanted = new Map(
    zones.flatMap(({ network, listen }) => listen.map((cidr) => [cidr.split("/")[0]!, network] as const)),
  );
  for (const [address, { network, listener }] of listeners) {
    if (wanted.get(address) === network) continue;
    listener.close();
    listeners.delete(address);
  }
  for (const [address, network] of wanted) {
    if (listeners.has(address)) continue;
    const listener = listenOn(
      address,
      room,
      (bytes, from, byConnection) => answer(resolver, { bytes, from, network, byConnection }),
    );
    listeners.set(address, { network, listener });
  }
  return zones;
}

/**
 * Ends where no container is left. First its socket goes: a container that comes after that sees that another one has to be
 * started; who came before is seen here.
 */
async function endUnused(running: Service): Promise<void> {
  if (follow(running).length > 0) return;
  builtin<typeof Fs>("node:fs").rmSync(running.socket, { force: true });
  if (follow(running).length === 0) service.exit(0);
  await listen(running).catch(() => service.exit(1));
}

/** Answers requests at its socket, and looks after each whether it is still needed. */
function listen(running: Service): Promise<void> {
  const { socket } = running;
  builtin<typeof Fs>("node:fs").rmSync(socket, { force: true });
  return serveRequests(socket, (text) => respond(running, text), () => void endUnused(running));
}

/**
 * `follow` the networks as they are now, in which only the files of container `changed` have changed if it is named, and say
 * whether `network` is served, and whether it has names of hosts files as well; `show` all that are.
 */
async function respond(running: Service, text: string): Promise<unknown> {
  try {
    const { execute, arguments: given } = JSON.parse(text) as {
      execute: string;
      arguments?: { network?: string; changed?: string };
    };
    if (!["follow", "show"].includes(execute)) throw new Error(`bad request: unknown "execute": ${execute}`);
    follow(running, given?.changed);
    const served = [...running.listeners].map(([address, { network, listener }]) => ({
      address,
      network,
      listener,
    }));
    await Promise.all(served.map(({ listener }) => listener.tried));
    const addresses = served.map(({ address, network, listener }) => {
      const problem = listener.problem();
      return { address, network, ...(problem === undefined ? {} : { problem }) };
    });
    if (execute === "show") return { return: { addresses } };
    const failed = addresses.find(({ network, problem }) => network === given?.network && problem);
    if (failed) throw new Error(`${failed.address} port 53: ${failed.problem}`);
    const hasOthers = given?.network !== undefined && running.resolver.directory.hasOthers(given.network);
    return { return: hasOthers ? { hasOthers } : {} };
  } catch (error) {
    return { error: { desc: messageOf(error).replaceAll('"', "'") } };
  }
}
