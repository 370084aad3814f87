import { writeAnswer, writeRequest } from "../wire/overlay/requests.ts";
import { lockHolder } from "./open_files.ts";
import type { RequestOptions, World } from "./world.ts";

/** Milliseconds between two looks at an agent that does not answer, and how many may find no sign of life. */
const [lookEvery, mostSilent] = [1500, 3];

/**
 * Asks the agent of this host. One that works may take as long as the request may. One whose process is stopped, or frozen
 * with its cgroup, counts as one that refuses, with the remedy.
 * @throws Error when no process listens there, or the answer is not there in time
 */
export async function askAgent(
  world: World,
  socket: string,
  request: string,
  options?: RequestOptions,
): Promise<string> {
  let before = "";
  let silent = 1;
  let timer: ReturnType<typeof setInterval> | undefined;
  const stopped = new Promise<string>((resolve) => {
    timer = setInterval(() => {
      const pid = lockHolder(world, socket.replace(/[^/]*$/, "locks/.agent"));
      if (pid === undefined) return;
      const status = world.read(`/proc/${pid}/status`) ?? "";
      // A process that runs, or waits for a disk, lives. One that waits for requests wakes up for this one.
      const signs = /^State:\s+[TtS][^]*/m.exec(status)?.[0].match(/State.*|\w*voluntary.*/g)?.join() ?? "";
      void world.request(socket, writeRequest({ do: "status" }), { looks: true, timeoutSeconds: 1 })
        .catch(() => {});
      silent = signs === before && signs !== "" ? silent + 1 : 1;
      before = signs;
      if (silent < mostSilent) return;
      const error = `Cannot ask the agent of this host: its process ${pid} is stopped or frozen; ` +
        `have it go on ("kill -CONT ${pid}"), or end it and start it anew`;
      resolve(writeAnswer({ error }));
    }, lookEvery);
  });
  return await Promise.race([world.request(socket, request, options), stopped])
    .finally(() => clearInterval(timer));
}
