#!/usr/bin/env bats
# What --net gives a container: every mode, networks of one's own, several at once, their arguments; and how hooks are
# called.
load lib
load contained

with_each_runtime "host: the host's own network, and nothing is made" mode_host
mode_host() {
  prepare a "$1" --net host
  snapshot >"$BATS_TEST_TMPDIR/before"
  start_container a "$(bundle_path a)"
  equal "$(in_host readlink /proc/self/ns/net)" "$(exec_container a readlink /proc/self/ns/net)"
  ocinet ls --json | jq -e '. == []'
  equal "" "$(in_host nft list ruleset)"
  delete_container a
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

with_each_runtime "host, for a container with a network namespace of its own, is refused" mode_host_apart
mode_host_apart() {
  prepare a "$1"
  set_config "$(bundle_path a)" '.annotations = { "org.ocinet.net": "host" }'
  note_container a "$(bundle_path a)"
  run ! runtime_of "$(bundle_path a)" run --detach --bundle "$(bundle_path a)" a
  [[ $(<"$STATE_DIR/hook.log") == *'Cannot attach container "a" to the host'"'"'s network: it has a network namespace of its own; take that out '* ]]
}

with_each_runtime "none: loopback and no route" mode_none
mode_none() {
  launch a "$1" --net none
  equal "lo" "$(in_container a ip -j link | jq -r '.[].ifname')"
  [[ $(exec_container a ip addr show lo) == *"<LOOPBACK,UP,"*127.0.0.1/8*::1/128* ]]
  equal "" "$(exec_container a ip route)"
  run -1 in_host [ "/proc/$(container_pid a)/ns/net" -ef /proc/self/ns/net ]
  ocinet ls --json | jq -e '.[0] | .id == "a" and .state == "up" and .networks == [] and .ports == []'
}

with_each_runtime "default: both families, out by the host's address" mode_default
mode_default() {
  launch a "$1"
  run -0 exec_container a ip address show eth0
  [[ $output == *"eth0@"*",UP,"*"inet 172.16.28.2/24 "*"inet6 fd6f:6369:6e65:28::2/64 "* ]]
  run -0 exec_container a ip route
  equal "default via 172.16.28.1 dev eth0" "$(echo "${lines[0]}" | xargs)"
  equal "172.16.28.1 eth0"$'\n'"fd6f:6369:6e65:28::1 eth0" "$(default_routes a)"
  reaches 172.16.28.1 in_container a
  reaches fd6f:6369:6e65:28::1 in_container a

  serve tcp 80 in_peer
  equal 192.0.2.1 "$(ask tcp 192.0.2.2 80 in_container a)"
  equal 192.0.2.1 "$(ask tcp 198.51.100.1 80 in_container a)"
  equal 2001:db8:1::1 "$(ask tcp 2001:db8:1::2 80 in_container a)"
  equal 2001:db8:1::1 "$(ask tcp 2001:db8:2::1 80 in_container a)"
  ocinet inspect a | jq -e '.[0].networks[0] | .name == "default" and .by == "ptp" and .ifname == "eth0"'
}

with_each_runtime "default on a host without IPv6 has IPv4 alone" mode_default_ipv4
mode_default_ipv4() {
  in_host ip -6 address flush dev eth0
  launch a "$1" --net default
  equal "eth0 172.16.28.2/24" "$(addresses a)"
  equal "172.16.28.1 eth0" "$(default_routes a)"
}

with_each_runtime "default-restricted: the host, and nothing beyond it" mode_restricted
mode_restricted() {
  launch a "$1" --net default-restricted
  equal "eth0 172.31.0.2/16"$'\n'"eth0 fd6f:6369:6e65:31::2/64" "$(addresses a)"
  equal "" "$(default_routes a)"
  serve tcp 80 in_host
  equal 172.31.0.2 "$(ask tcp 172.31.0.1 80 in_container a)"
  equal fd6f:6369:6e65:31::2 "$(ask tcp fd6f:6369:6e65:31::1 80 in_container a)"
  cannot_reach 192.0.2.2 in_container a
  cannot_reach 2001:db8:1::2 in_container a
}

with_each_runtime "networks of one's own: bridge and ptp, .conf and .conflist, net.d and --net-dir" own_networks
own_networks() {
  local extra=$BATS_TEST_TMPDIR/extra
  mkdir "$extra"
  network blue.conf blue bridge 10.1.1.0/24
  network "$extra/green.conflist" green bridge 10.1.2.0/24,fd00:2::/64
  network red.conflist red ptp 10.1.3.0/24
  network "$extra/white.conf" white ptp 10.1.4.0/24
  launch a "$1" --net-dir "$extra" --net blue,green --net red,white
  equal "eth0 10.1.1.2/24
eth1 10.1.2.2/24
eth1 fd00:2::2/64
eth2 10.1.3.2/24
eth3 10.1.4.2/24" "$(addresses a)"
  ocinet inspect a | jq -e '[.[0].networks[] | "\(.name) \(.by)"] == ["blue bridge", "green bridge", "red ptp", "white ptp"]'
  local gateway
  for gateway in 10.1.1.1 10.1.2.1 fd00:2::1 10.1.3.1 10.1.4.1; do
    reaches $gateway in_container a || fail "no answer from $gateway"
  done
}

with_each_runtime "several networks: interfaces in the order of the file names, the first default route" several_networks
several_networks() {
  network 30-red.conf red bridge 10.1.3.0/24
  network 20-blue.conf blue ptp 10.1.2.0/24
  network 10-green.conflist green bridge 10.1.1.0/24 '{ "isDefaultGateway": false, "isGateway": true }'
  launch a "$1" --net red,blue,green
  equal "eth0 10.1.1.2/24"$'\n'"eth1 10.1.2.2/24"$'\n'"eth2 10.1.3.2/24" "$(addresses a)"
  equal "10.1.2.1 eth1" "$(default_routes a)"
  reaches 10.1.3.1 in_container a
}

with_each_runtime "all: every network, the built-in ones among them" mode_all
mode_all() {
  in_host ip -6 address flush dev eth0
  network 99-delta.conf delta ptp 10.1.1.0/24
  network 00-alpha.conf alpha bridge 10.1.2.0/24
  launch a "$1" --net all,alpha:IP=10.1.2.7
  equal "eth0 10.1.2.7/24
eth1 172.31.0.2/16
eth2 172.16.28.2/24
eth3 10.1.1.2/24" "$(addresses a)"
  equal "10.1.2.1 eth0" "$(default_routes a)"
}

with_each_runtime "arguments of a network: an address of one's choice, a MAC address" network_arguments
network_arguments() {
  network blue.conf blue bridge 10.1.1.0/24
  network red.conf red ptp 10.1.2.0/24
  launch a "$1" --net "blue:IP=10.1.1.77;MAC=02-00-00-00-00-77,red:ip=10.1.2.99;mac=02:00:00:00:00:99"
  equal "eth0 10.1.1.77/24"$'\n'"eth1 10.1.2.99/24" "$(addresses a)"
  equal 02:00:00:00:00:77 "$(in_container a ip -j link show eth0 | jq -r '.[0].address')"
  equal 02:00:00:00:00:99 "$(in_container a ip -j link show eth1 | jq -r '.[0].address')"
}

with_each_runtime "a network of one's own stands in for a built-in one of its name" overridden_network
overridden_network() {
  network 10-mine.conf default bridge 10.9.0.0/16
  launch a "$1"
  equal "eth0 10.9.0.2/16" "$(addresses a)"
}

with_each_runtime "annotations say what arguments do not" annotations
annotations() {
  network blue.conf blue ptp 10.1.1.0/24
  network red.conf red ptp 10.1.2.0/24
  prepare a "$1"
  set_config "$(bundle_path a)" '.annotations = {
    "org.ocinet.net": "blue:IP=10.1.1.9 red", "org.ocinet.publish": "8080:80 8081:81", "org.ocinet.dns": "192.0.2.9" }'
  start_container a "$(bundle_path a)"
  equal "eth0 10.1.1.9/24"$'\n'"eth1 10.1.2.2/24" "$(addresses a)"
  ocinet ls --json | jq -e '[.[0].ports[].mapping] == ["8080:80/tcp", "8081:81/tcp"]'
  [[ $(exec_container a cat /etc/resolv.conf) == *"nameserver 192.0.2.9"* ]]
}

