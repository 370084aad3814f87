#!/usr/bin/env bats
# Which source addresses the host believes, and what it does with packets that belong to nothing it knows. Containers are
# namespaces with names, so that one test can have several of them.
load lib
load contained
load cni
load boxes

setup() {
  set_up_hosts
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
}

teardown() {
  leave_all
  tear_down_hosts
}

# count PLACE... -- NFT MATCH: counts what comes in there and matches; `counted` tells how often that was
count() {
  local place=()
  while [ "$1" != -- ]; do place+=("$1") && shift; done
  "${place[@]}" nft "add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; }; add rule inet seen in ${*:2} counter"
}
counted() { "$@" nft list table inet seen | awk '/ packets / { for (i = 1; i < NF; i++) if ($i == "packets") n += $(i + 1) } END { print n + 0 }'; }

# says_udp SOURCE ADDRESS PLACE...: one datagram to port 9, from an address that the place gives itself for that
says_udp() {
  local protocol=UDP4 source=$1 to=$2
  if [[ $1 == *:* ]]; then protocol=UDP6 source="[$1]" to="[$2]"; fi
  "${@:3}" ip address replace "$1" dev lo nodad 2>/dev/null || "${@:3}" ip address replace "$1" dev lo
  echo hello | "${@:3}" socat -u - "$protocol-SENDTO:$to:9,bind=$source"
}

@test "a container's address is believed by its own link alone, IPv4 and IPv6" {
  enter one --net default
  enter two --net default
  enter blue --net blue
  enter shut --net default-restricted
  enter shut2 --net default-restricted
  local v4=172.16.28.3 v6=fd6f:6369:6e65:28::3
  route_to 172.16.28.0/24 172.31.0.0/16 fd6f:6369:6e65::/48
  for name in one shut; do count in_ns $name -- udp dport 9; done
  # With a live member's address: from another network, from the LAN, and from a member that is another.
  in_ns shut ip route add default via 172.31.0.1
  in_ns shut ip -6 route add default via fd6f:6369:6e65:31::1
  for place in "in_ns blue" in_peer "in_ns shut"; do
    # shellcheck disable=SC2086 # words
    { says_udp $v4 172.16.28.2 $place; says_udp $v6 fd6f:6369:6e65:28::2 $place; }
  done
  for place in "in_ns blue" in_peer "in_ns one"; do
    # shellcheck disable=SC2086 # words
    { says_udp 172.31.0.3 172.31.0.2 $place; says_udp fd6f:6369:6e65:31::3 fd6f:6369:6e65:31::2 $place; }
  done
  equal "0 0" "$(counted in_ns one) $(counted in_ns shut)"
  # The members themselves are heard.
  says_udp $v4 172.16.28.2 in_ns two
  says_udp $v6 fd6f:6369:6e65:28::2 in_ns two
  says_udp 172.31.0.3 172.31.0.2 in_ns shut2
  says_udp fd6f:6369:6e65:31::3 fd6f:6369:6e65:31::2 in_ns shut2
  wait_for counted_is 2 in_ns one
  wait_for counted_is 2 in_ns shut
}

counted_is() { [ "$(counted "${@:2}")" = "$1" ]; }

@test "no container reaches the LAN with an address that is not its own" {
  enter one --net default
  enter blue --net blue
  enter shut --net default-restricted
  in_ns shut ip route add default via 172.31.0.1
  in_ns shut ip -6 route add default via fd6f:6369:6e65:31::1
  route_to 172.31.0.0/16 fd6f:6369:6e65::/48
  in_host nft 'add table inet seen; add chain inet seen in { type filter hook input priority 400; }; add rule inet seen in udp dport { 9, 67 } counter'
  count in_peer -- udp dport 9 ip saddr != 192.0.2.1
  count in_peer -- udp dport 9 ip6 saddr != 2001:db8:1::1
  local name
  for name in one blue shut; do
    says_udp 203.0.113.9 192.0.2.2 in_ns $name
    says_udp 2001:db8:9::9 2001:db8:1::2 in_ns $name
    # Nor the host's own services; the host's address neither.
    says_udp 203.0.113.9 192.0.2.1 in_ns $name
    says_udp 2001:db8:9::9 2001:db8:1::1 in_ns $name
    says_udp 2001:db8:1::2 2001:db8:1::1 in_ns $name
  done
  equal 0 "$(counted in_host)"
  # Who asks for an address has none yet.
  in_ns blue ip address flush dev eth0
  in_ns blue busybox udhcpc -q -n -t 1 -T 1 -i eth0 -s /bin/true || true
  equal 1 "$(counted in_host)"
  leave blue
  enter blue --net blue
  # An internal network has no way out, not even with its own.
  says_udp 172.31.0.2 192.0.2.2 in_ns shut
  says_udp fd6f:6369:6e65:31::2 2001:db8:1::2 in_ns shut
  cannot_reach 192.0.2.2 in_ns shut
  reaches 172.31.0.1 in_ns shut
  reaches 192.0.2.1 in_ns shut
  for name in one blue; do
    reaches 192.0.2.2 in_ns $name
    reaches 2001:db8:1::2 in_ns $name
  done
  equal 0 "$(counted in_peer)"
}

