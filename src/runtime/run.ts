import { messageOf } from "../cni/error.ts";
import { findProgram, type Held, type Signal, signals, type World } from "../plan/world.ts";
import { attach } from "./attach.ts";
import { containerOfProcess, enterUser } from "./container.ts";
import { detach } from "./detach.ts";
import { collectInPassing } from "./gc.ts";
import type { Container } from "./journal.ts";
import { isInForeground } from "./process.ts";
import { innerDirectory } from "./state.ts";
import type { Wish } from "./wish.ts";

/** A command to run with a network of its own. */
export interface Run {
  /** Absent: one that is free. */
  readonly id?: string;
  readonly wish: Wish;
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
  { id, wish, command }: Run,
): Promise<number> {
  const early: Signal[] = [];
  let pass = (name: Signal): unknown => early.push(name);
  const ignored = ignoredSignals(world);
  world.onSignals(Object.keys(signals) as Signal[], (name) => ignored.includes(name) || pass(name));
  await collectInPassing(world, state);
  const holder = await makeNamespaces(world, wish);
  try {
    const container = containerOfProcess(world, holder.pid);
    const name = id ?? `run-${holder.pid}`;
    const rootfs = { pid: holder.pid, enter: enterUser(container), path: "" };
    await attach(world, state, { id: name, container, wish, rootfs, replace: false });
    try {
      if (early.length > 0) return 128 + signals[early[0]!];
      const { pid, ended } = world.start(
        [...ignoring(ignored), ...enter(world, container, wish), ...command],
        environment(world),
      );
      pass = (name) => passOn(world, pid, name);
      return await ended;
    } finally {
      await holder.letGo();
      await detach(world, state, name);
      world.remove(innerDirectory(state, container.identity));
    }
  } finally {
    await holder.letGo();
  }
}

/**
 * Those that whoever called us ignores, as nohup(1) does SIGHUP, and a shell SIGINT of what it starts with "&". Node has
 * forgotten them before we could ask.
 */
function ignoredSignals(world: World): readonly Signal[] {
  const ignored = BigInt(
    `0x${/^SigIgn:\s*([0-9a-f]+)/m.exec(world.read("/proc/self/status") ?? "")?.[1] ?? 0}`,
  );
  return (Object.keys(signals) as Signal[]).filter((name) =>
    (ignored >> BigInt(signals[name] - 1) & 1n) === 1n
  );
}

/** Deno, from its first listener on, and Node hand ignored signals on as not ignored. */
function ignoring(ignored: readonly Signal[]): readonly string[] {
  return ignored.length === 0 ? [] : ["env", `--ignore-signal=${ignored.join(",")}`];
}

/** The command is in our process group, so what is typed at a terminal reaches it without us. */
function passOn(world: World, pid: number, name: Signal): void {
  const typed = name === "SIGINT" || name === "SIGQUIT";
  if (!typed || !isInForeground(world)) world.signal(pid, name);
}

/**
 * Holds the namespaces until our end of its standard input closes, which the kernel does however we end. Then it kills
 * whatever is left in them. /sys shows the network namespace that it was mounted in, so its parts about links are
 * mounted anew, where that is allowed.
 */
const holdNamespaces = `case " $* " in *" net "*)
  { mount -t sysfs sysfs /sys/class/net && mount --bind /sys/class/net/devices/virtual/net /sys/devices/virtual/net &&
    mount --bind /sys/class/net/class/net /sys/class/net; } 2>/dev/null;;
esac
echo; read -r _
end() {
  for process in /proc/[0-9]*; do
    pid=\${process#/proc/}
    for kind; do
      [ "$pid" = $$ ] || ! [ "$process/ns/$kind" -ef "/proc/$$/ns/$kind" ] || { kill -KILL "$pid" && left=yes; }
    done
  done 2>/dev/null
}
while left=; end "$@"; [ "$left" ]; do sleep 0.01; done`;

async function makeNamespaces(world: World, wish: Wish): Promise<Held> {
  const kinds = kindsOf(wish);
  // In a session of its own it does not hear what is typed at the terminal.
  const make = (maps: readonly string[]) =>
    world.hold([
      ...["setsid", "unshare", ...maps, ...kinds.map((kind) => `--${longName[kind]}`), "--propagation=slave"],
      ...["sh", "-c", holdNamespaces, "sh", ...(maps.length > 0 ? ["user"] : []), ...kinds],
    ]);
  if (world.uid === 0) return await tell(() => make([]));
  const self = ["--user", "--map-root-user"];
  try {
    // Needs newuidmap, newgidmap, and ranges of ids in /etc/subuid and /etc/subgid.
    if (findProgram(world, "newuidmap")) return await make([...self, "--map-auto"]);
  } catch { /* Then with our own id alone. */ }
  return await tell(() => make(self));
}

async function tell<T>(make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    throw new Error(
      `Cannot make namespaces: ${messageOf(error)}; ocinet doctor says what this machine lacks`,
    );
  }
}

const longName = { net: "net", mnt: "mount", uts: "uts" } as const;

/** What a command has for itself: the mounts always, for the sake of its resolv.conf. */
function kindsOf({ mode, files }: Wish): readonly (keyof typeof longName)[] {
  return [
    ...(mode.kind === "host" ? [] : ["net"] as const),
    "mnt",
    ...(files.hostname === undefined ? [] : ["uts"] as const),
  ];
}

function enter(world: World, container: Container, wish: Wish): readonly string[] {
  const { pid } = container.init!;
  return [
    ...["nsenter", ...enterUser(container)],
    ...kindsOf(wish).map((kind) => `--${longName[kind]}=/proc/${pid}/ns/${kind}`),
    ...[`--wdns=${world.readLink("/proc/self/cwd")}`, "--"],
  ];
}

/** Ours, without what our launcher added. */
function environment(world: World): Readonly<Record<string, string>> {
  const { OCINET_CALLED_AS: _, ...rest } = world.environment();
  return rest;
}
