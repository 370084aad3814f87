# Containers that are namespaces with names, so that one test can have several of them at little cost.

NAMES=()

# enter NAME OPTIONS...: a namespace of that name, attached with these options
enter() {
  in_host ip netns add "$1"
  NAMES+=("$1")
  ocinet up "/run/netns/$1" "${@:2}"
}

leave() {
  ocinet down "$1" 2>/dev/null || true
  in_host ip netns delete "$1" 2>/dev/null || true
}

leave_all() {
  local name
  for name in "${NAMES[@]}"; do leave "$name"; done
}

in_ns() { in_host ip netns exec "$@"; }

# route_to PREFIX...: the peer sends what is for these to the host
route_to() {
  local prefix
  for prefix; do
    if [[ $prefix == *:* ]]; then in_peer ip route add "$prefix" via 2001:db8:1::1; else in_peer ip route add "$prefix" via 192.0.2.1; fi
  done
}

# listens_once PORT PLACE...: one program at least listens on the TCP port there
listens_once() { "${@:2}" ss -Hltn "sport = :$1" | grep -q .; }
