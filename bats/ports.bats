#!/usr/bin/env bats
# Published ports: who reaches them, whom the container sees, who is refused, and who gets a port that two want.
load lib
load contained

with_each_runtime "published TCP and UDP ports are reached from another host, which the container sees" from_peer
from_peer() {
  launch a "$1" -p 8080:80 -p 5353:53/udp
  serve tcp 80 in_container a
  serve udp 53 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8080 in_peer)"
  equal 192.0.2.2 "$(ask udp 192.0.2.1 5353 in_peer)"
  equal 2001:db8:1::2 "$(ask udp 2001:db8:1::1 5353 in_peer)"
  unanswered tcp 192.0.2.1 80 in_peer
  unanswered tcp 2001:db8:1::1 80 in_peer
  unanswered udp 192.0.2.1 8080 in_peer
}

@test "ports and masquerading that were flushed are there again after repair" {
  launch a runc -p 8080:80
  launch b crun -p 8081:80
  serve tcp 80 in_container b
  serve tcp 8000 in_peer
  in_host nft flush ruleset
  unanswered tcp 192.0.2.1 8081 in_peer
  run -0 ocinet repair a
  equal "a: rules were gone, and are there again" "$output"
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8081 in_peer)"
  equal 192.0.2.1 "$(ask tcp 192.0.2.2 8000 in_container a)"
  run -0 ocinet repair a b
  equal "" "$output"
}

with_each_runtime "from the host by each of its addresses, those of its loopback too" from_host
from_host() {
  launch a "$1" -p 8080:80,5353:53/udp
  serve tcp 80 in_container a
  serve udp 53 in_container a
  local address protocol port
  for address in 127.0.0.1 ::1 192.0.2.1 172.16.28.1 2001:db8:1::1 fd6f:6369:6e65:28::1; do
    for protocol in tcp:8080 udp:5353; do
      port=${protocol#*:}
      ask "${protocol%:*}" $address "$port" in_host || fail "no answer by $address over $protocol"
    done
  done
}

@test "from the container itself and its neighbours by the host's address" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  launch a runc --net blue -p 8080:80,5353:53/udp
  launch b crun --net blue
  serve tcp 80 in_container a
  serve udp 53 in_container a
  local who address
  for who in a b; do
    for address in 192.0.2.1 2001:db8:1::1 10.1.1.1 fd00:1::1; do
      ask tcp $address 8080 in_container $who || fail "$who gets no answer by $address"
    done
    ask udp 192.0.2.1 5353 in_container $who
    ask udp 2001:db8:1::1 5353 in_container $who
  done
}

@test "the same where every container has a link of its own, and from other networks" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  launch a runc --net default -p 8080:80,5353:53/udp
  launch b crun --net default
  launch c runc --net blue
  serve tcp 80 in_container a
  serve udp 53 in_container a
  local who address
  for who in a b c; do
    for address in 192.0.2.1 2001:db8:1::1; do
      ask tcp $address 8080 in_container $who || fail "$who gets no answer by $address"
      ask udp $address 5353 in_container $who || fail "$who gets no answer by $address over UDP"
    done
  done
}

@test "a container without a default route is reached by its ports as well, and sees the host instead of who connects" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64 '{ "isGateway": true, "isDefaultGateway": false, "ipMasq": false }'
  launch a runc --net default-restricted -p 8080:80,5353:53/udp
  launch b crun --net blue
  ocinet port add b 8081:80 192.0.2.1:5354:53/udp
  serve tcp 80 in_container a
  serve udp 53 in_container a
  equal 172.31.0.1 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal fd6f:6369:6e65:31::1 "$(ask tcp 2001:db8:1::1 8080 in_peer)"
  equal 172.31.0.1 "$(ask udp 192.0.2.1 5353 in_host)"
  ask tcp 10.1.1.1 8080 in_container b
  ocinet inspect a | jq -e '[.[0].ports[].keepsClientAddress] == [false, false]'
  stop tcp4-80
  stop tcp6-80
  stop udp4-53
  stop udp6-53
  serve tcp 80 in_container b
  serve udp 53 in_container b
  equal 10.1.1.1 "$(ask tcp 192.0.2.1 8081 in_peer)"
  equal fd00:1::1 "$(ask tcp 2001:db8:1::1 8081 in_peer)"
  equal 10.1.1.1 "$(ask udp 192.0.2.1 5354 in_peer)"
  ocinet port rm b 8081:80
  equal 10.1.1.1 "$(ask udp 192.0.2.1 5354 in_peer)"
  ocinet port ls b --json | jq -e '[.[].keepsClientAddress] == [false]'
}

