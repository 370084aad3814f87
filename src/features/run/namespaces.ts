import { messageOf } from "../../wire/cni/error.ts";
import { findProgram } from "../../plan/programs.ts";
import type { Held, World } from "../../plan/world.ts";
import { enterUser } from "../../engine/namespace.ts";
import type { Namespace } from "../../engine/record.ts";
import type { ProcessIdentity } from "../../engine/process.ts";

/** The namespaces that a holder makes, beside a user namespace, and unshare's words for them. */
export const longName = { net: "net", mnt: "mount", uts: "uts" } as const;

/** A kind of namespace, by its name in /proc/PID/ns. */
export type Kind = keyof typeof longName;

/**
 * Starts a shell script in new namespaces, and in a user namespace if we are not root: one with many ids, if we may have
 * them. The script has the kinds as arguments, `user` among them, and says a line once it is ready.
 * @throws Error when they cannot be made
 */
export async function holdNamespaces(
  world: World,
  kinds: readonly Kind[],
  script: string,
  environment: readonly string[] = [],
): Promise<Held> {
  // In a session of its own it does not hear what is typed at the terminal.
  const make = (maps: readonly string[]) =>
    world.hold([
      ...["setsid", "unshare", ...maps, ...kinds.map((kind) => `--${longName[kind]}`), "--propagation=slave"],
      ...environment.length > 0 ? ["env", ...environment] : [],
      ...["sh", "-c", script, "sh", ...(maps.length > 0 ? ["user"] : []), ...kinds],
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

/**
 * Shows the links of the own network namespace: /sys shows those of the one that it was mounted in, so its parts about
 * links are mounted anew, where that is allowed.
 */
export const showOwnLinks =
  `{ mount -t sysfs sysfs /sys/class/net && mount --bind /sys/class/net/devices/virtual/net /sys/devices/virtual/net &&
  mount --bind /sys/class/net/class/net /sys/class/net; } 2>/dev/null`;

/**
 * A function that kills all processes of a holder of namespaces, given by its directory in /proc, but for that one and the
 * shell itself, until there are none: `end PROCESS KINDS...`. That one's pid is then in `spared`. They share one of the
 * kinds of namespaces; if a user namespace is among these, whose root the shell has to be, they are all that the kernel
 * lets it look into: what is in that one, or in one that came from there. (To have the same user is not enough for that.)
 */
export const endAll = `end() {
  read -r self _ </proc/self/stat; read -r spared _ <"$1/stat"; holder=$1; shift
  while left=
    for process in /proc/[0-9]*; do
      pid=\${process#/proc/}
      [ "$pid" != "$self" ] && [ "$pid" != "$spared" ] || continue
      for kind; do
        if [ "$kind" = user ]; then [ -e "$process/ns/user" ]
        else [ "$process/ns/$kind" -ef "$holder/ns/$kind" ]; fi || continue
        # What has ended already, and waits for a parent that may never ask, has no program.
        kill -KILL "$pid" && [ -e "$process/exe" ] && left=yes
      done
    done 2>/dev/null
    [ "$left" ]
  do sleep 0.01; done
}`;

/** Ends all that is in a holder's namespaces, and last the holder, if that is still the one. */
const endHolder = `${endAll}
of=/proc/$1
[ "$(cut -d " " -f 22 "$of/stat" 2>/dev/null)" = "$2" ] || exit 0
shift 2
end "$of" "$@" 2>/dev/null
kill -KILL "$spared"`;

/** Words that do so, for a process that may enter them. */
export function endingOf(
  { pid, startTime }: ProcessIdentity,
  kinds: readonly Kind[],
  user: boolean,
): readonly string[] {
  return [
    ...(user ? ["nsenter", `--user=/proc/${pid}/ns/user`, "--preserve-credentials", "--"] : []),
    ...["sh", "-c", endHolder, "sh", String(pid), startTime, ...(user ? ["user"] : []), ...kinds],
  ];
}

/** Words that enter namespaces of the process whose network namespace is a container's. */
export function enter(container: Namespace, kinds: readonly Kind[]): readonly string[] {
  const namespaces = container.netns.slice(0, container.netns.lastIndexOf("/"));
  return [
    ...["nsenter", ...enterUser(container)],
    ...kinds.map((kind) => `--${longName[kind]}=${namespaces}/${kind}`),
  ];
}