with_each_runtime "arguments outweigh annotations, each by itself" arguments_win
arguments_win() {
  network blue.conf blue ptp 10.1.1.0/24
  network red.conf red ptp 10.1.2.0/24
  prepare a "$1" --net red
  set_config "$(bundle_path a)" '.annotations = { "org.ocinet.net": "blue", "org.ocinet.publish": "8080:80" }'
  start_container a "$(bundle_path a)"
  equal "eth0 10.1.2.2/24" "$(addresses a)"
  ocinet ls --json | jq -e '[.[0].ports[].mapping] == ["8080:80/tcp"]'
}

with_each_runtime "hooks written by hand, with no environment" bare_hooks
bare_hooks() {
  network blue.conf blue bridge 10.1.1.0/24
  make_bundle "$(bundle_path a)" "$1"
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(bundle_path a)" '.hooks = {
    createRuntime: [{ path: $ocinet, args: ["ocinet", "hook", "createRuntime", "--net", "blue", "-p", "8080:80"] }],
    poststop: [{ path: $ocinet, args: ["ocinet", "hook", "poststop"], env: [] }] }' --arg ocinet "$OCINET"
  start_container a "$(bundle_path a)"
  equal "eth0 10.1.1.2/24" "$(addresses a)"
  ocinet ls --json | jq -e '[.[].id] == ["a"]'
  delete_container a
  ocinet ls --json | jq -e '. == []'
  equal "" "$(ls "$STATE_DIR/containers")"
}

