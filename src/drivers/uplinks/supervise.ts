import { quote } from "../../plan/batch.ts";
import type { Spawn } from "../../plan/step.ts";
import type { Entrance } from "./uplink.ts";

/** A program that is kept running as long as a container. */
export interface Kept {
  /** A word of its command line: the first word of `words` that is meaningful to a user. */
  readonly name: string;
  /**
   * Its command line. `pid` is a process in the container's namespaces; `enter` are words for nsenter to enter its user
   * namespace.
   */
  words(pid: number, enter: readonly string[]): readonly string[];
  /**
   * How the program ends when the container does. `itself`: it notices. `told`: its descriptor 3 closes. `killed`: for
   * a program that can do neither. Every program reports that it is ready by writing to descriptor 4 or to the fifo
   * "ready".
   */
  readonly ends: "itself" | "told" | "killed";
  /** A word of its command line that is unique for the container. */
  readonly cmdlineMarker: string;
  readonly cleanupPaths: readonly string[];
}

/** The time limit until a program is ready, in seconds. udhcpc has a shorter one of its own. */
const readySeconds = 60;

/**
 * Starts the keeper and returns once the program is ready, or has ended. No process keeps our standard streams, because
 * a runtime waits until they are closed. The fifo is opened at both ends at once: if this shell is killed, the keeper
 * would otherwise wait forever for a reader.
 */
const start = `umask 077; keep=$1 d=$3; shift
for left in life back ready uplink.log; do [ ! -e "$d/$left" ] || rm -f "$d/$left"; done
mkfifo -m 600 "$d/ready" "$d/life" "$d/back" || exit
exec 5<>"$d/ready" 6<"$d/ready" 4>"$d/ready" 5<&-
setsid sh -c "$keep" sh "$@" 6<&- </dev/null >"$d/uplink.log" 2>&1 &
exec 4>&-; byte=$(timeout --foreground ${readySeconds} head -c 1 <&6); waited=$?
[ $waited != 124 ] || { echo "it is not ready after ${readySeconds} s" >&2; exit 1; }
[ -n "$byte" ] || { grep -vE '^(\\*|WARNING|Starting|sent|received)' "$d/uplink.log" >&2; exit 1; }
rm -f "$d/life" "$d/back" "$d/ready"`;

/**
 * The keeper waits until the program ends. If it never was ready, or the container has ended too, so does the keeper; if
 * not, it has the program started again, which brings a keeper of its own, and tries until that succeeds. Its directory
 * is /proc/PID of the container's first process: that of a later process with this pid would be another. A process that
 * has ended, or is about to, has no command line; one that becomes another program has none for a moment. The program runs in the foreground, because crun starts hooks with all
 * signals blocked: dash then waits for ever for a child in the background, and only one in the foreground gets them back.
 */
const keep = `run=$1 d=$2 init=$3 again=$8; shift
echo $$ >"$d/uplink.pid"; cd "/proc/$init" || exit
alive() {
  for _ in 1 2 3; do
    [ -e cmdline ] || return 1
    word=; read -r word 2>/dev/null <cmdline
    [ -z "$word" ] || return 0
    sleep 0.1
  done
  return 1
}
pause() { n=$1; while [ "$n" -gt 0 ] && alive; do sleep 1; n=$((n - 1)); done; }
read -r begun _ </proc/uptime
sh -c "$run" sh "$@"
[ ! -e "$d/ready" ] || exit; exec 4>&-
read -r ended _ </proc/uptime
delay=$((\${ended%%.*} - \${begun%%.*} < 10))
while pause "$delay"; alive; do
  sh -c "$again" && exit
  delay=$((delay < 30 ? delay * 2 + 1 : 60))
done`;

const watch = 'tail --pid="$1" -f /dev/null & exec >/dev/null; read -r _; kill $!';

/**
 * Becomes the program, or for `killed` the parent of the program. Two processes wait to kill it, since one of them may
 * be killed. A `cat` in the container's pid namespace signals the end of the container: it holds the writing end of the
 * fifo "life", and the kernel kills it with the container's init. The `cat` reads from the fifo "back", which closes
 * when the program ends. If the container shares our pid namespace, `tail --pid` is used instead, and a shell reads
 * from "back". These processes are not in the process group that is killed. If their parent `nsenter` were killed, runc
 * would have to reap the dead `cat`. But a runc that gives up a container first waits for the container's init, which
 * the kernel keeps until all processes in its pid namespace are reaped.
 */
const run = `d=$1 init=$2 pid=$3 holder=$4 ends=$5 enter=$6; shift 7
[ "$ends" = killed ] || echo $$ >>"$d/uplink.pid"
[ "$ends" != itself ] || exec "$@"
if [ "$holder" = cat ]; then setsid nsenter $enter -t "$pid" -p cat <"$d/back" >"$d/life" 2>/dev/null 4>&- &
else setsid sh -c '${watch}' sh "$init" <"$d/back" >"$d/life" 2>/dev/null 4>&- & fi
exec 5<>"$d/back" 3<"$d/life"
[ "$ends" = killed ] || exec "$@"
sh -c 'echo $$ >>"$1/uplink.pid"; shift
for _ in 1 2; do sh -c "read -r _; kill -KILL $$" <&3 >/dev/null 2>&1 3<&- 4>&- 5<&- & done
exec "$@" 3<&- 5<&-' sh "$d" "$@"
exec 5<&-`;

/** Starts a program that always ends with the container, and that is started again if it ends before. */
export function keepRunning(
  entrance: Entrance,
  { name, words, ends, cmdlineMarker, cleanupPaths }: Kept,
): Spawn {
  const { directory, pid, init, lasting, ownPidNamespace, enter, again } = entrance;
  const holder = ownPidNamespace ? "cat" : "tail";
  const through = (process: number) => {
    const entering = enter.map((word) => word.replace(`/proc/${pid}/`, `/proc/${process}/`));
    return [
      ...["sh", "-c", start, "sh", keep, run, directory, String(init), String(process), holder, ends],
      ...[entering.join(" "), again.map(quote).join(" "), ...words(process, entering)],
    ];
  };
  return {
    ...{ tool: "spawn", on: "host", id: { kind: "process", pidFile: uplinkPidFile(directory) } },
    ...{ run: through(pid), ...(pid === lasting ? {} : { again: through(lasting) }) },
    ...{ name, pidFile: uplinkPidFile(directory), cmdlineMarker, cleanupPaths },
  };
}

/** The file with the pids of an uplink's processes, one a line. The keeper is first and leads their process group. */
export function uplinkPidFile(directory: string): string {
  return `${directory}/uplink.pid`;
}
