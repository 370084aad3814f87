import { codes, messageOf } from "../wire/cni/error.ts";
import { startAgent, writeAnswer, writeRequest } from "../wire/overlay/requests.ts";
import { lockHolder } from "./open_files.ts";
import type { RequestOptions, World } from "./world.ts";

/** Milliseconds between two looks at an agent that does not answer, and how many may find no sign of life. */
const [lookEvery, mostSilent] = [1500, 3];

/**
 * Asks the agent of this host. One that works may take as long as the request may. One that does not run, or whose process is
 * stopped, or frozen with its cgroup, counts as one that refuses, with the remedy.
 */
export async function askAgent(
  world: World,
  socket: string,
  request: string,
  options?: RequestOptions,
): Promise<string> {
  const refuse = (reason: string) =>
    writeAnswer({ error: `Cannot ask the agent of this host: ${reason}`, code: codes.unavailable });
  let before = "";
  let silent = 1;
  let timer: ReturnType<typeof setInterval> | undefined;
  const stopped = new Promise<string>((resolve) => {
    timer = setInterval(() => {
      const pid = lockHolder(world, socket.replace(/[^/]*$/, "locks/.agent"));
      if (pid === undefined) return;
      const status = world.read(`/proc/${pid}/status`) ?? "";
      // It changes whenever the process runs. One that waits for a disk lives; one that waits for requests wakes up for this.
      silent = status === before && /^State:\s+[TtS]/m.test(status) ? silent + 1 : 1;
      before = status;
      void world.request(socket, writeRequest({ do: "status" }), { looks: true, timeoutSeconds: 1 })
        .catch(() => {});
      if (silent < mostSilent) return;
      resolve(refuse(`its process ${pid} is stopped or frozen; "kill -CONT ${pid}" has it go on`));
    }, lookEvery);
  });
  const asked = world.request(socket, request, options)
    .catch((error) => refuse(`${messageOf(error)}; ${startAgent}`));
  return await Promise.race([asked, stopped]).finally(() => clearInterval(timer));
}
