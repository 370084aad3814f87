import { type Held, signals, type World } from "../../plan/world.ts";
import { attach } from "../container/attach.ts";
import { cgroupFor, endCgroup, endingOfCgroup, makeCgroup, within } from "./cgroup.ts";
import { containerOfProcess, enterUser } from "../../engine/namespace.ts";
import { detach } from "../container/detach.ts";
import { awaitForeground } from "./foreground.ts";
import { collectOpportunistically } from "../container/gc.ts";
import { readContainer } from "../../engine/record.ts";
import { endAll, endingOf, enter, holdNamespaces, type Kind, showOwnLinks } from "./namespaces.ts";
import { identify } from "../../engine/process.ts";
import { innerDirectory } from "../../engine/state.ts";
import { undo } from "../../engine/undo.ts";
import type { AttachOptions } from "../container/options.ts";

/** A command to run with a network of its own. */
export interface Run {
  /** Absent: one that is free. */
  readonly id?: string;
  readonly options: AttachOptions;
  readonly command: readonly string[];
}

/**
 * Makes namespaces, connects them, runs the command in them, and takes all of it away again.
 * @returns the command's exit status; 128 and the number of a signal that ended it, or came before it had begun
 * @throws Error when it was not run, or something could not be taken away
 */
export async function runConnected(
  world: World,
  state: string,
  { id, options, command }: Run,
): Promise<number> {
  const foreground = awaitForeground(world);
  await collectOpportunistically(world, state);
  const cgroup = world.uid === 0 ? cgroupFor(world) : undefined;
  const holder = await holdNamespaces(world, kindsOf(options), hold, cgroup ? [`cgroup=${cgroup}`] : []);
  try {
    const container = containerOfProcess(world, holder.pid);
    const name = id ?? `run-${holder.pid}`;
    const rootfs = { pid: holder.pid, enter: enterUser(container), path: "" };
    await foreground.prepare((world) =>
      attach(world, state, {
        ...{ id: name, container, options, rootfs, replace: false },
        ...(cgroup ? { ending: endingOfCgroup(cgroup) } : {}),
      })
    );
    try {
      const [early] = foreground.early;
      if (early) return 128 + signals[early];
      const kinds = kindsOf(options);
      const apart = cgroup && makeCgroup(world, cgroup) ? within(cgroup) : [];
      const run = [...apart, ...enter(world, container, kinds), ...command];
      return await whileHeld(world, holder, kinds, (began) => foreground.start(run, {}, began));
    } finally {
      await takeLeave(world, state, name);
      await holder.letGo();
      await detach(world, state, name);
      world.remove(innerDirectory(state, container.identity));
    }
  } finally {
    await holder.letGo();
  }
}

/** Ends what has something to do before it ends: with the namespaces it is killed. */
async function takeLeave(world: World, state: string, id: string): Promise<void> {
  const steps = readContainer(world, state, id)?.steps ?? [];
  await undo(world, { host: [] }, steps.filter((step) => step.tool === "spawn" && step.gracefulStop));
}

/** The namespaces were lost, and the command had to be ended. */
export class NamespacesLost extends Error {}

/** Lets a command run as long as the holder of its namespaces does, which may be killed: with that its network goes. */
async function whileHeld(
  world: World,
  holder: Held,
  kinds: readonly Kind[],
  start: (began: (pid: number) => void) => Promise<number>,
): Promise<number> {
  let lost = false;
  let over = false;
  const code = await start((pid) => {
    const command = identify(world, pid);
    void holder.ended.then(async () => {
      if (over || !command) return;
      lost = true;
      await world.run(endingOf(command, kinds, world.uid !== 0));
    });
  });
  over = true;
  if (!lost) return code;
  throw new NamespacesLost(
    `The process ${holder.pid} that held the command's namespaces was killed, so the command was ended, too`,
  );
}

/**
 * Holds the namespaces until our end of its standard input closes, which the kernel does however we end. Then it kills
 * whatever is left in them.
 */
const hold = `${endAll}
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
