# Two network namespaces joined by a cable: "host", where ocinet and the containers run, and "peer", which plays the
# rest of the world. The host also has a mount namespace, in which the places that ocinet uses on a real machine
# (/run, /etc/ocinet, /var/lib/cni) are empty and its own.

# make_hosts NAME DIRECTORY: sets HOST, PEER, HOST_DIR, HOST_PID, the pid of a process that keeps the host's mounts, and
# HOST_MOUNTS, what /proc/PID/ns/mnt of all processes there is a link to.
# (They are not kept by a bind mount of /proc/PID/ns/mnt, because Linux 6.18 refuses that with EINVAL now and then.)
make_hosts() {
  local ready
  HOST=host-$1 PEER=peer-$1 HOST_DIR=$2
  mkdir -p "$HOST_DIR"/{state,net.d,cni} /etc/ocinet /var/lib/cni
  connect_hosts "netns add $HOST"$'\n'"netns add $PEER"
  exec {ready}< <(exec perl "$HOSTS_PL" keep "$HOST" "$PEER" "$HOST_DIR" "${OCINET_TEST_USER-}" 3>&-)
  # shellcheck disable=SC2034 # for lib.bash
  read -r HOST_PID HOST_MOUNTS <&"$ready"
  exec {ready}<&-
  address_hosts
}
HOSTS_PL=$(cd "${BASH_SOURCE[0]%/*}" && pwd)/hosts.pl

# join_hosts: a cable between the namespaces HOST and PEER, which are there, and addresses
join_hosts() {
  connect_hosts ""
  perl "$HOSTS_PL" settle "$HOST" "$PEER"
  address_hosts
}

# connect_hosts LINES: a cable, after these lines of `ip -batch`
connect_hosts() {
  ip -batch - <<LINES
$1
link add name eth0 netns $HOST type veth peer name eth0 netns $PEER
LINES
}

address_hosts() {
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

# furnish_host DIRECTORY [USER]: the mount namespace this is called in becomes the host's (hosts.pl)
furnish_host() { perl "$HOSTS_PL" furnish "$@"; }

# Everything in them goes with the names: links, rules, mounts.
remove_hosts() {
  kill "$HOST_PID"
  ip -batch - <<LINES
netns delete $HOST
netns delete $PEER
LINES
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
