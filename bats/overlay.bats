# Overlay networks over several hosts, with a real etcd.
# as long as 30 tests
load lib
load overlay

setup() {
  PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  OCINET=$PROJECT/dist/ocinet
  make_cluster "$(hosts_of_test)"
}
teardown() {
  [ -n "${BATS_TEST_COMPLETED-}" ] || tell_first_try
  remove_cluster
}

hosts_of_test() { if [[ $BATS_TEST_DESCRIPTION == *"three hosts"* ]]; then echo 3; else echo 2; fi; }

both_agents() {
  start_agent 1
  start_agent 2
}

@test "containers of a network reach each other over three hosts, those of another network do not" {
  both_agents
  start_agent 3
  oci 1 cluster create --subnet 10.9.0.0/24 --subnet fd00:9::/64 shop
  run ! oci 2 cluster create --subnet 192.0.2.128/25 bad
  [[ $output == *'with subnet 192.0.2.128/25: it contains 192.0.2.254, which is a name server or etcd'* ]]
  oci 2 cluster create --multicast --subnet 10.7.0.0/24 --subnet fd00:7::/64 other
  # As Docker has it.
  on 3 iptables -P FORWARD DROP
  on 3 ip6tables -P FORWARD DROP
  up 1 c11 shop
  up 2 c21 shop
  up 3 c31 shop
  [ "$(oci 3 network inspect --format '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{end}}{{.EnableIPv6}}' shop)" = \
    "10.9.0.0/24 10.9.0.1 fd00:9::/64 fd00:9::1 true" ]
  up 2 o21 other
  up 3 o31 other
  wait_for pings "$(address_of c21)" inside c11
  wait_for pings "$(address_of c21 -6)" inside c11
  wait_for pings "$(address_of c11)" inside c31
  wait_for pings "$(address_of o31)" inside o21
  wait_for pings "$(address_of c21)" on 1
  wait_for pings "$(address_of c21 -6)" on 1
  # Link-local addresses, too, and packets of just the MTU.
  pings "$(ip -n "$LAN-c21" -j -6 address show dev eth0 | jq -r '.[].addr_info[] | select(.scope == "link").local')%eth0" \
    inside c11
  [ "$(inside c11 cat /sys/class/net/eth0/mtu)" = 1450 ]
  inside c11 busybox ping -q -c 1 -W 2 -s 1422 "$(address_of c21)"
  # TCP, of more than a packet.
  started server ip netns exec "$LAN-c21" socat TCP-LISTEN:80,fork,reuseaddr "EXEC:head -c 300000"
  wait_for listens_on_80
  [ "$(head -c 300000 /dev/zero | inside c11 socat -t 5 - "TCP:$(address_of c21):80" | wc -c)" = 300000 ]
  # No link heeds a router advertisement of a container's.
  inside c11 grep -qx 0 /proc/sys/net/ipv6/conf/eth0/accept_ra
  run -0 on 1 sh -c 'cat /proc/sys/net/ipv6/conf/ov*/accept_ra /proc/sys/net/ipv6/conf/vx*/accept_ra /proc/sys/net/ipv6/conf/veth*/accept_ra'
  [ "$output" = $'0\n0\n0' ]
  # Names: of containers on all hosts, as long as they are there.
  started r31 nsenter --target "${HOST_PIDS[3]}" --net --mount --wdns="$PWD" -- "$OCINET" run --net shop:alias=chief --name r31 -- sleep 1000
  wait_for on 3 grep -qsx "$(address_of c21) $LAN-c21" /run/ocinet/containers/r31/hosts
  on 3 grep -qx "$(address_of c21 -6) $LAN-c21" /run/ocinet/containers/r31/hosts
  wait_for on 1 grep -rqs ' r31 chief$' /run/ocinet/names/shop
  run ! on 2 grep -rq chief /run/ocinet/names/other
  ended r31 TERM
  wait_for names_are_gone 1 chief
  # Multicast and broadcast go to all hosts of the network that has them, and there are no more frames in another's name.
  see_broadcast
  hears o31
  sends o21 10.7.0.255
  wait_for has_heard o31 $'10.7.0.255\n239.1.2.3\n255.255.255.255\n[ff15::1]'
  forged o21 10.7.0.255
  sends o21 10.7.0.255
  wait_for has_heard o31 "$(printf '%s\n%s\n' 10.7.0.255{,} 239.1.2.3{,} 255.255.255.255{,} '[ff15::1]'{,} | sort)"
  hears c31
  sends c11 10.9.0.255
  echo alone | inside c11 socat -u - "UDP4-DATAGRAM:$(address_of c31):7000"
  wait_for has_heard c31 alone
  # Also to one that has come since; and ARP stays on its host.
  up 1 o11 other
  hears o11
  wait_for reaches o21 o11
  lost 10.7.0.77 inside o21
  [ "$(broadcast_seen ip)" -gt 0 ]
  [ "$(broadcast_seen arp)" = 0 ]
  down 1 o11
  wait_for on 2 sh -c '! bridge fdb | grep "^00:00:00:00:00:00 " | grep -q "dst 192.0.2.1 "'
  on 2 bridge fdb | grep "^00:00:00:00:00:00 " | grep -q "dst 192.0.2.3 "
  # Another network's container is neither reached through the hosts, nor by its own.
  lost "$(address_of c21)" inside o21
  lost "$(address_of c11)" inside o21
  lost "$(address_of o21)" inside c11
  # A host that is no member cannot send into it: from the underlay, and from a container through its host.
  inject_from "$LAN" 192.0.2.2 192.0.2.254
  inject_from "$LAN-o31" 192.0.2.2 "$(address_of o31)"
  # Everything that was made ends.
  run ! oci 1 cluster rm shop
  [[ $output == *'it is used by container "'*'" on host "h'* ]]
  down 1 c11
  down 2 c21
  down 3 c31
  down 2 o21
  down 3 o31
  wait_for only_hosts_left
  oci 3 cluster rm shop
  oci 3 network rm other
  [ "$(keys)" = "$(printf '/ocinet/hosts/h%s\n' 1 2 3)" ]
  local i
  for i in 1 2 3; do
    wait_for nothing_on "$i"
    wait_for on "$i" rmdir /etc/ocinet/net.d
  done
}

listens_on_80() { inside c21 ss -Hltn "sport = :80" | grep -q .; }

# inject_from NAMESPACE TO LOCAL [CONTAINER]: frames of the network of c21, or of that container, which do not reach it
inject_from() {
  local of=${4-c21} vni=4097 before
  [ "$of" != c2plain ] || vni=4098
  ip -n "$1" link add name bad type vxlan id "$vni" dstport 4789 remote "$2" local "$3"
  ip -n "$1" link set dev bad up address 02:00:00:00:00:99
  ip -n "$1" address add "$(address_of "$of" | sed 's/[^.]*$/253/')/24" dev bad
  ip -n "$1" neigh replace "$(address_of "$of")" lladdr "$(inside "$of" cat /sys/class/net/eth0/address)" dev bad
  before=$(received "$of")
  run ! ip netns exec "$1" busybox ping -q -c 3 -i 0.1 -W 1 "$(address_of "$of")"
  [ "$(received "$of")" = "$before" ]
  ip -n "$1" link del dev bad
}

