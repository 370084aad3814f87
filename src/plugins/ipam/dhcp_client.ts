import type { Attachment } from "../../plan/attachment.ts";
import type { Exec, Spawn } from "../../plan/step.ts";

/** How long the first lease may take, in seconds; the reference daemon's default. */
export const patience = 10;

/** What the client keeps in its directory. */
export function clientFiles(directory: string) {
  const [pid, lease, address, log] = ["pid", "lease", "address", "log"].map((name) => `${directory}/${name}`);
  return { pid: pid!, lease: lease!, address: address!, log: log! };
}

/**
 * What udhcpc runs at its events, by the event's name. A lease is written down as it is, read by nobody here. While
 * there is none, nobody may use the address (RFC 2131, 4.4.5); it comes back with the same lease, and with no other.
 */
const event = `case $0 in deconfig)
  [ -e lease ] || exit 0
  [ -e routes ] || { ip -4 address save dev "$interface" >addresses; ip -4 route save dev "$interface" >routes; }
  ip -4 address flush dev "$interface"; rm lease; exit ;;
esac
[ -e address ] || echo "$ip/$mask" >address
if [ -e routes ] && [ "$ip/$mask" = "$(cat address)" ]; then
  ip address restore <addresses; ip route restore <routes; rm addresses routes
fi
env -0 >new; mv new lease; : >log
[ ! -p ready ] || echo >&8`;

/**
 * A process in a network namespace keeps it alive, and the client must not outlive its container: it ends, with its
 * lease given back, soon after the path names no namespace any more, or another one. The fifo ends with the client.
 */
const keep = 'until timeout 5 cat; do [ "$1" -ef "/proc/$2/ns/net" ] || kill "$2"; done';

/**
 * Starts the client, and waits for its first lease, but not for ever. Whether there is one is to be seen in the
 * directory. The fifos have numbers that udhcpc leaves alone: 3 and 4 it uses itself. /bin/sh reads its scripts by the
 * events' names: it could not execute a file in /run, which many mount noexec. Who leaves takes the last empty directory
 * along, maybe while we make ours in it: hence twice.
 */
const start = `umask 077; mkdir -p "$1" 2>&- || mkdir -p "$1" && cd "$1" || exit
netns=$2 event=$3 keep=$4; shift 4
command -v udhcpc >/dev/null || set -- busybox "$@"
rm -f life ready lease address addresses routes; mkfifo life ready || exit
for name in deconfig bound renew; do printf '%s\\n' "$event" >$name; done
setsid nsenter --net="$netns" "$@" 8>ready 9>life </dev/null >>log 2>&1 &
echo $! >pid
setsid sh -c "$keep" sh "$netns" $! <life >/dev/null 2>&1 &
timeout ${patience} head -c 1 ready >/dev/null
rm -f life ready`;

/** udhcpc gives a lease back from its address alone, which an ADD that fails early has not put on the link. */
const lendAddress = '[ ! -e "$1/lease" ] || exec ip address replace "$(cat "$1/address")" dev "$2"';

/** Before the client is ended, it has its address to speak from. */
export function lend(ifname: string, directory: string): Exec {
  return { tool: "exec", on: "container", undo: ["sh", "-c", lendAddress, "sh", directory, ifname] };
}

/** What a client is to ask, and to say of itself. */
export interface ClientWish {
  readonly at: Attachment;
  readonly directory: string;
  readonly request: readonly number[];
  /** By option, the bytes in hexadecimal. */
  readonly values: ReadonlyMap<number, string>;
  readonly broadcast: boolean;
}

/** Keeps a udhcpc in the container's namespace, which gives its lease back when it is ended. */
export function keepClient({ at, directory, request, values, broadcast }: ClientWish): Spawn {
  const pidFile = clientFiles(directory).pid;
  return {
    tool: "spawn",
    on: "host",
    run: [
      ...["sh", "-c", start, "sh", directory, at.netns, event, keep],
      ...["udhcpc", "-f", "-R", "-i", at.ifname, "-p", pidFile, "-s", "/bin/sh", "-t", "5", "-T", "2"],
      // Without a vendor's name, and asking for nothing but this.
      ...["-V", "", "-o", ...request.flatMap((code) => ["-O", String(code)])],
      ...[...values].flatMap(([code, bytes]) => ["-x", `${code}:${bytes}`]),
      ...(broadcast ? ["-B"] : []),
    ],
    name: "udhcpc",
    pidFile,
    mark: directory,
    takesLeave: true,
    leaves: [directory],
  };
}
