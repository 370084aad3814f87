/** A host of its own for what is timed: network, mount and PID namespaces that end with it. */

const furnish = [
  "mount --make-rprivate /",
  "mount -t sysfs sysfs /sys",
  "mount -t tmpfs tmpfs /run",
  "mount -t tmpfs tmpfs /var/cache",
  "mkdir -p /run/lock /run/netns",
  "ip link set lo up",
  "sysctl -qw net.ipv4.ip_forward=1",
].join(" && ");

/** The words after `unshare` that run a command on such a host. */
export function onHost(argv: readonly string[]): string[] {
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  return [...namespaces, "sh", "-c", `${furnish} && exec "$@"`, "sh", ...argv];
}
