import type { Held, World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { note } from "../../engine/hook_log.ts";
import { containerOfProcess, enterUser } from "../../engine/namespace.ts";
import { isAlive, isSameProcess, type ProcessIdentity } from "../../engine/process.ts";
import { readContainer } from "../../engine/record.ts";
import { containerPaths, innerDirectory } from "../../engine/state.ts";
import { undo } from "../../engine/undo.ts";
import { attach, AttachedAlready } from "../container/attach.ts";
import { detach } from "../container/detach.ts";
import { collectOpportunistically } from "../container/gc.ts";
import { followHost, repairNames } from "../container/names_again.ts";
import type { AttachOptions } from "../container/options.ts";
import type { Request } from "../container/request.ts";
import { type Command, commandOf } from "./caller.ts";
import { cgroupFor, endCgroup, endingOfCgroup, makeCgroup } from "./cgroup.ts";
import { endAll, endingOf, enter, holdNamespaces, type Kind, showOwnLinks } from "./namespaces.ts";

/** A command to run with a network of its own. */
export interface Run {
  /** Absent: one that is free. */
  readonly id?: string;
  readonly options: AttachOptions;
  /** How many words the command is: the last ones that the process which becomes it was given. */
  readonly words: number;
}

/**
 * A name for a command that was given none. A process that has become one command may be told by it to become another in
 * namespaces of its own, as with `ocinet run unshare -Ur ocinet run`: then both have its number.
 */
function freeId(world: World, state: string, pid: number): string {
  const first = `run-${pid}`;
  for (let id = first, next = 2;; id = `${first}-${next++}`) {
    if (world.stat(containerPaths(state, id).directory) === undefined) return id;
  }
}

/**
 * Attaches by the request's id, or another one that is free: in another PID namespace, a command with the same pid may have
 * taken it meanwhile. The request then has that id.
 */
export async function attachByFreeId(
  world: World,
  state: string,
  request: Request & { id: string },
  pid: number,
): Promise<void> {
  for (;;) {
    try {
      await attach(world, state, request);
      return;
    } catch (error) {
      if (!(error instanceof AttachedAlready)) throw error;
      request.id = freeId(world, state, pid);
    }
  }
}

/**
 * Makes namespaces, connects them, has the process that waits for us become the command in them, and takes all of it away
 * again once that has ended. What goes wrong then is noted in hook.log: no caller is there any more to be told.
 * @throws Error when it was not run
 */
export async function runConnected(world: World, state: string, { id, options, words }: Run): Promise<void> {
  const command = commandOf(world);
  const cgroup = world.uid === 0 ? cgroupFor(world) : undefined;
  const kinds = kindsOf(options);
  const [holder] = await Promise.all([
    holdNamespaces(world, kinds, hold, cgroup ? [`cgroup=${cgroup}`] : []),
    collectOpportunistically(world, state),
  ]);
  try {
    const container = containerOfProcess(world, holder.pid);
    // Until it becomes the command, and wherever that goes, the namespaces are those of their holder.
    const lasting = { ...container, init: command.process };
    const request = {
      ...{ id: id ?? freeId(world, state, command.process.pid), container, lasting, options, replace: false },
      rootfs: { pid: holder.pid, enter: enterUser(container), path: "" },
      ...(cgroup ? { ending: endingOfCgroup(cgroup) } : {}),
    };
    const attached = await command.prepare(async (world) => {
      if (id === undefined) await attachByFreeId(world, state, request, command.process.pid);
      else await attach(world, state, request);
      return true;
    });
    try {
      if (!attached) return;
      const own = cgroup && makeCgroup(world, cgroup) ? { cgroup } : {};
      command.become({ words, enter: enter(container, kinds), ...own }, {});
      const names = followHost(world, lookEvery, () => renew(world, state, request.id));
      await awaitCommand(world, state, command, holder, kinds).finally(names.stop);
    } finally {
      await takeAway(world, state, request, holder);
    }
  } finally {
    await holder.letGo();
  }
}

/** Milliseconds between two looks at the host's files about names. */
const lookEvery = 200;

async function renew(world: World, state: string, id: string): Promise<void> {
  try {
    const done = await repairNames(world, state, id);
    done.forEach((line) => note(world, state, `run ${id}: ${line}`));
  } catch (error) {
    note(world, state, `run ${id}: ${messageOf(error)}`);
  }
}

async function takeAway(
  world: World,
  state: string,
  { id, container, lasting }: Pick<Request, "id" | "container" | "lasting">,
  holder: Held,
): Promise<void> {
  try {
    const init = lasting!.init!;
    await takeLeave(world, state, id, init);
    await holder.letGo();
    await detach(world, state, id, init);
    world.remove(innerDirectory(state, container.identity));
  } catch (error) {
    note(world, state, `run ${id}: ${messageOf(error)}`);
  }
}

/** Ends what has something to do before it ends: with the namespaces it is killed. */
async function takeLeave(world: World, state: string, id: string, init: ProcessIdentity): Promise<void> {
  const record = readContainer(world, state, id);
  const steps = record && isSameProcess(init, record.container.init) ? record.steps : [];
  await undo(world, { host: [] }, steps.filter((step) => step.tool === "spawn" && step.gracefulStop));
}

/** Waits for its end, or for that of the holder of its namespaces, which may be killed: with that its network goes. */
async function awaitCommand(
  world: World,
  state: string,
  command: Command,
  holder: Held,
  kinds: readonly Kind[],
): Promise<void> {
  const mounts = world.readLink(`/proc/${holder.pid}/ns/mnt`);
  const { ended, process: { pid } } = command;
  const isOver = await Promise.race([ended.then(() => true), holder.ended.then(() => false)]);
  if (isOver) return;
  note(
    world,
    state,
    `Process ${holder.pid}, which held the namespaces of process ${pid}, was killed, so that is, too`,
  );
  // All that shares a namespace with it is ended: never with one that has not entered them, or has left.
  if (linkOf(world, pid, "mnt") === mounts) {
    await world.run(endingOf(command.process, kinds, world.uid !== 0), { timeout: 10_000 });
  }
  if (isAlive(world, command.process)) world.signal(pid, "SIGKILL");
}

function linkOf(world: World, pid: number, kind: Kind): string | undefined {
  try {
    return world.readLink(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

/**
 * Holds the namespaces until our end of its standard input closes, which the kernel does however we end. Then it kills
 * whatever is left in them.
 */
const hold = `${endAll}
trap "" HUP INT QUIT TERM
case " $* " in *" net "*) ${showOwnLinks};; esac
echo; read -r _
end /proc/self "$@"
${endCgroup}`;

/** What a command has for itself: the mounts always, for the sake of its resolv.conf. */
function kindsOf({ mode, files }: AttachOptions): readonly Kind[] {
  return [
    ...(mode.kind === "host" ? [] : ["net"] as const),
    "mnt",
    ...(files.hostname === undefined ? [] : ["uts"] as const),
  ];
}
