/**
 * A link that was moved into a container is found again by what the container cannot change. Its name, its alias and its
 * MAC address are the container's to write, and so are links of its own that bear another's (containernetworking/plugins#773).
 */
import type { Link } from "../../plan/host_state.ts";

/**
 * /sys of the namespace that the script is in: `nsenter` leaves the caller's in place. The kernel refuses one that is there
 * already (EBUSY, do_add_mount), so an empty file system goes between.
 */
const ownSysfs = "mount -t tmpfs tmpfs /sys && mount -t sysfs sysfs /sys || exit 1; ";

/** The words that run a script with a /sys of its own namespace. */
export function withOwnSysfs(script: string, ...args: readonly string[]): readonly string[] {
  return ["unshare", "--mount", "sh", "-c", ownSysfs + script, "sh", ...args];
}

/** What a link is known by, in the order that `findLink` takes it: device, port, index, lower link, kind, MAC address. */
export function identityOf({ device, index, lower, deviceType, mac }: Link): readonly string[] {
  return [device?.name ?? "", device?.port ?? "", `${index}`, `${lower ?? ""}`, deviceType ?? "", mac];
}

/**
 * A shell function: the name of the link that `$device` … `$mac` tell of. Hardware is known by its device. The end of a veth
 * is the one that the other end, which is still on the host, says it is. Other links keep what they stand on, and unless
 * the container had a link with that number, their index.
 */
export const findLink = "device=$1 port=$2 index=$3 lower=$4 kind=$5 mac=$6; shift 6; " +
  'end=; [ -n "$device" ] || [ -n "$kind" ] || [ -z "$lower" ] || ' +
  'end=$(nsenter --net=/proc/$PPID/ns/net ip -o link | sed -n "s/^$lower: [^ ]*@if\\([0-9]*\\): .*/\\1/p"); ' +
  "isIt() { " +
  '  if [ -n "$device" ]; then [ "$(readlink "$1/device")" = "$device" ] && [ "$(cat "$1/dev_port")" = "$port" ]; return; fi; ' +
  '  [ ! -e "$1/device" ] && [ "$(sed -n s/^DEVTYPE=//p "$1/uevent")" = "$kind" ] || return; ' +
  '  i=$(cat "$1/ifindex"); ' +
  '  [ "$(cat "$1/iflink")" = "${lower:-$i}" ] || return; ' +
  '  if [ -n "$end" ]; then [ "$i" = "$end" ]; return; fi; ' +
  '  case $2 in both) [ "$i" = "$index" ] && [ "$(cat "$1/address")" = "$mac" ] ;; ' +
  '    *) [ "$i" = "$index" ] || [ "$(cat "$1/address")" = "$mac" ] ;; esac; }; ' +
  "findLink() { for how in both either; do for link in /sys/class/net/*; do " +
  '  isIt "$link" "$how" && { echo "${link##*/}"; return; }; done; done; }; ';

/** Takes from a link's alternative names those that keep it from a namespace where they are taken. */
const dropAlternativeNames =
  'ip -o link show dev "$link" | tr "\\\\\\\\" "\\\\n" | sed -n "s/^ *altname //p" | ' +
  'while read -r name; do ip link property del dev "$link" altname "$name"; done; ';

/** Moves the link out under a name: our own process, the parent of what it runs in the container, is where it belongs. */
export const comeBackScript = `${findLink}link=$(findLink); [ -n "$link" ] || exit 0; ` +
  'ip link set dev "$link" netns "$PPID" name "$1" && exit; ' +
  `${dropAlternativeNames}exec ip link set dev "$link" netns "$PPID" name "$1"`;

/**
 * A container that ends gives its hardware back, soon and under the name it had there (default_device_exit_net). A link
 * that has its own name, and none in its alias, has been given back already.
 */
export const returnedScript =
  `${findLink}for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ` +
  'ip link show dev "$1" >/dev/null 2>&1 && exit; link=$(findLink); ' +
  '[ "$link" = "$2" ] && [ -z "$(cat "/sys/class/net/$2/ifalias")" ] && exit; ' +
  '[ -n "$link" ] && exec ip link set dev "$link" name "$1"; sleep 0.1; done';

/**
 * Gives back a link of whose ADD nothing is written down: then only its alias tells its name, which the container can
 * write, so that has to be what the configuration says, or of hardware that it names, and no name of the host's. A link
 * whose other end is in the container is of the container's own making.
 */
export const leaveScript = 'link=$1 d=/sys/class/net/$1 wanted=$2 mac=$3 device=$4; [ -e "$d" ] || exit 0; ' +
  'name=$(cat "$d/ifalias"); case $name in ""|-*|*[!A-Za-z0-9_.+-]*) exit 0 ;; esac; ' +
  '[ -z "$wanted" ] || [ "$name" = "$wanted" ] || exit 0; ' +
  '[ -n "$wanted" ] || [ -e "$d/device" ] || exit 0; ' +
  '[ -z "$mac" ] || [ "$(cat "$d/address")" = "$mac" ] || exit 0; ' +
  '[ -z "$device" ] || [ "$(basename "$(readlink "$d/device")")" = "$device" ] || exit 0; ' +
  'i=$(cat "$d/ifindex") p=$(cat "$d/iflink"); [ "$p" = "$i" ] || for other in /sys/class/net/*; do ' +
  '[ "$(cat "$other/ifindex")" = "$p" ] && [ "$(cat "$other/iflink")" = "$i" ] && exit 0; done; ' +
  'nsenter --net=/proc/$PPID/ns/net ip link show dev "$name" >/dev/null 2>&1 && exit 0; ' +
  'ip link property del dev "$link" altname "$name" 2>/dev/null; ' +
  'ip link set dev "$link" alias "" && exec ip link set dev "$link" netns "$PPID" name "$name"';
