# Networks of one plugin, and the law that each of them keeps: what the tests of link types have in common.

# plugin NAME JSON: a network with that one plugin
plugin() {
  jq -n --arg name "$1" --argjson plugin "$2" '{ cniVersion: "1.0.0", $name, plugins: [$plugin] }' \
    >"$NET_DIR/$1.conflist"
}

# followed_by NAME JSON: that plugin comes after those of the network
followed_by() {
  local changed
  changed=$(jq --argjson plugin "$2" '.plugins += [$plugin]' "$NET_DIR/$1.conflist")
  echo "$changed" >"$NET_DIR/$1.conflist"
}

# shellcheck disable=SC2034 # for the tests: one that changes all of a link that it can
TUNING='{ "type": "tuning", "mac": "02:00:00:00:00:77", "mtu": 1300, "promisc": true, "allmulti": false, "txQLen": 9 }'

# static ADDRESS...: an "ipam" with these, each with a prefix length
static() {
  jq -n -c '{ type: "static", addresses: [$ARGS.positional[] | { address: . }] }' --args "$@"
}

# add_box BOX: a new namespace with that name
add_box() {
  in_host ip netns add "$1"
  in_box "$1" ip link set dev lo up
}

# up BOX NETS: a new namespace with that name, attached
up() {
  add_box "$1"
  ocinet up --net-dir "$NET_DIR" --net "$2" "/run/netns/$1" >"$BATS_TEST_TMPDIR/up.log" 2>&1 ||
    fail "$(<"$BATS_TEST_TMPDIR/up.log")"
}

# down BOX...: detached, and the namespaces are gone
down() {
  local box
  for box; do
    ocinet down "$box"
    in_host ip netns delete "$box"
  done
}

# in_box BOX COMMAND...
in_box() { in_host ip netns exec "$@"; }

# result BOX: of its first network, but for routes
result() { ocinet inspect "$1" | jq -c '.[0].networks[0]'; }

# link_of BOX NAME FILTER: jq on all that `ip` says of it
link_of() { in_box "$1" ip -d -j address show dev "$2" | jq -e -c ".[0] | $3"; }

inside() { links_of in_box "$1"; }

# remember BOX: a new namespace of that name, and what it and the host look like with nothing of ours there
remember() {
  run -0 ocinet gc
  add_box "$1"
  snapshot >"$BATS_TEST_TMPDIR/before"
  inside "$1" >"$BATS_TEST_TMPDIR/inside"
}

# is_remembered BOX: after gc, both are as they were
is_remembered() {
  diff "$BATS_TEST_TMPDIR/inside" <(inside "$1")
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# keeps_law NETS: attaching and detaching a namespace leaves it and the host as they were; so does its end in between
keeps_law() {
  remember law
  ocinet up --net-dir "$NET_DIR" --net "$1" /run/netns/law
  run -1 changes_since "$BATS_TEST_TMPDIR/before"
  ocinet down law
  is_remembered law
  ends_well "$1"
}

# ends_well NETS: the second half of that, which destroys a virtual link that was moved in
ends_well() {
  ocinet up --net-dir "$NET_DIR" --net "$1" /run/netns/law
  in_host ip netns delete law
  sed -i '/^law$/d' "$BATS_TEST_TMPDIR/before"
  ocinet down law
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# refused NETS TEXT: cannot be attached, for that reason, and nothing comes of it
refused() {
  remember refused
  run -1 ocinet up --net-dir "$NET_DIR" --net "$1" /run/netns/refused
  # shellcheck disable=SC2154 # `run` sets it
  [[ $output == *"$2"* ]] || fail "expected: $2" "but it says: $output"
  is_remembered refused
  in_host ip netns delete refused
}