# hears CONTAINER: what is sent to its port 7000 is kept, also what is sent to the groups 239.1.2.3 and ff15::1
hears() {
  started "heard4$1" ip netns exec "$LAN-$1" socat -u UDP4-RECV:7000,ip-add-membership=239.1.2.3:eth0 -
  started "heard6$1" ip netns exec "$LAN-$1" socat -u 'UDP6-RECV:7000,ipv6only,ipv6-join-group=[ff15::1]:eth0' -
  wait_for in_groups "$1"
}

# in_groups CONTAINER
in_groups() {
  inside "$1" ip maddress show dev eth0 | grep -q 239.1.2.3 && inside "$1" ip maddress show dev eth0 | grep -q ff15::1 &&
    [ "$(inside "$1" ss -Hlun "sport = :7000" | wc -l)" = 2 ]
}

# sends CONTAINER BROADCAST [OPTION]: to each group and each broadcast address what it is
sends() {
  local to
  for to in 239.1.2.3 "$2" 255.255.255.255; do
    echo "$to" | inside "$1" socat -u - "UDP4-DATAGRAM:$to:7000,broadcast${3-}"
  done
  [ -n "${3-}" ] || echo '[ff15::1]' | inside "$1" socat -u - 'UDP6-DATAGRAM:[ff15::1]:7000'
}

# has_heard CONTAINER LINES: it and nothing else, in order
has_heard() { [ "$(sort "$BATS_TEST_TMPDIR"/heard[46]"$1.log")" = "$2" ]; }

# reaches CONTAINER OTHER: by multicast
reaches() {
  sends "$1" 255.255.255.255
  grep -q 239 "$BATS_TEST_TMPDIR/heard4$2.log" && grep -q ff15 "$BATS_TEST_TMPDIR/heard6$2.log"
}

# forged CONTAINER BROADCAST: it sends from an address that is not its own, and from another MAC address
forged() {
  local mac
  mac=$(inside "$1" cat /sys/class/net/eth0/address)
  ip -n "$LAN-$1" address add "${2%.*}.99/32" dev eth0
  sends "$1" "$2" ",bind=${2%.*}.99"
  ip -n "$LAN-$1" address del "${2%.*}.99/32" dev eth0
  ip -n "$LAN-$1" link set dev eth0 address 02:6f:0a:07:00:63
  sends "$1" "$2"
  ip -n "$LAN-$1" link set dev eth0 address "$mac"
}

# see_broadcast: counts what goes from host to host for all: ARP, and anything
see_broadcast() {
  ip netns exec "$LAN" nft -f - <<'RULES'
table bridge seen {
  chain forwarded {
    type filter hook forward priority 0
    udp dport 4789 @th,128,48 0xffffffffffff @th,224,16 0x0806 counter comment "arp"
    udp dport 4789 @th,128,48 0xffffffffffff @th,224,16 0x0800 counter comment "ip"
  }
}
RULES
}

# broadcast_seen arp|ip
broadcast_seen() {
  ip netns exec "$LAN" nft list chain bridge seen forwarded | sed -n "s/.* packets \([0-9]*\) .*\"$1\"/\1/p"
}

# received CONTAINER: ICMP echo requests
# shellcheck disable=SC2016 # awk's
received() { inside "$1" awk '/^Icmp:/ && $9 ~ /^[0-9]+$/ { print $9 }' /proc/net/snmp; }

# names_are_gone HOST NAME
names_are_gone() { ! on "$1" grep -rqs "$2" /run/ocinet/names; }

only_hosts_left() { ! keys | grep -q /addresses/; }

# nothing_on HOST: no link and no rules of an overlay
nothing_on() {
  ! on "$1" ip -br link | grep -qE '^(ov|vx|veth|wg)' && ! on "$1" nft list tables | grep -q 'ocinet_' &&
    ! on "$1" test -e /run/ocinet/overlay
}

