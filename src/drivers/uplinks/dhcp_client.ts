import { withCapabilities } from "../../plan/programs.ts";
import type { Spawn } from "../../plan/step.ts";
import { clientWords, timeoutSeconds, withScripts, writeLease } from "../../plan/udhcpc.ts";
import { keepRunning } from "./supervise.ts";
import type { Entrance, Target } from "./uplink.ts";

function clientDirectory({ directory }: Entrance): string {
  return `${directory}/dhcp`;
}

/** The file with the lease, for `parseAnswer`. */
export function leaseFile(entrance: Entrance): string {
  return `${clientDirectory(entrance)}/lease`;
}

/**
 * The script for udhcpc's events; $0 is the event. It sets the address and the routes of the lease, as `parseAnswer`
 * reads them. Without a lease it removes them (RFC 2131, 4.4.5). When the client is restarted, the previous lease may
 * still be valid: the link keeps its address until the server answers or the time limit ends. The script uses only
 * values that udhcpc has formatted itself, from digits and dots.
 */
const event = `case $0 in deconfig)
  [ -e asking ] || { : >asking; exit; }
  rm -f lease; exec ip -4 address flush dev "$interface" ;;
esac
ip -4 -o address show dev "$interface" | grep -qF " $ip/$mask " || {
  ip -4 address flush dev "$interface"; ip address add "$ip/$mask" brd + dev "$interface"
}
set -- 0.0.0.0/0 \${router%% *}
[ -z "$staticroutes" ] || set -- $staticroutes
while [ $# -gt 1 ]; do
  case $2 in 0.0.0.0) via=;; *) via="via $2" ;; esac
  ip -4 route replace "$1" $via dev "$interface"; shift 2
done
${writeLease}
[ ! -p ../ready ] || echo 1 >&8`;

/**
 * Starts the client. It is ended if there is no lease in time, or when the container has ended; in both cases it
 * releases its lease. `cat` also ends with the client, which holds the other end of its fifo (keep.ts), and the client
 * ends with this shell. udhcpc uses descriptors 3 and 4 itself.
 */
const ask = `d=$1 bridge=$2 event=$3; shift 3
rm -rf "$d/dhcp"; mkdir -m 700 "$d/dhcp" && cd "$d/dhcp" || exit
${withScripts}
setpriv --pdeathsig TERM "$@" 8>&4 3<&- 4>&- >>log 2>&1 &
exec 4>&- 5>&-; echo $! >>"$d/uplink.pid"
timeout --foreground ${timeoutSeconds} cat <&3; waited=$?
if [ -e lease ]; then [ $waited = 0 ] || cat <&3
elif [ $waited = 0 ]; then cat log
else echo "no DHCP server on bridge \\"$bridge\\" has answered within ${timeoutSeconds} s; have root start one there" \\
  "(systemctl start lxc-net, or dnsmasq), or use another uplink, such as --uplink slirp4netns"
fi >&2
kill $! 2>/dev/null; wait $!`;

/** The requested options: subnet mask, routers, name servers, domain, search list, classless routes. */
const request = [1, 3, 6, 15, 119, 121];

/** Keeps a udhcpc running in the container's network, with only the capabilities that it needs to set the address. */
export function keepAddress(target: Target, bridge: string): Spawn {
  const { directory, ifname } = target;
  const own = clientDirectory(target);
  const words = (pid: number, enter: readonly string[]) => [
    ...["nsenter", ...enter, `--net=/proc/${pid}/ns/net`],
    ...withCapabilities(",+net_admin,+net_raw,+net_bind_service"),
    ...["sh", "-c", ask, "sh", directory, bridge, event],
    ...clientWords({ ifname, pidFile: `${own}/pid`, request }),
  ];
  return {
    ...keepRunning(target, {
      ...{ name: "udhcpc", words, ends: "told", cmdlineMarker: `${own}/`, cleanupPaths: [own] },
    }),
    ...{ gracefulStop: true, keepsLinks: true },
  };
}
