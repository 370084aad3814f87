import type { Attachment } from "../../plan/attachment.ts";
import { type Exec, exec, type Spawn } from "../../plan/step.ts";
import { type Asking, clientWords, orBusybox, patience, writeLease } from "../../plan/udhcpc.ts";

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
  [ -e routes ] ||
    { ip -4 address save dev "$interface" >addresses; ip -4 route save table all dev "$interface" >routes; }
  ip -4 address flush dev "$interface"; rm lease; exit ;;
esac
[ -e address ] || echo "$ip/$mask" >address
if [ -e routes ] && [ "$ip/$mask" = "$(cat address)" ]; then
  ip address restore <addresses; ip route restore <routes; rm addresses routes
fi
${writeLease}
[ ! -p ready ] || echo >&8`;

/**
 * A process in a network namespace keeps it alive, and the client must not outlive its container: it ends, with its
 * lease given back, soon after the path names no namespace any more, or another one. The fifo ends with the client.
 */
const keep = 'until timeout 5 cat; do [ "$1" -ef "/proc/$2/ns/net" ] || kill "$2"; done';

/**
 * Starts the client, and waits for its first lease, but not for ever. Whether there is one is to be seen in the
 * directory. The fifos have numbers that udhcpc leaves alone: 3 and 4 it uses itself. Who takes the last empty
 * directory along, maybe while we make ours in it: hence twice. A DEL after an ADD that was killed may have taken ours:
 * what waits for the other end of a fifo then would wait for ever.
 */
const start = `umask 077; mkdir -p "$1" 2>&- || mkdir -p "$1" && cd "$1" || exit
netns=$2 ifname=$3 event=$4 keep=$5; shift 5
${orBusybox}
rm -f life ready lease address addresses routes; mkfifo life ready || exit
for name in deconfig bound renew; do printf '%s\\n' "$event" >$name; done
setsid nsenter --net="$netns" "$@" 8>ready 9>life </dev/null >>log 2>&1 &
client=$!; echo $client >pid
setsid sh -c "$keep" sh "$netns" $client <life >/dev/null 2>&1 &
timeout ${patience} head -c 1 ready >/dev/null
[ -e lease ] || nsenter --net="$netns" ip -br link show dev "$ifname" >>log 2>&1
rm life ready || kill $client $!`;

/** udhcpc gives a lease back from its address alone, which an ADD that fails early has not put on the link. */
const lendAddress = '[ ! -e "$1/lease" ] || exec ip address replace "$(cat "$1/address")" dev "$2"';

/** Before the client is ended, it has its address to speak from. */
export function lend(ifname: string, directory: string): Exec {
  return exec("container", `lend ${ifname} its address`, {
    undo: ["sh", "-c", lendAddress, "sh", directory, ifname],
  });
}

/** Which client, and what it is to ask. */
export interface ClientWish extends Omit<Asking, "ifname" | "pidFile"> {
  readonly at: Attachment;
  readonly directory: string;
}

/** Keeps a udhcpc in the container's namespace, which gives its lease back when it is ended. */
export function keepClient({ at, directory, ...asking }: ClientWish): Spawn {
  const pidFile = clientFiles(directory).pid;
  return {
    ...{ tool: "spawn", on: "host", id: { kind: "process", pidFile } },
    run: [
      ...["sh", "-c", start, "sh", directory, at.netns, at.ifname, event, keep],
      ...clientWords({ ...asking, ifname: at.ifname, pidFile }),
    ],
    name: "udhcpc",
    pidFile,
    cmdlineMarker: directory,
    gracefulStop: true,
    cleanupPaths: [directory],
  };
}
