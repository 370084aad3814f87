# Two network namespaces joined by a cable: "host", where ocinet and the containers run, and "peer", which plays the
# rest of the world. The host also has a mount namespace, in which the places that ocinet uses on a real machine
# (/run, /etc/ocinet, /var/lib/cni) are empty and its own.

# make_hosts NAME DIRECTORY: sets HOST, PEER, HOST_DIR, and HOST_PID, the pid of a process that keeps the host's mounts.
# (They are not kept by a bind mount of /proc/PID/ns/mnt, because Linux 6.18 refuses that with EINVAL now and then.)
make_hosts() {
  local ready
  HOST=host-$1 PEER=peer-$1 HOST_DIR=$2
  mkdir -p "$HOST_DIR"/{state,net.d,cni} /etc/ocinet /var/lib/cni
  ip netns add "$HOST"
  ip netns add "$PEER"
  join_hosts
  exec {ready}< <(exec nsenter --net="/run/netns/$HOST" unshare --mount --propagation private \
    bash -euc "$(declare -f furnish_host keep_host); keep_host "'"$@"' keep_host "$HOST_DIR" "${OCINET_TEST_USER-}" 3>&-)
  read -r HOST_PID <&"$ready"
  exec {ready}<&-
}

keep_host() {
  furnish_host "$@"
  echo $$
  exec sleep infinity >/dev/null 2>&1
}

# Addresses are usable at once: duplicate address detection would hold them back for a second.
join_hosts() {
  ip link add name eth0 netns "$HOST" type veth peer name eth0 netns "$PEER"
  local at
  for at in "$HOST" "$PEER"; do
    ip netns exec "$at" sysctl -q net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.lo.accept_dad=0 \
      net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 "net.ipv4.ping_group_range=0 2147483647"
  done
  ip -n "$HOST" -batch - <<LINES
link set dev lo up
link set dev eth0 up
address add 192.0.2.1/24 dev eth0
address add 2001:db8:1::1/64 dev eth0 nodad
route add default via 192.0.2.2
route add default via 2001:db8:1::2
LINES
  ip -n "$PEER" -batch - <<LINES
link set dev lo up
link set dev eth0 up
address add 192.0.2.2/24 dev eth0
address add 2001:db8:1::2/64 dev eth0 nodad
address add 198.51.100.1/32 dev lo
address add 2001:db8:2::1/128 dev lo nodad
LINES
}

# furnish_host DIRECTORY USER: what the host sees of the file system. /sys shows the network namespace in which it was
# mounted, so it is mounted again, and the cgroups, which it carries, are moved over.
furnish_host() {
  mount --rbind /sys/fs/cgroup "$1/cni"
  umount -l /sys
  mount -t sysfs sysfs /sys
  mount --move "$1/cni" /sys/fs/cgroup
  local resolv
  resolv=$(readlink -f /etc/resolv.conf)
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/{lock,netns,ocinet,user} "$(dirname "$resolv")"
  echo "nameserver 192.0.2.2" >"$1/resolv.conf"
  [ -e "$resolv" ] || touch "$resolv"
  mount --bind "$1/resolv.conf" "$resolv"
  mount --bind "$1/state" /run/ocinet
  mount -t tmpfs -o mode=755 tmpfs /etc/ocinet
  mkdir /etc/ocinet/net.d
  mount --bind "$1/net.d" /etc/ocinet/net.d
  mount --bind "$1/cni" /var/lib/cni
  [ -n "$2" ] || return 0
  install -d -m 700 -o "$2" -g "$2" "$1/user" "$1/user/home" "$1/user/run"
  chmod 711 "$1/user"
  local runtime_dir
  runtime_dir=/run/user/$(id -u "$2")
  mkdir "$runtime_dir"
  mount --bind "$1/user/run" "$runtime_dir"
}

# Everything in them goes with the names: links, rules, mounts.
remove_hosts() {
  kill "$HOST_PID"
  ip netns delete "$HOST"
  ip netns delete "$PEER"
}

# A process started in the host or the peer, and all that comes of it, is in the cgroup CGROUP, and its pid in PID_FILE,
# if these are set.
track() {
  [ -z "${PID_FILE-}" ] || echo $BASHPID >"$PID_FILE"
  [ -z "${CGROUP-}" ] || echo $BASHPID >"$CGROUP/cgroup.procs"
}

# in_host COMMAND...
in_host() {
  if ((EUID)); then
    (track && exec "$@")
  else
    (track && exec nsenter --target "$HOST_PID" --net --mount --wdns="$PWD" -- "$@")
  fi
}

# own_elements: a line for each of the host's sets with elements of a container's or a port's; fails if there is none.
# What is said of bridges and links that containers share stays until gc, as these do.
own_elements() {
  in_host nft list ruleset | awk '$1 == "set" || $1 == "map" { set = $2 } /elements = / && set !~ /^((own_)?bridges|localnet|resolvers[46]|unforwarded[46])$/' | grep .
}

# in_peer COMMAND...
in_peer() {
  (track && exec ip netns exec "$PEER" "$@")
}

# as_user COMMAND...: in the host as the ordinary user, with a login's environment and nothing else
as_user() {
  local user=$OCINET_TEST_USER
  in_host setpriv --reuid "$user" --regid "$user" --init-groups -- env -i PATH="$PATH" USER="$user" LOGNAME="$user" \
    HOME="$HOST_DIR/user/home" XDG_RUNTIME_DIR="/run/user/$(id -u "$user")" OCINET_TEST_USER="$user" \
    ${OCINET_RUNTIME:+OCINET_RUNTIME="$OCINET_RUNTIME"} HOST_DIR="$HOST_DIR" "$@"
}
