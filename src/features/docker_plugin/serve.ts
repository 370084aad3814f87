import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { contentType } from "../../wire/cnm/protocol.ts";
import { givenSockets } from "../../engine/listen_fds.ts";
import { checkDirectory } from "../../engine/trusted_path.ts";
import { turns } from "../../engine/turns.ts";
import { sweepEndpoints } from "./endpoints.ts";
import type { DockerPlugin } from "./plugin.ts";
import { answer } from "./requests.ts";

/** The socket, the directories and the log of the service. */
export interface ServeOptions {
  readonly socket: string;
  readonly data: string;
  tell(line: string): void;
}

/** Serves dockerd until it is told to end. @throws Error if it cannot start */
export async function serveDocker(
  world: World,
  state: string,
  { socket, data, tell }: ServeOptions,
): Promise<void> {
  const plugin: DockerPlugin = { world, state, data };
  world.makeDirectory(`${state}/locks`, 0o700);
  const unlock = await world.tryLock(`${state}/locks/.docker-plugin`);
  if (unlock === undefined) {
    throw new Error(`Cannot start: a plugin for Docker runs already in ${state}`);
  }
  const inTurn = turns();
  try {
    await sharing(plugin, () => sweepEndpoints(plugin)).catch((error) => tell(messageOf(error)));
    const [given] = givenSockets(world, "enable ocinet-docker.service without its socket");
    if (!given) makeRoom(world, socket);
    const listening = await world.serveHttp({
      ...{ socket: given?.descriptor ?? socket, method: "POST", longest: 1 << 20, wait: 30_000, contentType },
      serve: (heard) => inTurn(() => sharing(plugin, () => answer(plugin, heard))),
    });
    tell(`listening on ${given ? "a socket of systemd's" : socket}`);
    await new Promise<void>((resolve) => world.onSignals(["SIGTERM", "SIGINT"], () => resolve()));
    listening.close();
    if (!given) world.remove(socket);
    await inTurn(() => Promise.resolve());
  } finally {
    unlock();
  }
}

/** Takes away a socket that is left over, and nothing else: removing takes whole directories. @throws Error */
function makeRoom(world: World, socket: string): void {
  const directory = socket.slice(0, socket.lastIndexOf("/"));
  checkDirectory(world, directory, `listen on ${socket}`, "name a socket elsewhere");
  const kind = world.stat(socket, "itself")?.kind ?? "socket";
  if (kind !== "socket") {
    throw new Error(`Cannot listen on ${socket}: it is no socket; name another, or remove it`);
  }
  world.makeDirectory(directory, 0o755);
  world.remove(socket);
}

/** Prevents `gc` from removing what containers share during an action. */
async function sharing<T>({ world, state }: DockerPlugin, act: () => Promise<T>): Promise<T> {
  const release = await world.share(state);
  try {
    return await act();
  } finally {
    release();
  }
}