@test "a container with two networks answers by either with the addresses of both" {
  network red.conf red ptp 10.1.2.0/24 '{ "ipam": { "routes": [{ "dst": "0.0.0.0/0" }] } }'
  enter both --net default,red -p 8080:80
  in_ns both ip route show default
  serve tcp 80 in_ns both
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  local address
  for address in 172.16.28.2 10.1.2.2; do
    equal "$address" "$(in_ns both ip -j route get 192.0.2.2 from $address | jq -r '.[0].from // .[0].src')"
    reaches 192.0.2.2 in_ns both
    in_ns both busybox ping -q -c 1 -W 20 -I $address 192.0.2.2
  done
  # A host that is strict about reverse paths; the way out is by a bridge, or by a veth, and ports lead to another network.
  in_host sysctl -q net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
  ocinet network connect --gw-priority 1 blue both
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  ocinet network disconnect blue both
  in_ns both ip route replace default via 10.1.2.1
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  # By a published port, though a macvlan of the container's leads to the client too, in both families.
  leave both
  ocinet network create -d macvlan -o parent=eth0 --subnet 192.0.2.0/24 --ip-range 192.0.2.128/25 \
    --subnet 2001:db8:1::/64 --ip-range 2001:db8:1::ff00/120 lan
  ocinet network create -d ptp --subnet 10.1.3.0/24 --subnet fd00:13::/64 pairs
  local network port=80
  for network in blue pairs; do
    port=$((port + 1))
    enter "near-$network" --net "$network,lan" -p "8080:$port"
    serve tcp "$port" in_ns "near-$network"
    near_is_asked
    ocinet network disconnect lan "near-$network"
    run ! grep -q "from \(10\|fd\)" <<<"$(in_ns "near-$network" ip rule; in_ns "near-$network" ip -6 rule)"
    ocinet network connect lan "near-$network"
    near_is_asked
    enter "next-$network" --net "$network"
    reaches "$(in_ns "next-$network" ip -4 -j address show dev eth0 | jq -r '.[].addr_info[0].local')" in_ns "near-$network"
    leave "near-$network"
  done
}

near_is_asked() { equal "192.0.2.2 2001:db8:1::2" "$(ask tcp 192.0.2.1 8080 in_peer) $(ask tcp 2001:db8:1::1 8080 in_peer)"; }

@test "two networks may have one subnet: the end of a container of one changes nothing for the other" {
  network l2.conf l2 bridge 10.1.1.0/24,fd00:1::/64 '{ "isDefaultGateway": false, "ipMasq": false }'
  enter one --net blue -p 8080:80
  enter two --net l2
  equal "10.1.1.2/24 10.1.1.2/24" "$(ocinet ls --json | jq -r '.[].networks[].ips[0]' | xargs)"
  route_to 10.1.1.0/24 fd00:1::/64
  serve tcp 80 in_ns one
  as_it_was() {
    equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
    equal 192.0.2.1 "$(ask tcp 127.0.0.1 8080 in_host | sed s/10.1.1.1/192.0.2.1/)"
    equal 192.0.2.1 "$(ask tcp 10.1.1.2 80 in_host | sed s/10.1.1.1/192.0.2.1/)"
    unanswered tcp 10.1.1.2 80 in_peer
    unanswered tcp fd00:1::2 80 in_peer
    reaches 192.0.2.2 in_ns one
  }
  as_it_was
  leave two
  as_it_was
  enter two --net l2
  leave one
  reaches 10.1.1.1 in_host
  equal '{ "l20" . 10.1.1.3 }' "$(elements contained4)"
}