with_each_runtime "ranges, one port for one" port_ranges
port_ranges() {
  launch a "$1" -p 9000-9002:80-82
  serve tcp 80 in_container a
  serve tcp 82 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 9000 in_peer)"
  unanswered tcp 192.0.2.1 9001 in_peer
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 9002 in_peer)"
  ocinet ls --json | jq -e '[.[0].ports[].mapping] == ["9000:80/tcp", "9001:81/tcp", "9002:82/tcp"]'
}

@test "a range with the same numbers on both sides is one claim and one rule, of which a part may go" {
  launch a runc -p 6000-6999:6000-6999
  serve tcp 6000 in_container a
  serve tcp 6999 in_container a
  local port
  for port in 6000 6999; do
    equal 192.0.2.2 "$(ask tcp 192.0.2.1 $port in_peer)"
    equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 $port in_peer)"
    ask tcp 127.0.0.1 $port in_host
    ask tcp ::1 $port in_host
  done
  unanswered tcp 192.0.2.1 6001 in_peer
  equal 1 "$(find "$STATE_DIR/ports" -type f | wc -l)"
  equal "6000-6999:6000-6999/tcp" "$(ocinet ls | awk 'NR == 2 { print $NF }')"
  ocinet trace a :6999 | grep -F 'leads there'

  # Whoever wants a part of it is refused.
  launch b crun
  run -1 ocinet port add b 6999:80
  equal 'ocinet: Cannot publish "6999:80/tcp": container "a" has it' "$output"
  run -1 ocinet port add b 5000-7999:5000-7999
  equal 'ocinet: Cannot publish "6000:6000/tcp": container "a" has it' "$output"
  ocinet port add b 7000:80

  in_host nft flush map inet ocinet ranges4
  unanswered tcp 192.0.2.1 6000 in_peer
  ocinet repair a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 6000 in_peer)"

  ocinet port rm a 6000 >/dev/null
  unanswered tcp 192.0.2.1 6000 in_peer
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 6999 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 6999 in_peer)"
  ocinet port add b 6000:6000
  delete_container a
  delete_container b
  equal "" "$(find "$STATE_DIR/ports" -type f)"
  own_elements && fail "elements are left"
  true
}

with_each_runtime "a port on one address, or of one family, answers there alone" bound_ports
bound_ports() {
  launch a "$1" -p 127.0.0.1:8001:80 -p 192.0.2.1:8002:80 -p "[2001:db8:1::1]:8003:80" -p 0.0.0.0:8004:80 -p "[::]:8005:80" \
    -p "[::1]:8006:80"
  serve tcp 80 in_container a
  answers 8001 127.0.0.1
  answers 8002 192.0.2.1
  answers 8003 2001:db8:1::1
  answers 8004 127.0.0.1 192.0.2.1
  answers 8005 ::1 2001:db8:1::1
  answers 8006 ::1
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8002 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8003 in_peer)"
  unanswered tcp 192.0.2.1 8001 in_peer
}