with_each_runtime "a second createRuntime of an id takes the first one's network away" second_create
second_create() {
  network blue.conf blue bridge 10.1.1.0/24
  network red.conf red ptp 10.1.2.0/24
  launch a "$1" --net blue -p 8080:80
  local state
  state=$(container_state a)
  ocinet hook createRuntime --net red -p 8080:81 <<<"$state"
  equal "eth0 10.1.2.2/24" "$(addresses a)"
  ocinet ls --json | jq -e 'length == 1 and [.[0].networks[].name] == ["red"] and [.[0].ports[].mapping] == ["8080:81/tcp"]'
  equal "" "$(in_host ls /sys/class/net/blue0/brif)"
  run -1 grep -r --include '10.*' . "$STATE_DIR/networks/blue"
  serve tcp 81 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
}

with_each_runtime "a container that cannot have its network does not start, and says why in one line" failing_hook
failing_hook() {
  prepare a "$1" --net default:IP=172.16.28.1
  snapshot >"$BATS_TEST_TMPDIR/before"
  run ! start_container a "$(bundle_path a)"
  # crun keeps what a hook says to itself, so it is in the log as well.
  [ "$1" = crun ] || equal 1 "$(grep -c "ocinet: .*requested ip 172.16.28.1 is subnet's gateway" <<<"$output")"
  grep "createRuntime a: .*requested ip 172.16.28.1 is subnet's gateway" "$STATE_DIR/hook.log"
  run -1 grep -E '^\s+at ' "$STATE_DIR/hook.log" <(echo "$output")
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "what cannot be finished is undone, whatever had been done" {
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  in_host ip netns add box
  in_host ip -n box link add eth0 type dummy 2>/dev/null || in_host ip -n box link add eth0 type veth peer name other0
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -1 ocinet up /run/netns/box --net default -p 8080:80/udp
  [[ $output == 'ocinet: Cannot '*"File exists"* ]]
  equal 1 "${#lines[@]}"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip netns delete box
}

with_each_runtime "a container is taken down from a directory that is gone" directory_is_gone
directory_is_gone() {
  launch a "$1" -p 8080:80
  mkdir "$BATS_TEST_TMPDIR/gone"
  # shellcheck disable=SC2016 # the inner shell's
  in_host bash -c 'cd "$1"; rmdir "$1"; shift; "$@"' bash "$BATS_TEST_TMPDIR/gone" "$1" --root "$BATS_TEST_TMPDIR/$1" delete --force a
  unset "PIDS[a]"
  ocinet ls --json | jq -e '. == []'
}
