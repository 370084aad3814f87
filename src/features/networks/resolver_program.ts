import { withCapabilities } from "../../plan/programs.ts";
import type { Spawn } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";

/** The longest path that a unix socket can have, in bytes. */
const longestSocketPath = 107;

/** Where the resolver is asked to look at its networks. */
export function resolverSocket(state: string): string {
  return `${state}/resolver/socket`;
}

/** How long it may take until it is ready. */
const readySeconds = 60;

/**
 * Starts the keeper unless there is one, and returns once the resolver can be asked. The process with the lock is the one: the
 * keeper and the resolver hold it, and the kernel gives it back. One that is about to end has removed its socket.
 */
const start = `keep=$1 d=$2; shift
umask 077; mkdir -p "$d" || exit
exec 9>>"$d/lock" || exit
n=0; until flock -n 9; do
  [ ! -S "$d/socket" ] || exit 0
  n=$((n + 1)); [ "$n" -lt 600 ] || { echo "another one has been starting for 60 s" >&2; exit 1; }
  sleep 0.1
done
rm -f "$d/socket" "$d/ready"; mkfifo "$d/ready" || exit
exec 5<>"$d/ready" 6<"$d/ready" 4>"$d/ready" 5<&-
setsid sh -c "$keep" sh "$@" 6<&- </dev/null >"$d/log" 2>&1 &
exec 4>&- 9>&-; byte=$(timeout --foreground ${readySeconds} head -c 1 <&6); waited=$?
[ "$waited" != 124 ] || { echo "it is not ready after ${readySeconds} s" >&2; exit 1; }
[ -n "$byte" ] || { tail -n 3 "$d/log" >&2; exit 1; }
rm -f "$d/ready"`;

/** Starts the resolver again whenever it ends otherwise than because no network needs it. */
const keep = `d=$1 me=$$; shift
ulimit -Sn "$(ulimit -Hn)"; export NO_COLOR=1 DENO_NO_UPDATE_CHECK=1
delay=0
while read -r begun _ </proc/uptime
  ! sh -c 'printf "%s\\n" "$1" "$$" >"$2/pid"; shift 2; exec "$@"' sh "$me" "$d" "$@" "$(ulimit -Hn)" >&4 4>&-
do
  [ ! -e "$d/ready" ] || exit
  exec 4>/dev/null
  read -r ended _ </proc/uptime
  [ $((\${ended%%.*} - \${begun%%.*})) -lt 10 ] || delay=0
  sleep "$delay"
  delay=$((delay < 30 ? delay * 2 + 1 : 60))
done
rm -f "$d/pid"`;

/**
 * Starts the resolver of a state directory, which ends by itself when no network needs it any more. Of root's power it
 * keeps that to listen on port 53.
 */
export function startResolver(world: World, state: string): Spawn {
  const [directory, socket, names] = [`${state}/resolver`, resolverSocket(state), `${state}/names`];
  if (socket.length > longestSocketPath) {
    throw new Error(
      `Cannot keep a socket in ${state}: the path is longer than ${longestSocketPath} bytes; set OCINET_STATE_DIR`,
    );
  }
  const program = world.confined([socket], {
    reads: [names, "/etc/resolv.conf", "/run/systemd/resolve"],
    datagrams: true,
  });
  return {
    ...{ tool: "spawn", on: "host", undoBy: "gc", keepsLinks: true },
    id: { kind: "process", pidFile: `${directory}/pid` },
    run: [
      ...["sh", "-c", start, "sh", keep, directory],
      ...withCapabilities(",+net_bind_service"),
      ...[...program, "resolver", names, socket],
    ],
    ...{ name: "resolver", pidFile: `${directory}/pid`, cmdlineMarker: socket, cleanupPaths: [socket] },
  };
}