@test "what is sent to others passes, and a port on an address that the host may get answers once it has it" {
  local address
  in_host sysctl -q net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1
  launch a runc -p 198.51.100.1:8080:80 -p "[2001:db8:2::1]:8080:80"
  launch b crun
  serve tcp 80 in_container a
  serve tcp 8080 in_peer
  for address in 198.51.100.1 2001:db8:2::1; do
    ask tcp $address 8080 in_host
    ask tcp $address 8080 in_container b
  done
  stop tcp4-8080
  stop tcp6-8080
  unanswered tcp 198.51.100.1 8080 in_host
  in_host ip -batch - <<<"address add 198.51.100.1/32 dev lo
    address add 2001:db8:2::1/128 dev lo nodad"
  for address in 198.51.100.1 2001:db8:2::1; do
    ask tcp $address 8080 in_host
    ask tcp $address 8080 in_container b
  done
}

# answers PORT ADDRESS...: to the host by these of its addresses, and no other
answers() {
  local port=$1 address
  shift
  for address in 127.0.0.1 ::1 192.0.2.1 2001:db8:1::1; do
    if [[ " $* " == *" $address "* ]]; then
      ask tcp $address "$port" in_host || fail "no answer by $address to port $port"
    else
      unanswered tcp $address "$port" in_host
    fi
  done
}

with_each_runtime "what is not published is out of reach, even by a route to the container" unpublished_ports
unpublished_ports() {
  launch a "$1" -p 8080:80
  serve tcp 80 in_container a
  serve tcp 81 in_container a
  in_peer ip route add 172.16.28.0/24 via 192.0.2.1
  in_peer ip route add fd6f:6369:6e65:28::/64 via 2001:db8:1::1
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8080 in_peer)"
  ask tcp 172.16.28.2 81 in_host
  local port
  for port in 80 81; do
    unanswered tcp 172.16.28.2 $port in_peer
    unanswered tcp fd6f:6369:6e65:28::2 $port in_peer
  done
}

@test "a UDP flow is led to the container that has the port now" {
  keep_asking() {
    in_peer socat "UDP4:192.0.2.1:5353,sourceport=4000" SYSTEM:"echo hello; timeout 20 head -n 1 >$BATS_TEST_TMPDIR/answer" &&
      cat "$BATS_TEST_TMPDIR/answer"
  }
  run ! keep_asking
  launch a runc -p 5353:53/udp
  serve udp 53 in_container a
  equal 192.0.2.2 "$(keep_asking)"
  delete_container a
  stop udp4-53
  stop udp6-53
  launch b crun -p 5353:54/udp
  equal "172.16.28.3" "$(addresses b | sed -n 's,^eth0 \(.*\)/24,\1,p')"
  serve udp 54 in_container b
  equal 192.0.2.2 "$(keep_asking)"
}