@test "a port on 127.0.0.0/8 does not answer the LAN (moby#41872), and the host's own DNAT to 127.0.0.1 works (netavark#1149)" {
  enter one --net default -p 127.0.0.1:8080:80 -p 127.0.0.1:5353:53/udp
  ocinet port add one 127.0.0.2:8081:80
  serve tcp 80 in_ns one
  serve udp 53 in_ns one
  serve tcp 6379 in_host
  # A host that takes 127.0.0.0/8 from elsewhere is the worst case.
  in_host sysctl -q net.ipv4.conf.eth0.route_localnet=1
  in_host nft 'add table ip own; add chain ip own in { type nat hook prerouting priority -110; }; add rule ip own in tcp dport 81 dnat to 127.0.0.1:6379'
  in_peer sysctl -q net.ipv4.conf.all.route_localnet=1
  in_peer ip address delete 127.0.0.1/8 dev lo
  in_peer ip route add 127.0.0.0/8 via 192.0.2.1 src 192.0.2.2
  unanswered tcp 127.0.0.1 8080 in_peer
  unanswered tcp 127.0.0.2 8081 in_peer
  unanswered udp 127.0.0.1 5353 in_peer
  ask tcp 127.0.0.1 8080 in_host
  ask tcp 127.0.0.2 8081 in_host
  ask udp 127.0.0.1 5353 in_host
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 81 in_peer)"
  # A port on all addresses takes nothing of what programs have on others of 127.0.0.0/8 (nerdctl#4526).
  ocinet port add one 5300:80
  background resolver in_host socat TCP-LISTEN:5300,bind=127.0.0.53,fork,reuseaddr SYSTEM:"read -r hello; echo resolver"
  wait_for listens_once 5300 in_host
  equal resolver "$(ask tcp 127.0.0.53 5300 in_host)"
  ask tcp 127.0.0.1 5300 in_host
}

@test "packets that conntrack knows nothing of neither leave with a container's address nor end its connections (libnetwork#1090)" {
  enter one --net default
  enter blue --net blue
  count in_peer -- ip saddr '{ 172.16.28.0/24, 10.1.1.0/24 }'
  count in_peer -- ip6 saddr '{ fd6f:6369:6e65:28::/64, fd00:1::/64 }'
  local name
  # An answer to an echo that was never asked for.
  for name in one blue; do
    printf '\0\0\377\377\0\0\0\0' | in_ns $name socat -u - IP4-SENDTO:192.0.2.2:1
    printf '\201\0\0\0\0\0\0\0' | in_ns $name socat -u - "IP6-SENDTO:[2001:db8:1::2]:58"
  done
  local address
  for address in 192.0.2.2 2001:db8:1::2; do survives_stray_segment $address; done
  equal 0 "$(counted in_peer)"
}

# survives_stray_segment ADDRESS: a connection from container "one" to the peer gets segments far outside of its window
survives_stray_segment() {
  local version=4 go=$BATS_TEST_TMPDIR/go
  [[ $1 != *:* ]] || version=6
  background "echo$version" in_peer socat "TCP$version-LISTEN:7,reuseaddr" EXEC:cat
  wait_for listens_once 7 in_peer
  # shellcheck disable=SC2016 # the inner shell's
  background "client$version" in_ns one bash -c 'exec 5<>"/dev/tcp/$1/7" && echo one >&5 && read -r -t 20 line <&5 && echo "$line"
    until [ -e "$2" ]; do sleep 0.02; done
    echo two >&5 && read -r -t 20 line <&5 && echo "$line"' client "$1" "$go$version"
  wait_for grep -q one "$BATS_TEST_TMPDIR/client$version.log"
  in_peer nft 'add table inet bend; add chain inet bend out { type filter hook output priority 0; }
    add rule inet bend out tcp sport 7 counter tcp sequence set 305419896'
  touch "$go$version"
  wait_for bent
  in_peer nft delete table inet bend
  wait_for grep -q two "$BATS_TEST_TMPDIR/client$version.log" || fail "the connection to $1 was reset"
}

bent() { in_peer nft list table inet bend | grep -q 'packets [2-9]'; }
