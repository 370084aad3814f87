/**
 * Finds a link that was moved into a container, by properties that the container cannot change. The container can
 * change its name, alias and MAC address, and can create other links with these (containernetworking/plugins#773).
 */
import type { Link } from "../../plan/host_state.ts";

/**
 * Mounts a /sys for the script's own network namespace: `nsenter` keeps the caller's /sys. The kernel refuses to mount
 * the sysfs that is mounted there already (EBUSY, do_add_mount), so a tmpfs is mounted in between.
 */
const ownSysfs = "mount -t tmpfs tmpfs /sys && mount -t sysfs sysfs /sys || exit 1; ";

/** The command that runs a script with a /sys of its own namespace. */
export function withOwnSysfs(script: string, ...args: readonly string[]): readonly string[] {
  return ["unshare", "--mount", "sh", "-c", ownSysfs + script, "sh", ...args];
}

/**
 * The identity of a link, in the order of `findLink`'s arguments: device, port, index, lower link, device type, MAC address, and
 * whether it is a veth: like one, a macvlan has a lower link and no device type. The type is "?" if /sys showed another
 * network namespace: then neither device nor lower link are known.
 */
export function identityOf({ device, index, lower, deviceType, mac, kind }: Link): readonly string[] {
  return [
    device?.name ?? "",
    device?.port ?? "",
    `${index}`,
    `${lower ?? ""}`,
    deviceType ?? "?",
    mac,
    kind === "veth" ? "veth" : "",
  ];
}

/**
 * A shell function that prints the name of the link with the identity `$device` … `$mac`. Hardware is identified by its
 * device. A veth's end is identified by its peer, which is still on the host. Other links keep their lower link. They
 * also keep their index, unless the container already had a link with that index. A link of unknown type has to have
 * both index and MAC address.
 */
export const findLink = "device=$1 port=$2 index=$3 lower=$4 kind=$5 mac=$6 veth=$7; shift 7; " +
  'host() { nsenter --net=/proc/$PPID/ns/net ip "$@" 2>/dev/null; }; ' +
  'end=; [ -z "$veth" ] || end=$(host -o link | sed -n "s/^$lower: [^ ]*@if\\([0-9]*\\): .*/\\1/p"); ' +
  'isIt() { cd "/sys/class/net/$link" || return; i=$(cat ifindex) m=$(cat address); ' +
  'if [ "$device" ]; then [ "$(readlink device) $(cat dev_port)" = "$device $port" ]; return; fi; ' +
  'if [ "$kind" != "?" ]; then ' +
  '[ ! -e device ] && [ "$(sed -n s/^DEVTYPE=//p uevent) $(cat iflink)" = "$kind ${lower:-$i}" ] || return; ' +
  'if [ "$end" ]; then [ "$i" = "$end" ]; return; fi; fi; ' +
  'case $how in "?"|both) [ "$i $m" = "$index $mac" ] ;; *) [ "$i" = "$index" ] || [ "$m" = "$mac" ] ;; esac; }; ' +
  'findLink() { [ "$kind" = "?" ] && set "?" || set both either; ' +
  'for how; do cd /sys/class/net; for link in *; do isIt && { echo "$link"; return; }; done; done; }; ';

/** Removes those alternative names of a link that are in use in the target namespace. */
const dropAlternativeNames =
  'ip -o link show dev "$link" | tr "\\\\\\\\" "\\\\n" | sed -n "s/^ *altname //p" | ' +
  'while read -r name; do ip link property del dev "$link" altname "$name"; done; ';

/**
 * Moves the link to the namespace of the parent process, under a given name. The parent is ocinet, in the host's
 * namespace.
 */
export const comeBackScript = `${findLink}link=$(findLink); [ "$link" ] || ` +
  '{ [ "$kind" != "?" ] || host link show dev "$1" >/dev/null || host link show dev "$2" >/dev/null || ' +
  '{ echo "no link there has index $index and MAC address $mac, and by nothing else $1 is known: ' +
  '/sys showed another network namespace; move it to the host by hand" >&2; exit 1; }; exit 0; }; ' +
  'ip link set dev "$link" netns "$PPID" name "$2" && exit; ' +
  `${dropAlternativeNames}exec ip link set dev "$link" netns "$PPID" name "$2"`;

/**
 * Waits for hardware that the kernel returns when a container's namespace ends, and renames it. It returns soon, under
 * its name in the container (default_device_exit_net). A link that has its own name and no alias has been restored
 * already.
 */
export const returnedScript =
  `${findLink}for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ` +
  'ip link show dev "$1" >/dev/null 2>&1 && exit; link=$(findLink); ' +
  '[ "$link" = "$2" ] && [ -z "$(cat "/sys/class/net/$2/ifalias")" ] && exit; ' +
  '[ -n "$link" ] && exec ip link set dev "$link" name "$1"; sleep 0.1; done';

/**
 * Returns a link whose ADD left no record. Only the alias has its name on the host, and the container can write the
 * alias. So the name must be the configured one, or the link must be the configured hardware, and no link of the host
 * may have that name. A link whose peer is also in the container was created there and is left alone.
 */
export const leaveScript = 'link=$1 wanted=$2 mac=$3 device=$4; cd "/sys/class/net/$1" || exit 0; ' +
  'name=$(cat ifalias); case $name in ""|-*|*[!A-Za-z0-9_.+-]*) exit 0 ;; esac; ' +
  '[ -z "$wanted" ] || [ "$name" = "$wanted" ] || exit 0; ' +
  '[ -n "$wanted" ] || [ -e device ] || exit 0; ' +
  '[ -z "$mac" ] || [ "$(cat address)" = "$mac" ] || exit 0; ' +
  '[ -z "$device" ] || [ "$(basename "$(readlink device)")" = "$device" ] || exit 0; ' +
  'i=$(cat ifindex) p=$(cat iflink); [ "$p" = "$i" ] || for other in /sys/class/net/*; do ' +
  '[ "$(cat "$other/ifindex")" = "$p" ] && [ "$(cat "$other/iflink")" = "$i" ] && exit 0; done; ' +
  'nsenter --net=/proc/$PPID/ns/net ip link show dev "$name" >/dev/null 2>&1 && exit 0; ' +
  'ip link property del dev "$link" altname "$name" 2>/dev/null; ' +
  'ip link set dev "$link" alias "" && exec ip link set dev "$link" netns "$PPID" name "$name"';
