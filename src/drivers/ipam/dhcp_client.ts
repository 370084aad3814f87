import type { Attachment } from "../../plan/attachment.ts";
import { type Exec, exec, type Spawn } from "../../plan/step.ts";
import { type Asking, clientWords, timeoutSeconds, withScripts, writeLease } from "../../plan/udhcpc.ts";

/** The files in the client's directory. */
export function clientFiles(directory: string) {
  const [pid, lease, address, log] = ["pid", "lease", "address", "log"].map((name) => `${directory}/${name}`);
  return { pid: pid!, lease: lease!, address: address!, log: log! };
}

/**
 * The script for udhcpc's events; $0 is the event. It stores the lease unread. Without a lease, the address must not be
 * used (RFC 2131, 4.4.5): its address and routes are saved and removed. They are restored only when the same address is
 * leased again.
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
 * Ends the client with its container. A process in a network namespace keeps the namespace alive, so the client itself
 * would. This script checks every 5 s that the path still names the client's namespace. If not, it ends the client,
 * which releases its lease. The fifo closes when the client ends, and so ends this script.
 */
const keep = 'until timeout 5 cat; do [ "$1" -ef "/proc/$2/ns/net" ] || kill "$2"; done';

/**
 * Starts the client and waits for its first lease, up to a time limit. The caller sees from the directory whether there
 * is a lease. The fifos have descriptors 8 and 9, because udhcpc uses 3 and 4 itself. mkdir is tried twice, because
 * another process may remove the empty parent directory in between. The last line detects that a DEL after a killed ADD
 * has removed the fifos: a process that opens a fifo then would wait forever.
 */
const start = `umask 077; mkdir -p "$1" 2>&- || mkdir -p "$1" && cd "$1" || exit
netns=$2 ifname=$3 event=$4 keep=$5; shift 5
rm -f life ready lease address addresses routes; mkfifo life ready || exit
${withScripts}
setsid nsenter --net="$netns" "$@" 8>ready 9>life </dev/null >>log 2>&1 &
client=$!; echo $client >pid
setsid sh -c "$keep" sh "$netns" $client <life >/dev/null 2>&1 &
timeout ${timeoutSeconds} head -c 1 ready >/dev/null
[ -e lease ] || nsenter --net="$netns" ip -br link show dev "$ifname" >>log 2>&1
rm life ready || kill $client $!`;

/**
 * Puts the leased address on the link. udhcpc releases a lease from that address only, and an ADD that fails early has
 * not set it.
 */
const lendAddress = '[ ! -e "$1/lease" ] || exec ip address replace "$(cat "$1/address")" dev "$2"';

/** The undo gives the link its address before the client is ended. */
export function lend(ifname: string, directory: string): Exec {
  return exec("container", `lend ${ifname} its address`, {
    undo: ["sh", "-c", lendAddress, "sh", directory, ifname],
  });
}

/** The client's attachment and its DHCP options. */
export interface ClientWish extends Omit<Asking, "ifname" | "pidFile"> {
  readonly at: Attachment;
  readonly directory: string;
}

/** Keeps a udhcpc running in the container's namespace. It releases its lease when it is ended. */
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