@test "a range of UDP ports takes as many processes as one, and ends no other flows" {
  local flow="-s 172.16.28.9 -d 198.51.100.1 --sport 4000 --dport 5353 -r 198.51.100.1 -q 192.0.2.1 --reply-port-src 5353"
  local program=$BATS_TEST_TMPDIR/programs/conntrack
  in_host ip netns add box
  # shellcheck disable=SC2086 # words
  in_host conntrack -I -p udp $flow --reply-port-dst 4000 -t 600 >/dev/null
  mkdir "${program%/*}"
  printf '#!/bin/sh\necho "$*" >>%s\nexec %s "$@"\n' "$BATS_TEST_TMPDIR/said" "$(type -P conntrack)" >"$program"
  chmod 755 "$program"
  PATH=${program%/*}:$PATH ocinet up /run/netns/box -p 5000-5499:5000-5499/udp
  PATH=${program%/*}:$PATH ocinet down box
  equal "-L -p udp
-L -p udp" "$(<"$BATS_TEST_TMPDIR/said")"
  [[ $(in_host conntrack -L -p udp 2>/dev/null) == *" dst=198.51.100.1 sport=4000 dport=5353 "* ]]
  in_host ip netns delete box
}

@test "a port that is taken is refused before anything is made, with the name of who has it" {
  launch first runc -p 8080:80 -p 127.0.0.1:8081:80 -p 8082:80/udp
  background listener in_host socat TCP4-LISTEN:9000,bind=192.0.2.1,fork SYSTEM:cat
  background dns in_host socat UDP6-RECVFROM:9053,fork SYSTEM:cat
  wait_for in_host sh -c 'ss -Hltn "sport = :9000" | grep . && ss -Hlun "sport = :9053" | grep .'
  make_bundle "$(bundle_path second)" crun
  start_container second "$(bundle_path second)"
  snapshot >"$BATS_TEST_TMPDIR/before"

  refused 8080:81 'Cannot publish "8080:81/tcp": container "first" has it'
  refused 192.0.2.1:8080:81 'Cannot publish "192.0.2.1:8080:81/tcp": container "first" has it'
  refused 8000-8090:8000-8090 'Cannot publish "8080:8080/tcp": container "first" has it'
  refused 8081:81 'Cannot publish "8081:81/tcp": container "first" has it'
  refused 0.0.0.0:8081:81 'Cannot publish "0.0.0.0:8081:81/tcp": container "first" has it'
  refused 8082:81/udp 'Cannot publish "8082:81/udp": container "first" has it'
  refused 9000:80 'Cannot publish "9000:80/tcp": process '*' (socat) listens on it'
  refused 9053:53/udp 'Cannot publish "9053:53/udp": process '*' (socat) listens on it'
  refused "7000:1 -p 127.0.0.1:7000:2" 'Cannot publish "127.0.0.1:7000:2/tcp": this container publishes it already, as "7000:1/tcp"'
  rm "$STATE_DIR/hook.log"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"

  # Another protocol, another address and another family are others' ports.
  ocinet hook createRuntime -p 8080:80/udp -p 192.0.2.1:8081:81 -p "[2001:db8:1::1]:9000:80" <<<"$(container_state second)"
}

# refused "PORTS" MESSAGE: when a second container asks for them
refused() {
  local words
  read -ra words <<<"-p $1"
  run -1 ocinet hook createRuntime "${words[@]}" <<<"$(container_state second)"
  # shellcheck disable=SC2053 # the message is a pattern
  [[ $output == "ocinet: "$2 ]] || fail "for $1:" "$output"
}

@test "ports and networks in ls and inspect" {
  network blue.conf blue bridge 10.1.1.0/24
  launch box runc --net blue -p 8080:80 -p 192.0.2.1:5353:53/udp
  launch other crun --net none
  equal "ID     STATE  NETWORKS           PORTS
box    up     blue:ip4=10.1.1.2  8080:80/tcp, 192.0.2.1:5353:53/udp
other  up" "$(ocinet ls)"
  # shellcheck disable=SC2016 # jq's variable
  ocinet inspect box --json | jq -e --argjson pid "$(container_pid box)" '.[0]
    | .id == "box" and .state == "up" and .pid == $pid and .netns == "/proc/\($pid)/ns/net"
    and (.networks[0] | .name == "blue" and .by == "bridge" and .ifname == "eth0" and .ips == ["10.1.1.2/24"]
      and .gateways == ["10.1.1.1"] and .routes == [{ dst: "0.0.0.0/0", gw: "10.1.1.1" }] and (.mac | startswith("02:")))
    and .ports == [
      { mapping: "8080:80/tcp", hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp", driver: "nftables", keepsClientAddress: true },
      { mapping: "192.0.2.1:5353:53/udp", hostIp: "192.0.2.1", hostPort: 5353, containerPort: 53, protocol: "udp", driver: "nftables", keepsClientAddress: true }]'
}

@test "an SCTP port is published by the same rules" {
  launch a runc -p 9000:90/sctp
  run -0 in_host nft list map inet ocinet ports4
  [[ $output == *"sctp . 9000 "*" : 172.16.28.2 . 90"* ]]
  run -0 in_host nft list map inet ocinet ports6
  [[ $output == *"sctp . 9000 "*" : fd6f:6369:6e65:28::2 . 90"* ]]
}
