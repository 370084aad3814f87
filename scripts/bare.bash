# What rootless containers lack on a bare machine: for a script in a mount namespace of its own.

# Distributions leave the node open to everyone; a container or a bare devtmpfs may not.
open_tun() {
  [ "$(stat -c %a /dev/net/tun)" != 666 ] || return 0
  local node
  node=$(mktemp -u /tmp/ocinet-tun.XXXXXX)
  mknod -m 666 "$node" c 10 200
  mount --bind "$node" /dev/net/tun
  rm "$node"
}

# crun refuses to run where cgroup v1 and v2 are mounted side by side. Without v2 it still writes where that was.
leave_hybrid_cgroups() {
  mountpoint -q /sys/fs/cgroup/unified || return 0
  umount -l /sys/fs/cgroup/unified
  mount -t tmpfs tmpfs /sys/fs/cgroup/unified
}