@test "an agent that is killed leaves traffic alone, and mends what has changed when it is back" {
  both_agents
  oci 1 cluster create --subnet 10.9.0.0/24 shop
  # The port is another program's, or the VNI is that of another tool's link: this is said, and left alone.
  started taken ip netns exec "$LAN-h1" socat UDP-LISTEN:4789 -
  wait_for on 1 sh -c 'ss -Hlun "sport = 4789" | grep -q .'
  ip netns add "$LAN-c11"
  wait_for on 1 test -e /etc/ocinet/net.d/overlay-shop.conflist
  run ! oci 1 up --net shop "/run/netns/$LAN-c11"
  [[ $output == *'VXLAN link of network "shop": another program has UDP port 4789 '* ]]
  ended taken KILL
  on 1 ip link add name other type vxlan id 4097 dstport 4789 local 192.0.2.1
  run ! oci 1 up --net shop "/run/netns/$LAN-c11"
  [[ $output == *'another link of this machine has VNI 4097 on UDP port 4789; '* ]]
  on 1 ip link show dev other
  run ! grep -E '^(ov|vx)' <<<"$(on 1 ip -br link)"
  on 1 ip link del dev other
  up 1 c11 shop
  up 1 c12 shop
  up 2 c21 shop
  wait_for pings "$(address_of c21)" inside c11
  # Where br_netfilter shows iptables what is bridged, Docker's policy for what is forwarded does not end it.
  on 1 iptables -P FORWARD DROP
  kill -HUP "${RUNNING[agent1]}"
  wait_for pings "$(address_of c21)" inside c11
  pings "$(address_of c12)" inside c11
  # Where packets pass in one direction only, both hosts tell.
  ip netns exec "$LAN" nft 'table bridge oneway { chain first { type filter hook forward priority 0; udp dport 4789 ip saddr 192.0.2.1 drop; }; }'
  run ! oci 1 cluster status
  [[ $output == *'nothing comes back from host "h2" at 192.0.2.2 on network "shop"'* ]]
  run ! oci 2 cluster status
  [[ $output == *'nothing comes back from host "h1" at 192.0.2.1 on network "shop"'* ]]
  ip netns exec "$LAN" nft delete table bridge oneway
  # One that is stopped is not waited for; what ends meanwhile is given back when it goes on.
  ip netns add "$LAN-c13"
  kill -STOP "${RUNNING[agent1]}"
  local stopped="Cannot ask the agent of this host: its process ${RUNNING[agent1]} is stopped or frozen; \"kill -CONT "
  run ! oci 1 up --net shop "/run/netns/$LAN-c13"
  [[ $output == *"$stopped"* ]]
  run ! oci 1 cluster status
  [[ $output == *"$stopped"* ]]
  oci 1 network disconnect shop "$LAN-c12"
  claims_are 5
  kill -CONT "${RUNNING[agent1]}"
  wait_for claims_are 4
  oci 1 network connect shop "$LAN-c12"
  ended agent1 KILL
  pings "$(address_of c21)" inside c11
  # Without an agent nothing starts, and what starts it is said.
  run ! oci 1 up --net shop "/run/netns/$LAN-c13"
  [[ $output == *'Cannot ask the agent of this host: '*'; start it with "ocinet agent"'* ]]
  run ! oci 1 cluster status
  [[ $output == *'Cannot ask the agent of this host: '*'; start it with "ocinet agent"'* ]]
  # Meanwhile a container comes on the other host, one goes there, and one goes here.
  local gone
  gone=$(address_of c21)
  down 2 c21
  up 2 c22 shop
  down 1 c12
  run ! pings "$(address_of c22)" inside c11
  start_agent 1
  wait_for pings "$(address_of c22)" inside c11
  wait_for claims_are 4
  [ "$gone" = "$(address_of c22)" ] || ! on 1 ip neigh | grep -q "^$gone "
  # What is taken away by hand is made again.
  local vxlan bridge mac
  vxlan=$(on 1 ip -br link show type vxlan | awk '{ print $1 }') bridge=ov${vxlan#vx}
  mac=$(inside c22 cat /sys/class/net/eth0/address)
  on 1 ip link set dev "$bridge" down
  wait_for on 1 sh -c "ip link show dev $bridge up | grep -q . && ip neigh | grep -q $mac"
  wait_for pings "$(address_of c22)" inside c11
  # With so small an MTU the kernel takes IPv6 off the link; and the other hosts know the bridge's MAC address.
  on 1 ip link set dev "$vxlan" mtu 1000
  on 1 ip link set dev "$bridge" address 02:00:00:00:00:01
  wait_for on 1 sh -c "ip link show dev $bridge | grep -q 'mtu 1450 ' && ! ip link show dev $bridge | grep -q 02:00:00:00:00:01"
  on 1 ip link del dev "$vxlan"
  wait_for pings "$(address_of c22)" inside c11
  on 1 bridge fdb del "$mac" dev "$vxlan" dst 192.0.2.2
  on 1 bridge fdb del "$mac" dev "$vxlan" master
  on 1 ip neigh del "$(address_of c22)" dev "$bridge"
  on 1 nft delete table inet ocinet_4097
  kill -HUP "${RUNNING[agent1]}"
  wait_for pings "$(address_of c22)" inside c11
  wait_for on 1 nft list table inet ocinet_4097
  # So are rules without which the tables are only shells.
  on 1 nft 'flush table inet ocinet_4097; flush table inet ocinet; flush table bridge ocinet'
  kill -HUP "${RUNNING[agent1]}"
  wait_for has_rules 1
  # The host's address on the underlay changes under running containers.
  on 1 ip address add 192.0.2.11/24 dev eth0
  on 1 ip address del 192.0.2.1/24 dev eth0
  on 1 ip address show dev eth0 | grep -q 192.0.2.11 || on 1 ip address add 192.0.2.11/24 dev eth0
  on 1 ip route replace default via 192.0.2.254
  wait_for on 2 sh -c 'bridge fdb | grep -q "dst 192.0.2.11"'
  wait_for pings "$(address_of c22)" inside c11
}

# has_rules HOST: in each of our tables
has_rules() {
  on "$1" nft list chain inet ocinet_4097 arriving | grep -q drop &&
    on "$1" nft list chain inet ocinet postrouting | grep -q masquerade &&
    on "$1" nft list chain bridge ocinet prerouting | grep -q guarded
}

# claims_are COUNT: addresses that are claimed
claims_are() { [ "$(keys | grep -c /addresses/)" = "$1" ]; }

@test "without etcd all goes on, and nothing starts; what it has lost is put back" {
  both_agents
  oci 1 cluster create --subnet 10.9.0.0/24 shop
  up 1 c11 shop
  up 2 c21 shop
  up 2 c22 shop
  wait_for pings "$(address_of c21)" inside c11
  # Full, it says so. What ends is given back later.
  alarm ACTIVATE
  ip netns add "$LAN-c12"
  run ! oci 1 up --net shop "/run/netns/$LAN-c12"
  [[ $output == *"Cannot write to etcd: it is full (NOSPACE); compact and defragment it, then disarm the alarm"* ]]
  alarm DEACTIVATE
  ended etcd KILL
  run ! oci 1 up --net shop "/run/netns/$LAN-c12"
  [[ $output == *"Cannot reach etcd: $ETCD: "* ]]
  pings "$(address_of c21)" inside c11
  # An agent that starts without etcd takes nothing down.
  ended agent1 KILL
  started agent1 nsenter --target "${HOST_PIDS[1]}" --net --mount --wdns="$PWD" -- "$OCINET" agent --workers 0
  wait_for grep -q listening "$BATS_TEST_TMPDIR/agent1.log"
  pings "$(address_of c21)" inside c11
  # A container can end; its address is given back later.
  down 2 c22
  start_etcd
  wait_for is_member 1
  wait_for claims_are 4
  up 1 c12 shop
  wait_for pings "$(address_of c12)" inside c21
  # All that etcd knew is lost, and no packet.
  started steady ip netns exec "$LAN-c11" busybox ping -i 0.2 "$(address_of c21)"
  # A neighbour that claims the address, and sends with the MAC address, changes nothing.
  local address mac
  address=$(address_of c21) mac=$(inside c21 cat /sys/class/net/eth0/address)
  ip -n "$LAN-c12" address add "$address/32" dev eth0
  inside c12 busybox arping -q -U -c 2 -I eth0 "$address"
  ip -n "$LAN-c12" link set dev eth0 address "$mac"
  run ! inside c12 busybox arping -q -c 2 -w 2 -I eth0 "$(address_of c11)"
  ip -n "$LAN-c11" -j neigh show "$address" | jq -e --arg mac "$mac" '.[].lladdr == $mac'
  ended etcd KILL
  rm -r "$BATS_TEST_TMPDIR/etcd"
  start_etcd
  wait_for claims_are 5
  wait_for keys_have /ocinet/networks/shop
  none_lost steady
  # What a person deletes there is put back, too.
  ip netns exec "$LAN" etcdctl --endpoints "$ETCD" del --prefix /ocinet/addresses/
  ip netns exec "$LAN" etcdctl --endpoints "$ETCD" del /ocinet/networks/shop
  wait_for claims_are 5
  wait_for keys_have /ocinet/networks/shop
  wait_for pings "$(address_of c21)" inside c11
  up 2 c23 shop
  wait_for pings "$(address_of c23)" inside c11
  down 2 c23
  pings "$(address_of c21)" inside c11
  down 2 c21
  down 1 c11
  down 1 c12
  wait_for only_hosts_left
  oci 1 cluster rm shop
}

# alarm ACTIVATE|DEACTIVATE: etcd's, that it has no space left
alarm() {
  ip netns exec "$LAN" curl -sSf -o /dev/null -d "{\"action\":\"$1\",\"memberID\":\"0\",\"alarm\":\"NOSPACE\"}" \
    "$ETCD/v3/maintenance/alarm"
}

# none_lost NAME: by the ping that has gone on since it was started
none_lost() {
  ended "$1" INT
  # The answer to the last one may not have come yet.
  awk -F 'seq=' '/ seq=/ && int($2) != seen++ { lost = 1 }
    / packets transmitted/ { split($0, n, " "); if (n[1] - n[4] > 1) lost = 1 }
    END { exit lost || !seen }' "$BATS_TEST_TMPDIR/$1.log" || fail "lost:" "$(cat "$BATS_TEST_TMPDIR/$1.log")"
}

keys_have() { keys | grep -qx "$1"; }

@test "a host that dies is forgotten by the others, and its addresses are kept until a person gives them back" {
  both_agents
  oci 1 cluster create --subnet 10.9.0.0/24 shop
  up 1 c11 shop
  up 2 c21 shop
  wait_for pings "$(address_of c21)" inside c11
  run ! oci 1 cluster forget h2
  [[ $output == *'Cannot forget host "h2": it is alive'* ]]
  # No container gets an address that another has, and no host one of no container's.
  run ! oci 1 up --net "shop:IP=$(address_of c21)" "/run/netns/$LAN-c21"
  [[ $output == *"host \"h2\" has it"* ]]
  # Cut off for longer than its lease, it is back when the others hear of it.
  ip -n "$LAN" link set dev p2 down
  wait_for on 1 sh -c '! bridge fdb | grep -q "dst 192.0.2.2"'
  ip -n "$LAN" link set dev p2 up
  wait_for pings "$(address_of c21)" inside c11
  ended agent2 KILL
  ip -n "$LAN" link del dev p2
  wait_for on 1 sh -c '! bridge fdb | grep -q "dst 192.0.2.2"'
  claims_are 4
  run ! oci 1 cluster status
  [[ $output == *'host "h2" has addresses and is not there'* ]]
  oci 1 cluster forget h2
  claims_are 2
}

@test "an encrypted network goes between hosts through WireGuard alone" {
  start_agent 1
  OCINET_RUNTIME=node start_agent 2
  # What is seen on the wire.
  ip netns exec "$LAN" nft -f - <<'RULES'
table bridge seen {
  chain forwarded {
    type filter hook forward priority 0
    udp dport 4789 counter
    udp dport 51871 counter
  }
}
RULES
  oci 1 network create -d overlay -o encrypted -o multicast --subnet 10.9.0.0/24 --subnet fd00:9::/64 shop
  # The port of the tunnel is another program's.
  started taken ip netns exec "$LAN-h1" socat UDP-LISTEN:51871 -
  wait_for on 1 sh -c 'ss -Hlun "sport = 51871" | grep -q .'
  ip netns add "$LAN-c11"
  wait_for on 1 test -e /etc/ocinet/net.d/overlay-shop.conflist
  run ! oci 1 up --net shop "/run/netns/$LAN-c11"
  [[ $output == *'another program has UDP port 51871; set "encryptionPort" in /etc/ocinet/cluster.json to another'* ]]
  ended taken KILL
  up 1 c11 shop
  up 2 c21 shop --service web --publish-mesh 8080:81
  wait_for pings "$(address_of c21)" inside c11
  wait_for pings "$(address_of c21 -6)" inside c11
  [ "$(inside c11 cat /sys/class/net/eth0/mtu)" = 1370 ]
  inside c11 busybox ping -q -c 1 -W 2 -s 1342 "$(address_of c21)"
  hears c21
  wait_for reaches c11 c21
  # A port of a service is led through the tunnel, too.
  started served ip netns exec "$LAN-c21" socat TCP-LISTEN:81,fork,reuseaddr "SYSTEM:echo c21 \$SOCAT_PEERADDR"
  wait_for answers "4 c21 192.0.2.254" 192.0.2.1
  # Keys stay where they were made; the public ones are in the hosts' records.
  [ "$(on 1 stat -c %a /run/ocinet/agent.key)" = 600 ]
  run ! grep -qF "$(on 1 cat /run/ocinet/agent.key)" <<<"$(all_values)" "$BATS_TEST_TMPDIR"/agent?.log
  local key
  key=$(on 1 wg show wg-ocinet public-key)
  all_values | grep -qF "$key"
  [ "$(oci 1 cluster status --json | jq -r .agent.key)" = "$key" ]
  # Frames in clear text are not taken.
  inject_from "$LAN" 192.0.2.2 192.0.2.254
  # A connection outlives a new key.
  started server ip netns exec "$LAN-c21" socat TCP-LISTEN:80,reuseaddr EXEC:cat
  wait_for listens_on_80
  mkfifo "$BATS_TEST_TMPDIR/said"
  started client ip netns exec "$LAN-c11" socat "$BATS_TEST_TMPDIR/said!!STDOUT" \
    "TCP:$(address_of c21):80"
  exec {said}>"$BATS_TEST_TMPDIR/said"
  echo before >&"$said"
  wait_for grep -qx before "$BATS_TEST_TMPDIR/client.log"
  oci 1 cluster rotate
  [ "$(on 1 wg show wg-ocinet public-key)" != "$key" ]
  echo after >&"$said"
  wait_for grep -qx after "$BATS_TEST_TMPDIR/client.log"
  exec {said}>&-
  [ "$(on 2 wg show wg-ocinet peers)" = "$(on 1 wg show wg-ocinet public-key)" ]
  # Without the tunnel nothing leaves; it is made again.
  on 1 ip link del dev wg-ocinet
  run ! pings "$(address_of c21)" inside c11
  wait_for pings "$(address_of c21)" inside c11
  [ "$(seen_packets 51871)" -gt 0 ]
  [ "$(seen_packets 4789)" = 0 ]
  # A host behind NAT, which the other cannot reach of itself.
  behind_nat
  wait_for pings "$(address_of c11)" inside c21
  wait_for pings "$(address_of c21)" inside c11
  [[ $(on 1 wg show wg-ocinet endpoints) == *$'\t192.0.2.254:'* ]]
  # Both behind NAT, which leads on to the one.
  ended agent1 TERM
  behind_forwarding_nat
  start_agent 1
  wait_for pings "$(address_of c11)" inside c21
  wait_for pings "$(address_of c21)" inside c11
  # A host leaves; the others drop what it had.
  run ! oci 2 cluster leave
  [[ $output == *'Cannot take host "h2" out of the cluster: it has container "'"$LAN-c21"'" on network "shop"'* ]]
  oci 2 cluster leave --force
  # As words: the other host's key may have these letters.
  run ! grep -we h2 -e c21 <<<"$(keys; all_values)"
  wait_for on 1 sh -c '! bridge fdb | grep -q "dst fd6f"'
  wait "${RUNNING[agent2]}"
  unset "RUNNING[agent2]"
  run ! on 2 test -e /etc/ocinet/net.d/overlay-shop.conflist
  run ! grep -E '^(ov|vx|wg)' <<<"$(on 2 ip -br link)"
  down 2 c21
  down 1 c11
  wait_for nothing_on 1
  wait_for nothing_on 2
  run ! on 1 test -e /run/ocinet/agent.key
  # The same on an underlay that has IPv6 alone, and a network in clear text beside it.
  ended agent1 TERM
  ip -n "$LAN" link set dev p1 master lan
  ip -n "$LAN" link set dev p2 master lan
  underlay_of_ipv6
  start_agent 1
  OCINET_RUNTIME=node start_agent 2
  oci 1 network create -d overlay --subnet 10.8.0.0/24 --subnet fd00:8::/64 plain
  local network
  for network in shop plain; do
    up 1 "c1$network" "$network"
    up 2 "c2$network" "$network"
    wait_for pings "$(address_of "c2$network")" inside "c1$network"
    wait_for pings "$(address_of "c2$network" -6)" inside "c1$network"
    wait_for on 2 grep -rqsx "$(address_of "c1$network" -6) $LAN-c1$network" "/run/ocinet/names/$network"
  done
  [ "$(inside c1shop cat /sys/class/net/eth0/mtu)" = 1350 ]
  inside c1shop busybox ping -q -c 1 -W 2 -s 1322 "$(address_of c2shop)"
  [ "$(inside c1plain cat /sys/class/net/eth0/mtu)" = 1430 ]
  inside c1plain busybox ping -q -c 1 -W 2 -s 1402 "$(address_of c2plain)"
  inject_from "$LAN" 2001:db8::2 2001:db8::254 c2shop
  inject_from "$LAN" 2001:db8::2 2001:db8::254 c2plain
  wait_for oci 1 cluster status
}

# behind_nat: host 2 has another address, from which it only begins
behind_nat() {
  ip -n "$LAN" link set dev p2 nomaster
  ip -n "$LAN" address add 198.51.100.1/24 dev p2
  on 2 ip -4 address flush dev eth0
  on 2 ip address add 198.51.100.2/24 dev eth0
  on 2 ip route add default via 198.51.100.1
  ip netns exec "$LAN" nft -f - <<'RULES'
table ip translated {
  chain leaving {
    type nat hook postrouting priority 100
    oifname "lan" ip saddr 198.51.100.0/24 masquerade
  }
  chain passing {
    type filter hook forward priority 0
    iifname "lan" ip daddr 198.51.100.0/24 ct state new drop
  }
}
RULES
  ip netns exec "$LAN" sysctl -qw net.ipv4.ip_forward=1
}

# behind_forwarding_nat: host 1, beside host 2
behind_forwarding_nat() {
  ip -n "$LAN" link set dev p1 nomaster
  ip -n "$LAN" address add 203.0.113.1/24 dev p1
  on 1 ip -4 address flush dev eth0
  on 1 ip address add 203.0.113.2/24 dev eth0
  on 1 ip route add default via 203.0.113.1
  ip netns exec "$LAN" nft -f - <<'RULES'
table ip forwarded {
  chain coming {
    type nat hook prerouting priority -100
    ip daddr 192.0.2.254 udp dport 51871 dnat to 203.0.113.2
  }
  chain passing {
    type filter hook forward priority 0
    ct state new ct status & dnat == 0 drop
  }
}
RULES
  jq '.encryptionAddress = "192.0.2.254"' "$BATS_TEST_TMPDIR/etc1/cluster.json" >"$BATS_TEST_TMPDIR/new"
  cat "$BATS_TEST_TMPDIR/new" >"$BATS_TEST_TMPDIR/etc1/cluster.json"
}

# underlay_of_ipv6: both hosts, and etcd, have no other addresses
underlay_of_ipv6() {
  local i
  ended etcd KILL
  ETCD='http://[2001:db8::254]:2379'
  ip -n "$LAN" -4 address flush dev lan
  ip -n "$LAN" address add 2001:db8::254/64 dev lan nodad
  start_etcd
  for i in 1 2; do
    on "$i" ip -4 address flush dev eth0
    on "$i" ip address add "2001:db8::$i/64" dev eth0 nodad
    jq --arg etcd "$ETCD" '.endpoints = [$etcd] | del(.encryptionAddress)' "$BATS_TEST_TMPDIR/etc$i/cluster.json" >"$BATS_TEST_TMPDIR/settings"
    cp "$BATS_TEST_TMPDIR/settings" "$BATS_TEST_TMPDIR/etc$i/cluster.json"
  done
}

all_values() { ip netns exec "$LAN" etcdctl --endpoints "$ETCD" get --print-value-only --prefix /; }

# seen_packets PORT: how many went from host to host
seen_packets() { ip netns exec "$LAN" nft list chain bridge seen forwarded | awk -v port="$1" '$3 == port { print $6 }'; }

@test "a port of a service leads to its members from three hosts, with the client's address" {
  both_agents
  start_agent 3
  ip -n "$LAN" address add 2001:db8::254/64 dev lan nodad
  local i mesh=(--service web --publish-mesh "8080:80,8081:81,5353:53/udp" --publish-mesh "8082:81,5354:53/udp")
  # These are a program's of host 3.
  started taken3 ip netns exec "$LAN-h3" socat TCP-LISTEN:8082,fork EXEC:cat
  started taken3udp ip netns exec "$LAN-h3" socat UDP-RECVFROM:5354,fork EXEC:cat
  for i in 1 2 3; do
    on "$i" ip address add "2001:db8::$i/64" dev eth0 nodad
    # As Docker has it.
    on "$i" iptables -P FORWARD DROP
    on "$i" ip6tables -P FORWARD DROP
    on "$i" sh -c 'echo 1 | tee /proc/sys/net/ipv4/conf/all/rp_filter >/proc/sys/net/ipv4/conf/default/rp_filter'
  done
  # One without br_netfilter, which has nat see what is bridged.
  # shellcheck disable=SC2016 # the inner shell's
  on 2 bash -c 'for i in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e "$i" ] || echo 0 >"$i"; done'
  oci 1 cluster create --subnet 10.9.0.0/24 --subnet fd00:9::/64 shop
  up 1 c11 shop "${mesh[@]}"
  serve c11
  wait_for answers "4 c11 192.0.2.254" 192.0.2.3
  # An administrator's rule that comes first keeps a client out.
  on 3 nft 'table ip admin { chain first { type filter hook prerouting priority -110; ip saddr 192.0.2.254 tcp dport 8080 drop; }; }'
  run ! ip netns exec "$LAN" socat -u OPEN:/dev/null TCP:192.0.2.3:8080,connect-timeout=1
  on 3 nft delete table ip admin
  # A connection to the only member.
  mkfifo "$BATS_TEST_TMPDIR/said"
  started client ip netns exec "$LAN" socat "$BATS_TEST_TMPDIR/said!!STDOUT" TCP:192.0.2.3:8081
  exec {said}>"$BATS_TEST_TMPDIR/said"
  says before
  # With a second one each is asked in turn, whichever host the client knows.
  up 2 c21 shop "${mesh[@]}"
  serve c21
  for i in 1 2 3; do
    wait_for answers $'2 c11 192.0.2.254\n2 c21 192.0.2.254' "192.0.2.$i"
    wait_for answers $'2 c11 2001:0db8:*:0254\n2 c21 2001:0db8:*:0254' "[2001:db8::$i]"
  done
  # The hosts and the members themselves are answered, too.
  answers $'2 c11 10.9.0.*\n2 c21 10.9.0.*' 192.0.2.3 on 3
  answers $'2 c11 10.9.0.*\n2 c21 10.9.0.*' 192.0.2.1 on 2
  answers $'2 c11 10.9.0.*\n2 c21 10.9.0.*' 192.0.2.2 on 2
  answers $'2 c11 fd00:0009:*\n2 c21 fd00:0009:*' "[2001:db8::3]" on 3
  run ! on 3 socat -u OPEN:/dev/null TCP:127.0.0.1:8080
  answers $'2 c11 10.9.0.*\n2 c21 10.9.0.*' 192.0.2.1 inside c11
  answers $'2 c11 fd00:0009:*\n2 c21 fd00:0009:*' "[2001:db8::2]" inside c21
  # On an internal network, members see the host that was asked.
  oci 1 cluster create --internal --subnet 10.8.0.0/24 --subnet fd00:8::/64 inner
  ip netns add "$LAN-c23"
  oci 2 up "/run/netns/$LAN-c23"
  oci 2 network connect --service two --publish-mesh 8091:80 shop "$LAN-c23"
  oci 2 network connect --service deep --publish-mesh 8090:80 inner "$LAN-c23"
  serve c23
  # Though its default route is another network's.
  PORT=8091 wait_for answers "4 c23 192.0.2.254" 192.0.2.3
  PORT=8091 answers "4 c23 2001:0db8:*:0254" "[2001:db8::1]"
  PORT=8090 wait_for answers "4 c23 10.8.0.*" 192.0.2.3
  PORT=8090 answers "4 c23 fd00:0008:*" "[2001:db8::1]"
  # Rules that are taken away from outside, as networkd does with those of routing, are made again.
  lose_rules 1
  lose_rules 2
  for i in 1 2; do
    wait_for answers $'2 c11 192.0.2.254\n2 c21 192.0.2.254' "192.0.2.$i"
    wait_for answers $'2 c11 2001:0db8:*:0254\n2 c21 2001:0db8:*:0254' "[2001:db8::$i]"
  done
  down 2 c23
  # The name is that of all members, on all hosts.
  on 3 grep -rqx "$(address_of c11) $LAN-c11 web" /run/ocinet/names/shop
  on 3 grep -rqx "$(address_of c21) $LAN-c21 web" /run/ocinet/names/shop
  # Host 3, which has no container, forwards for the network alone.
  [ "$(on 3 cat /proc/sys/net/ipv6/conf/all/forwarding)" = 1 ]
  on 3 nft list set inet ocinet unforwarded6 | grep -qF '"eth0" . "eth0"'
  # What a host's program has is left to it.
  run -0 grep -h "Cannot lead" "$BATS_TEST_TMPDIR"/agent?.log
  [[ $output == *"Cannot lead port 8082 to service \"web\" on this host: a program or a container of it has the port; "* ]]
  [[ $output == *"Cannot lead port 5354/udp to service \"web\" on this host: a program or a container of it has the port; "* ]]
  [ "$(wc -l <<<"$output")" = 2 ]
  wait_for leads_ports 3 3
  wait_for leads_ports 1 5
  # Datagrams of one client go on to one member.
  local from
  for i in UDP4:192.0.2.3 'UDP6:[2001:db8::3]'; do
    ASKED=$i wait_for two_clients
    [[ $HEARD == @("c11 c21 c11 c21 "|"c21 c11 c21 c11 ") ]]
    from=${from-$FROM}
  done
  # Agents that are killed and started leave connections alone.
  for i in 1 3; do
    ended "agent$i" KILL
    start_agent "$i"
  done
  says again
  # An address that hosts hand to each other, as by VRRP, is the port's, too.
  on 3 ip address add 192.0.2.100/32 dev eth0
  wait_for answers $'2 c11 192.0.2.254\n2 c21 192.0.2.254' 192.0.2.100
  # Another leads on from some of the hosts' addresses only.
  ip netns add "$LAN-c24"
  oci 2 up "/run/netns/$LAN-c24"
  oci 2 network connect --service near --publish-mesh 192.0.2.100/31:8092:80 --publish-mesh '[2001:db8::3]:8092:80' shop "$LAN-c24"
  serve c24
  PORT=8092 wait_for answers "4 c24 192.0.2.254" 192.0.2.100
  PORT=8092 answers "4 c24 2001:0db8:*:0254" "[2001:db8::3]"
  PORT=8092 answers "4 none" 192.0.2.3
  PORT=8092 answers "4 none" "[2001:db8::1]"
  down 2 c24
  drains
  # Of one that is gone without a word nobody hears any more, though it stays recorded.
  up 2 c26 shop "${mesh[@]}"
  wait_for on 3 grep -q c26 "/run/ocinet/names/shop/~ hosts"
  wait_for is_told "services/.*c26"
  ip netns delete "$LAN-c26"
  wait_for names_are_gone 3 c26
  wait_for is_untold "services/.*c26"
  on 2 test -e "/run/ocinet/containers/$LAN-c26"
  oci 2 gc
  # One that has ended is asked no more; connections to the other stay.
  down 2 c21
  wait_for answers "4 c11 192.0.2.254" 192.0.2.3
  says after
  [ "$(for i in 0 1; do datagram $((from + i)); done | sort | uniq -c | tr -s '\n ' ' ')" = " 2 c11 " ]
  # By client: each is led to one member, not all to the same.
  up 2 c22 shop "${mesh[@]}" --affinity client
  serve c22
  wait_for all_by_client
  # A member's host that dies is led to no more.
  ended agent2 KILL
  ip -n "$LAN" link set dev p2 down
  wait_for answers "4 c11 192.0.2.254" 192.0.2.3
  wait_for names_are_gone 3 c22
  says last
  exec {said}>&-
  # A server that is not told of a connection's end waits for ever.
  ended client TERM
  wait_for is_served c11
  down 1 c11
  wait_for nothing_on 3
  wait_for nothing_on 1
  [ -z "$(on 3 ip rule list pref 208)" ]
  run ! on 3 test -e /run/ocinet/mesh.json
  oci 3 gc
  [ "$(on 3 cat /proc/sys/net/ipv6/conf/all/forwarding)" = 0 ]
}

# drains: neither ports nor the service's name lead to a drained member; what is open stays, and it comes back
drains() {
  local c11="$LAN-c11 web on shop"
  [ "$(oci 1 cluster drain "$LAN-c11")" = "$c11" ]
  wait_for answers "4 c21 192.0.2.254" 192.0.2.3
  wait_for on 3 grep -qx "$(address_of c11) $LAN-c11" "/run/ocinet/names/shop/~ hosts"
  says drained
  # With no member left, too; a new agent and repair leave it so.
  [ "$(oci 2 cluster drain --all --net shop)" = "$LAN-c21 web on shop" ]
  ended agent1 KILL
  start_agent 1
  oci 1 repair "$LAN-c11"
  wait_for answers "4 none" 192.0.2.1
  answers "4 none" 192.0.2.3
  on 3 grep -qx "$(address_of c11) $LAN-c11" "/run/ocinet/names/shop/~ hosts"
  says alone
  [ "$(oci 1 inspect "$LAN-c11" | jq -r '.[].networks[].drained')" = web ]
  run -0 oci 3 cluster status
  [[ $output == *"drained    $LAN-c11 on h1, of service web on shop"*"drained    $LAN-c21 on h2, of service web on shop"* ]]
  # What is none is told, and keeps no other from it.
  ip netns add "$LAN-c25"
  up 2 c25 shop
  run -1 oci 2 cluster undrain "$LAN-c25" nobody "$LAN-c21"
  [[ $output == *"container \"$LAN-c25\": it is no member of one; a member is started with --service; "*"\"nobody\": it is not attached"* ]]
  down 2 c25
  [ "$(oci 1 cluster undrain --json --all | jq -r '.[] | "\(.id) \(.service) on \(.network)"')" = "$c11" ]
  oci 1 cluster undrain --all
  wait_for answers $'2 c11 192.0.2.254\n2 c21 192.0.2.254' 192.0.2.3
  wait_for on 3 grep -qx "$(address_of c11) $LAN-c11 web" "/run/ocinet/names/shop/~ hosts"
  run ! on 1 test -e /run/ocinet/drained/shop
}

# is_told PATTERN, is_untold PATTERN: whether it is in etcd
is_told() { keys | grep -q "$1"; }
is_untold() { ! is_told "$1"; }

# lose_rules HOST: those of routing that are ours, and all of nft; the agent is to look
lose_rules() {
  local f at
  for f in -4 -6; do
    for at in $(on "$1" ip "$f" rule list | sed -n 's/^\([0-9]*\):.*lookup 28[45].*/\1/p'); do
      on "$1" ip "$f" rule del pref "$at"
    done
  done
  on "$1" nft list table inet ocinet
  on "$1" nft flush ruleset
  kill -HUP "${RUNNING[agent$1]}"
  wait_for on "$1" nft list table inet ocinet
}

# says WORD: by the connection that is open, and hears it
says() {
  echo "$1" >&"$said"
  wait_for grep -qx "$1" "$BATS_TEST_TMPDIR/client.log"
}

# all_by_client: four clients are each led to one of the two members, and these are not the same
all_by_client() {
  local i one all=""
  for i in 241 242 243 244; do
    ip -n "$LAN" address replace "192.0.2.$i/32" dev lan
    one=$(BIND=192.0.2.$i answers "4 c?? 192.0.2.$i" 192.0.2.3) || return
    all+=" ${one:2:3}"
  done
  [[ $all == *c11* && $all == *c22* ]]
}

# serve CONTAINER: its name and the client's address on port 80, and what it is told on port 81
serve() {
  local i
  for i in 4 6,ipv6only; do
    started "80$i$1" ip netns exec "$LAN-$1" socat "TCP${i%%,*}-LISTEN:80,fork,reuseaddr${i:1}" \
      "SYSTEM:echo $1 \$SOCAT_PEERADDR"
  done
  started "81$1" ip netns exec "$LAN-$1" socat TCP4-LISTEN:81,fork,reuseaddr EXEC:cat
  started "53$1" ip netns exec "$LAN-$1" socat UDP6-RECVFROM:53,fork,ipv6only=0 "SYSTEM:echo $1"
  wait_for listens "$1"
}

listens() { [ "$(inside "$1" ss -Hltun "sport = :80 or sport = :81 or sport = :53" | wc -l)" = 4 ]; }

# is_served CONTAINER: no connection is open there
is_served() { [ -z "$(inside "$1" ss -Htn "sport = :81")" ]; }

# two_clients: sets HEARD to what answers two clients, each twice, with the same rules: new ones begin with the first member,
# as when a busy machine has lost its lease meanwhile
two_clients() {
  local rules i
  FROM=$((${FROM-4999} + 2)) rules=$(rules_of_ports)
  HEARD=$(for i in 0 1 0 1; do datagram $((FROM + i)); done | tr '\n' ' ')
  [ "$(rules_of_ports)" = "$rules" ]
}

# rules_of_ports: the table's number, which is another when it is made anew
rules_of_ports() { on 3 nft -a list table inet ocinet_mesh | head -n 1; }

# datagram PORT: what answers the client that has it
datagram() { wait_for heard "$1" && cat "$BATS_TEST_TMPDIR/heard"; }
# A datagram may be lost. The next one from this port is of the same flow.
heard() {
  echo | ip netns exec "$LAN" socat -t 2 - "${ASKED:-UDP4:192.0.2.3}:5353,sourceport=$1" | head -n 1 >"$BATS_TEST_TMPDIR/heard"
  [ -s "$BATS_TEST_TMPDIR/heard" ]
}

# answers PATTERN HOST [PLACE...]: of four connections to its port PORT, or 8080, by how many of them; BIND is where they are from
answers() {
  local place=("${@:3}") all i
  ((${#place[@]})) || place=(ip netns exec "$LAN")
  all=$(for i in 1 2 3 4; do
    "${place[@]}" socat -t 2 - "TCP:$2:${PORT:-8080},connect-timeout=2${BIND:+,bind=$BIND}" </dev/null 2>/dev/null || echo none
  done | sed 's/[][]//g' | sort | uniq -c | sed 's/^ *//')
  echo "$all"
  # shellcheck disable=SC2053 # it is a pattern
  [[ $all == $1 ]]
}

@test "three members of etcd with TLS and a user; members, agents and hosts that fail, and a backup" {
  tls_fails 'is it http:// or https:// in "endpoints"?' '.endpoints = ["https://192.0.2.254:2379"]'
  ended etcd KILL
  make_stores
  local i dir=$BATS_TEST_TMPDIR
  for i in 1 2; do
    remove_member "$i"
    make_member "$i"
  done
  OCINET_RUNTIME=deno oci 1 cluster create --subnet 10.9.0.0/24 shop
  [ "$(OCINET_RUNTIME=node oci 1 cluster ls)" = "shop 10.9.0.0/24 4097" ]
  # What is wrong with TLS is said with the remedy.
  started other ip netns exec "$LAN" socat TCP-LISTEN:2379,bind=192.0.2.254,reuseaddr,fork TCP:192.0.2.251:2379
  wait_for ip netns exec "$LAN" sh -c 'ss -Hltn "src 192.0.2.254:2379" | grep -q .'
  tls_fails 'is it http:// or https:// in "endpoints"?' '.endpoints = ["http://192.0.2.251:2379"]'
  tls_fails '"endpoints" has to name etcd as its certificate does' '.endpoints = ["https://192.0.2.254:2379"]'
  tls_fails 'set "ca" to the authority of etcd'"'"'s certificate' ".ca = \"$dir/stranger.pem\""
  tls_fails 'set "cert" to a valid one of etcd'"'"'s authority' ".cert = \"$dir/expired.pem\""
  tls_fails 'set "cert" to a valid one of etcd'"'"'s authority' ".cert = \"$dir/stranger.pem\" | .key = \"$dir/stranger.key\""
  tls_fails '"key" is not that of "cert"' ".key = \"$dir/server.key\""
  # A file that others may read is refused, and so is a wrong password, without the word itself.
  chmod 644 "$BATS_TEST_TMPDIR/password"
  run ! oci 1 cluster ls
  [[ $output == *"password: others may read it; chmod 600 "* ]]
  (umask 077 && rm "$BATS_TEST_TMPDIR/password" && echo wrong-word >"$BATS_TEST_TMPDIR/password")
  run ! oci 1 cluster ls
  [[ $output == *'Cannot use etcd as ocinet: '* && $output != *wrong-word* ]]
  echo secret >"$BATS_TEST_TMPDIR/password"
  both_agents
  oci 1 cluster create --subnet 10.8.0.0/24 second
  up 1 c11 shop
  up 2 c21 shop
  up 2 c22 second
  wait_for pings "$(address_of c21)" inside c11
  # A container's start, too, says it, and etcd's state the same.
  cp "$dir/client.pem" "$dir/good.pem"
  cp "$dir/expired.pem" "$dir/client.pem"
  ip netns add "$LAN-c12"
  run ! oci 1 up --net shop:IP=10.9.0.50 "/run/netns/$LAN-c12"
  [[ $output == *'set "cert" to a valid one of etcd'"'"'s authority'* ]]
  run ! oci 1 cluster status
  [[ $output == *'set "cert" to a valid one of etcd'"'"'s authority'* ]]
  cp "$dir/good.pem" "$dir/client.pem"
  wait_for oci 1 cluster ls
  # From here on nothing is lost between these two.
  started steady ip netns exec "$LAN-c11" busybox ping -i 0.2 "$(address_of c21)"
  # A member is killed; an agent as well, and is back before the member is.
  ended store1 KILL
  ended agent1 KILL
  start_agent 1
  up 1 c12 shop:IP=10.9.0.50
  wait_for pings 10.9.0.50 inside c21
  # Without a majority nothing starts. What ends is given back later.
  ended store2 KILL
  ip netns add "$LAN-c13"
  run ! oci 1 up --net shop "/run/netns/$LAN-c13"
  [[ $output == *"Cannot reach etcd: "* ]]
  start_store 1
  start_store 2
  wait_for ctl endpoint health
  # An agent asks again after a while.
  wait_for oci 1 cluster status
  up 1 c13 shop
  wait_for pings "$(address_of c13)" inside c21
  # The backup has an address of host 1 that a container of host 2 has had since.
  AT=1 ctl snapshot save "$BATS_TEST_TMPDIR/backup" >/dev/null 2>&1
  down 1 c12
  # Where etcd answers late, it is given back later.
  wait_for is_unclaimed shop/10.9.0.50
  up 2 c23 shop:IP=10.9.0.50
  up 1 c14 shop
  wait_for pings 10.9.0.50 inside c11
  restore_stores "$BATS_TEST_TMPDIR/backup"
  wait_for claim_is shop/10.9.0.50 h2 "$LAN-c23"
  wait_for claim_is "shop/$(address_of c14)" h1 "$LAN-c14"
  up 2 c24 shop
  wait_for pings "$(address_of c24)" inside c11
  wait_for pings "$(address_of c14)" inside c21
  pings 10.9.0.50 inside c11
  none_lost steady
  # A host is cut off; much happens on both sides, of which etcd then forgets the course.
  ip -n "$LAN" link set dev p2 down
  down 1 c13
  up 1 c15 shop
  down 2 c24
  ip netns add "$LAN-c25"
  run ! oci 2 up --net shop "/run/netns/$LAN-c25"
  [[ $output == *"Cannot reach etcd: "* ]]
  ctl compaction --physical "$(ctl endpoint status -w json | jq '.[0].Status.header.revision')" >/dev/null
  pings 10.9.0.50 inside c21
  ip -n "$LAN" link set dev p2 up
  wait_for pings "$(address_of c15)" inside c21
  wait_for pings 10.9.0.50 inside c11
  wait_for claims_are_of c11 c14 c15 c21 c22 c23
  # A host dies, and is installed anew under its name: what it had is given back, also on networks that it has no part in.
  ended agent2 KILL
  remove_member 2
  make_member 2
  start_agent 2
  wait_for claims_are_of c11 c14 c15
  oci 2 cluster rm second
  up 2 c26 shop
  wait_for pings "$(address_of c26)" inside c11
  # On a busy machine a member may not answer in time.
  wait_for oci 1 cluster status
  # What is wrong between the hosts is found by packets, and rights without a write.
  ip -n "$LAN" link set dev p2 mtu 1400
  run ! oci 1 cluster status
  [[ $output == *'packets of 1450 bytes do not come back from host "h2" at 192.0.2.2 on network "shop"'* ]]
  ip netns exec "$LAN" nft -f - <<'RULES'
table bridge cut {
  chain forwarded {
    type filter hook forward priority 0
    udp dport 4789 drop
  }
}
RULES
  ctl role grant-permission ocinet --prefix=true read /ocinet/
  run oci 1 doctor --json
  [[ $output == *"permission denied"*"give the user rights on /ocinet/"* ]]
  ctl role grant-permission ocinet --prefix=true readwrite /ocinet/
  run ! oci 1 cluster status
  [[ $output == *'nothing comes back from host "h2" at 192.0.2.2 on network "shop": let UDP port 4789 in'* ]]
}

# tls_fails REMEDY FILTER: a network is not made with host 1's settings as jq's filter changes them, by either runtime
tls_fails() {
  local file=$BATS_TEST_TMPDIR/etc1/cluster.json runtime
  cp "$file" "$BATS_TEST_TMPDIR/settings"
  jq "$2" "$BATS_TEST_TMPDIR/settings" >"$file"
  for runtime in deno node; do
    OCINET_RUNTIME=$runtime run ! oci 1 cluster create bad
    [[ $output == *"Cannot reach etcd: "*"$1"* ]]
  done
  cp "$BATS_TEST_TMPDIR/settings" "$file"
}

# leads_ports HOST COUNT: so many ports are led to services by the host
leads_ports() { [ "$(on "$1" nft list chain inet ocinet_mesh ports | grep -c goto)" = "$2" ]; }

# claim_is NETWORK/ADDRESS HOST ID: who has it in etcd
claim_is() {
  [ "$(ctl get --print-value-only "/ocinet/addresses/$1" | jq -r '.host + " " + .id')" = "$2 $3" ]
}

is_unclaimed() { [ -z "$(ctl get --print-value-only "/ocinet/addresses/$1" || echo unknown)" ]; }

# claims_are_of CONTAINER...: those of all networks, in order
claims_are_of() {
  local all
  all=$(ctl get --print-value-only --prefix /ocinet/addresses/ | sed '/^$/d' | jq -r .id | sed "s/^$LAN-//; /^\$/d" | sort)
  [ "$all" = "$(printf '%s\n' "$@")" ]
}
