#!/usr/bin/env bats
# Who reaches whom: on one network, on different ones, through a host that forwards nothing by itself; and what of the
# host's own stays out of reach. Each test has containers of both runtimes.
load lib
load contained

@test "containers on one bridge reach each other" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  launch a runc --net blue
  launch b crun --net blue
  serve tcp 80 in_container b
  serve udp 53 in_container b
  equal 10.1.1.2 "$(ask tcp 10.1.1.3 80 in_container a)"
  equal fd00:1::2 "$(ask tcp fd00:1::3 80 in_container a)"
  equal 10.1.1.2 "$(ask udp 10.1.1.3 53 in_container a)"
  reaches 10.1.1.2 in_container b
}

@test "containers on one network of links of their own reach each other" {
  launch a runc
  launch b crun
  serve tcp 80 in_container b
  equal 172.16.28.2 "$(ask tcp 172.16.28.3 80 in_container a)"
  equal fd6f:6369:6e65:28::2 "$(ask tcp fd6f:6369:6e65:28::3 80 in_container a)"
  reaches 172.16.28.2 in_container b
}

@test "containers on different networks do not" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  network red.conf red ptp 10.1.2.0/24,fd00:2::/64 '{ "ipam": { "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] } }'
  launch blue runc --net blue
  launch red crun --net red
  launch plain runc --net default
  launch shut crun --net default-restricted
  # It has no routes to the others, but who is root inside could add them.
  in_container shut ip route add default via 172.31.0.1
  in_container shut ip -6 route add default via fd6f:6369:6e65:31::1
  local blue="10.1.1.2 fd00:1::2" red="10.1.2.2 fd00:2::2"
  local plain="172.16.28.2 fd6f:6369:6e65:28::2" shut="172.31.0.2 fd6f:6369:6e65:31::2"
  local id address
  for address in $blue $red $plain $shut; do reaches "$address" in_host || fail "the host cannot reach $address"; done
  for id in blue red plain; do
    reaches 192.0.2.2 in_container $id
    reaches 2001:db8:1::2 in_container $id
  done
  local all="$blue $red $plain $shut"
  # shellcheck disable=SC2086 # lists
  equal "" "$(for id in blue red plain shut; do reached_from $id ${all/${!id}/} & done && wait)"
}

# reached_from ID ADDRESS...: those that answer the container, a line each
reached_from() {
  # shellcheck disable=SC2016 # the inner shell's
  in_container "$1" sh -c '
    from=$1; shift
    for address; do busybox ping -q -c 2 -i 0.2 -W 1 "$address" >/dev/null 2>&1 && echo "$address from $from" & done
    wait' sh "$@"
}

@test "what the host serves on its loopback is not a container's to reach" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  launch a runc --net default -p 8080:80
  launch b crun --net blue -p 8081:80
  serve tcp 6379 in_host
  serve tcp 80 in_container a
  local id gateway address
  for id in a b; do
    in_container $id sysctl -q net.ipv4.conf.all.route_localnet=1
    in_container $id ip address delete 127.0.0.1/8 dev lo
    in_container $id ip route add 127.0.0.0/8 via "$(default_routes $id | sed -n '1s/ .*//p')"
    in_container $id ip address delete ::1/128 dev lo
    gateway=$(default_routes $id | sed -n '2s/ .*//p')
    in_container $id ip route add ::1 via "$gateway" dev eth0
    ask tcp 192.0.2.1 6379 in_container $id
    unanswered tcp 127.0.0.1 6379 in_container $id
    [[ $(in_container $id ip route get ::1) == *" via $gateway dev eth0"* ]]
    unanswered tcp ::1 6379 in_container $id
  done
  for address in 127.0.0.1 ::1; do
    ask tcp $address 8080 in_host
    ask tcp $address 6379 in_host
  done
}

@test "a host whose iptables forwards nothing forwards for containers, in nft's tables or the kernel's own" {
  drop_forwarded nft legacy
  forwards_for_containers
}

@test "so does one that begins to drop what it forwards later" {
  in_host iptables-nft -A FORWARD -s 203.0.113.0/24 -j DROP
  in_host ip6tables-nft -A FORWARD -s 2001:db8:ffff::/64 -j DROP
  launch early crun
  drop_forwarded nft
  forwards_for_containers
}

# drop_forwarded KIND...: of iptables
drop_forwarded() {
  local kind
  for kind; do
    in_host "iptables-$kind" -P FORWARD DROP
    in_host "ip6tables-$kind" -P FORWARD DROP
  done
}

forwards_for_containers() {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  launch a runc --net default -p 8080:80
  launch b crun --net blue -p 8081:81
  launch c runc --net blue
  serve tcp 80 in_container a
  serve tcp 81 in_container b
  serve tcp 82 in_peer
  local id
  for id in a b; do
    equal 192.0.2.1 "$(ask tcp 192.0.2.2 82 in_container $id)"
    equal 2001:db8:1::1 "$(ask tcp 2001:db8:1::2 82 in_container $id)"
  done
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8081 in_peer)"
  equal 10.1.1.3 "$(ask tcp 10.1.1.2 81 in_container c)"
  equal fd00:1::3 "$(ask tcp fd00:1::2 81 in_container c)"
}

@test "gc takes away the rule that lets our packets past iptables" {
  drop_forwarded nft legacy
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  snapshot >"$BATS_TEST_TMPDIR/before"
  launch a runc
  delete_container a
  run -1 changes_since "$BATS_TEST_TMPDIR/before"
  equal "-P FORWARD DROP -A FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT" "$(in_host iptables-legacy -S FORWARD | xargs)"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  equal "-P FORWARD DROP" "$(in_host iptables-legacy -S FORWARD)"
}

@test "containers on a bridge reach each other whether or not the host's rules see what is bridged" {
  [ -e /proc/sys/net/bridge ] || skip "this kernel has no br_netfilter"
  network blue.conf blue bridge 10.1.1.0/24
  drop_forwarded nft
  launch a runc --net blue -p 8080:80
  launch b crun --net blue
  # Without icc the port of the one is the other's by the host's address, unless the kernel leads from port to port.
  ocinet network create --subnet 10.5.0.0/24 -o com.docker.network.bridge.enable_icc=false apart
  launch c runc --net apart -p 8081:81
  launch d crun --net apart
  serve tcp 80 in_container a
  serve tcp 81 in_container c
  local seen
  for seen in 0 1; do
    in_host sysctl -q net.bridge.bridge-nf-call-iptables=$seen
    equal 10.1.1.3 "$(ask tcp 10.1.1.2 80 in_container b)"
    ask tcp 192.0.2.1 8080 in_container a
    ask tcp 192.0.2.1 8080 in_container b
    unanswered tcp 10.5.0.2 81 in_container d
    equal 192.0.2.2 "$(ask tcp 192.0.2.1 8081 in_peer)"
    if ((seen)); then unanswered tcp 192.0.2.1 8081 in_container d; else ask tcp 192.0.2.1 8081 in_container d; fi
  done
}
