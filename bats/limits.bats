#!/usr/bin/env bats
# What a container may do, held to it in its own namespace, root and rootless alike.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

with_each_runtime "--egress lets a container go where it may, and nowhere else, while it answers everybody" egress
egress() {
  launch a "$1" -p 8080:90 --egress 192.0.2.2:80/tcp,2001:db8:1::2 --egress :5353/udp
  goes_where_it_may
  # Neither the host's own address nor what is behind the peer is on the list.
  cannot_reach 192.0.2.1 in_container a
  unanswered tcp 198.51.100.1 80 in_container a
  cannot_reach 192.0.2.2 in_container a
  reaches 2001:db8:1::2 in_container a
  ocinet inspect a | jq -e '.[0].limits == { "egress": ["192.0.2.2:80/tcp", "2001:db8:1::2", ":5353/udp"] }'
  delete_container a
}

goes_where_it_may() {
  serve tcp 80 in_peer
  serve tcp 81 in_peer
  serve udp 5353 in_peer
  serve tcp 90 in_container a
  ask tcp 192.0.2.2 80 in_container a
  ask tcp 2001:db8:1::2 81 in_container a
  ask udp 192.0.2.2 5353 in_container a
  unanswered tcp 192.0.2.2 81 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
}

@test "--egress knows names as the host does, and the container gets the same addresses" {
  echo "192.0.2.2 shop.example"$'\n'"2001:db8:1::2 shop.example" >"$BATS_TEST_TMPDIR/hosts"
  in_host mount --bind "$BATS_TEST_TMPDIR/hosts" /etc/hosts
  launch a runc --egress shop.example:80
  equal "192.0.2.2 shop.example 2001:db8:1::2 shop.example" "$(exec_container a grep shop /etc/hosts | sort | xargs)"
  serve tcp 80 in_peer
  ask tcp 192.0.2.2 80 in_container a
  ask tcp 2001:db8:1::2 80 in_container a
  unanswered tcp 198.51.100.1 80 in_container a
  delete_container a
  prepare b runc --egress unknown.example
  echo "nameserver 127.0.0.1" | in_host tee /etc/resolv.conf >/dev/null
  run ! run_container b "$(bundle_path b)"
  [[ $output == *'Cannot let the container go to'*'unknown.example'*'the host finds no address for it'* ]] || fail "$output"
}

@test "--egress=none leaves a container what it answers" {
  launch a crun -p 8080:90 --egress none
  serve tcp 80 in_peer
  serve tcp 90 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8080 in_peer)"
  unanswered tcp 192.0.2.2 80 in_container a
  unanswered tcp 2001:db8:1::2 80 in_container a
  reaches 127.0.0.1 in_container a
}

@test "--rate-in and --rate-out hold traffic up" {
  launch a runc --rate-in 16mbit --rate-out 8mbit
  hold_up 172.16.28.1 172.16.28.2
  ocinet inspect a | jq -e '.[0].limits == { "rateIn": 16000000, "rateOut": 8000000 }'
}

# hold_up HOST CONTAINER: a megabyte and a half, less a burst of 128 KiB, between these addresses
hold_up() {
  local data="SYSTEM:head -c 1500000 /dev/zero" from=retry=100,interval=0.1
  background to in_host socat -u "$data" TCP4-LISTEN:5201
  takes 684464 in_container a socat -u "TCP4:$1:5201,$from" OPEN:/dev/null
  background from in_container a socat -u "$data" TCP4-LISTEN:5201
  takes 1368928 in_host socat -u "TCP4:$2:5201,$from" OPEN:/dev/null
}

@test "limits of a user's container" {
  make_bundle "$(bundle_path a)" runc rootless
  as_user "$OCINET" inject -p 8080:90 --egress 192.0.2.2:80/tcp,2001:db8:1::2,:5353/udp --rate-in 16mbit "$(bundle_path a)"
  start_container a "$(bundle_path a)"
  goes_where_it_may
  equal "qdisc tbf 1: root refcnt 2 rate 16Mbit burst 128Kb lat 25ms" \
    "$(in_container a tc qdisc show dev ifb-eth0 root | xargs)"
}

@test "what cannot be a limit is refused" {
  local options message
  while read -r options message; do
    # shellcheck disable=SC2086 # several words
    run -2 --separate-stderr ocinet up --id box ${options//,,/ } "$HOST_PID"
    [[ $stderr == *"$message"* ]] || fail "$options: $stderr"
  done <<'ROWS'
--egress=10.0.0.0/33 Cannot read --egress "10.0.0.0/33": it is not none, or a list
--egress=none,10.0.0.0/8 Cannot read --egress: "none" stands alone
--egress=a;b Cannot read --egress "a;b"
--rate-in=10 Cannot read --rate-in "10": it is not a rate
--rate-out=0mbit Cannot read --rate-out "0mbit"
--net=host,,--egress=none Cannot limit a container's traffic with --net=host: it is the host's
--net=none,,--rate-in=1mbit Cannot limit a container's traffic with --net=none: there is none
ROWS
}

@test "limits leave nothing" {
  in_host ip netns add box
  in_host ip -n box link set dev lo up
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  run -0 ocinet gc
  snapshot >"$BATS_TEST_TMPDIR/before"
  traces() { in_host ip netns exec box sh -c 'ip -br link; nft list ruleset; tc qdisc'; }
  local before
  before=$(traces)
  run -0 ocinet up --net default --egress 192.0.2.2:80 --rate-in 16mbit --rate-out 8mbit /run/netns/box
  run -0 ocinet down box
  run -0 ocinet gc
  equal "$before" "$(traces)"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip netns delete box
}
