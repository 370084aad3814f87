#!/usr/bin/env bats
# CHECK of each type looks at what is there, and STATUS at what has to be there: what one of them says when something is
# taken away or changed, and that it says nothing once that is mended. (CHECK of the bridge's common part, and GC, are in
# cni_plugins.bats; kinds of links that a cut-down kernel lacks in cni_check_vm.bats.)
load lib
load cni
load checked

setup() {
  set_up_hosts
  set_up_plugins
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

@test "CHECK of bridge: its port's settings, the bridge's own, the gateway's address, forwarding" {
  checked bridge '{ "isGateway": true, "hairpinMode": true, "portIsolation": true, "ipam": '"$HOST_LOCAL"' }'
  local port=vethdbbac32e902
  notices "bridge port \"$port\" is no longer in hairpin mode" "bridge link set dev $port hairpin off" "bridge link set dev $port hairpin on"
  notices "bridge port \"$port\" is no longer isolated" "bridge link set dev $port isolated off" "bridge link set dev $port isolated on"
  notices 'bridge "cni0" is down' "ip link set dev cni0 down" "ip link set dev cni0 up"
  notices '"cni0" no longer has the gateway'\''s address 10.1.1.1/24' "ip address del 10.1.1.1/24 dev cni0" "ip address add 10.1.1.1/24 dev cni0"
  notices 'sysctl "net/ipv4/ip_forward" is 0, not 1' "sysctl -q net.ipv4.ip_forward=0" "sysctl -q net.ipv4.ip_forward=1"
  notices 'sysctl "net/ipv4/conf/cni0/forwarding" is 0, not 1' "sysctl -q net.ipv4.conf.cni0.forwarding=0" "sysctl -q net.ipv4.conf.cni0.forwarding=1"
  # Another veth's end of the same name in the container is not the one that was made.
  local mac
  mac=$(in_box cat /sys/class/net/eth0/address)
  notices "container interface \"eth0\" is not the other end of \"$port\"" \
    "ip -n box link set dev eth0 down name eth9; ip link add name other type veth peer name eth0 netns box address $mac;
     ip -n box address del 10.1.1.2/24 dev eth9; ip -n box address add 10.1.1.2/24 dev eth0; ip -n box link set dev eth0 up; ip -n box route add default via 10.1.1.1" \
    "ip link del dev other; ip -n box link set dev eth9 name eth0 up; ip -n box address add 10.1.1.2/24 dev eth0; ip -n box route add default via 10.1.1.1"
  ends
  checked bridge '{ "promiscMode": true, "ipam": '"$HOST_LOCAL"' }'
  notices 'bridge "cni0" is no longer in promiscuous mode' "ip link set dev cni0 promisc off" "ip link set dev cni0 promisc on"
  ends
}

@test "CHECK of ptp: the host's routes and the other end" {
  checked ptp '{ "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]] } }'
  local veth=vethdbbac32e902
  notices "Failed to find the host's route to 10.1.1.2" "ip route del 10.1.1.2 dev $veth" "ip route add 10.1.1.2 dev $veth"
  notices "Failed to find the host's route to fd00:1::2" "ip route del fd00:1::2 dev $veth" "ip route add fd00:1::2 dev $veth"
  notices 'sysctl "net/ipv6/conf/all/forwarding" is 0, not 1' "sysctl -q net.ipv6.conf.all.forwarding=0" "sysctl -q net.ipv6.conf.all.forwarding=1"
  ends
}

@test "CHECK of macvlan: mode and master" {
  checked macvlan '{ "master": "eth0", "mode": "private", "mac": "02:00:00:00:00:07" }'
  notices 'container interface "eth0" has mode vepa, not private' \
    "ip -n box link set dev eth0 type macvlan mode vepa" "ip -n box link set dev eth0 type macvlan mode private"
  in_host ip link add name port0 type veth peer name port1
  notices 'container interface "eth0" is not on its master "eth0"' \
    "ip -n box link del dev eth0; ip link add link port0 name tmp0 address 02:00:00:00:00:07 type macvlan mode private; ip link set dev tmp0 netns box name eth0" \
    "ip -n box link del dev eth0; ip link add link eth0 name tmp0 address 02:00:00:00:00:07 type macvlan mode private; ip link set dev tmp0 netns box name eth0"
  notices 'container interface "eth0" is of kind "veth", not "macvlan"' \
    "ip -n box link del dev eth0; ip -n box link add name eth0 address 02:00:00:00:00:07 type veth peer name eth9" \
    "ip -n box link del dev eth0; ip link add link eth0 name tmp0 address 02:00:00:00:00:07 type macvlan mode private; ip link set dev tmp0 netns box name eth0"
  ends
  in_host ip link delete port0
  checked macvlan '{ "mode": "bridge" }'
  # The default route has moved to another link since: where none is named, that is no fault.
  in_host bash -ec 'ip link add name port0 up type veth peer name port1; ip address add 198.51.100.9/24 dev port0; ip route replace default via 198.51.100.8'
  run -0 plugin macvlan CHECK "$CHECKED"
  ends
  in_host bash -ec 'ip link delete port0; ip route add default via 192.0.2.2'
}

@test "CHECK of tap: kind, queues, bridge" {
  in_box ip link add name br0 type bridge
  checked tap '{ "bridge": "br0", "mac": "02:00:00:00:00:07" }'
  notices 'container interface "eth0" is no port of bridge "br0"' "ip -n box link set dev eth0 nomaster" "ip -n box link set dev eth0 master br0"
  notices 'container interface "eth0" has multi_queue true, not false' \
    "ip -n box link del dev eth0; ip netns exec box ip tuntap add mode tap multi_queue name eth0; ip -n box link set dev eth0 address 02:00:00:00:00:07 master br0" \
    "ip -n box link del dev eth0; ip netns exec box ip tuntap add mode tap name eth0; ip -n box link set dev eth0 address 02:00:00:00:00:07 master br0"
  ends
}

@test "CHECK of host-device: that it is the host's device" {
  in_host ip link add name port0 address 02:00:00:00:00:07 type veth peer name port1
  checked host-device '{ "device": "port0" }'
  notices 'container interface "eth0" is not the host'\''s device "port0"' "ip -n box link set dev eth0 alias port9" "ip -n box link set dev eth0 alias port0"
  refused 50 "failed to find host device: Link not found" host-device STATUS "$(conf host-device '{ "device": "port0" }')"
  ends
  run -0 plugin host-device STATUS "$(conf host-device '{ "device": "port0" }')"
  in_host ip link delete port0
}

@test "CHECK of loopback is content with less than ADD gave, and in a chain with any result" {
  checked loopback '{}'
  in_box sysctl -q net.ipv6.conf.lo.disable_ipv6=1
  run -0 plugin loopback CHECK "$CHECKED"
  run -0 plugin loopback CHECK "$(jq -c 'del(.prevResult.interfaces) | .prevResult.ips = [{ "address": "10.1.1.2/24" }]' <<<"$CHECKED")"
  in_box sysctl -q net.ipv6.conf.lo.disable_ipv6=0
  ends
}

# --- those that change what others made

# chained TYPE JSON: that after a bridge
chained() {
  BRIDGE=$(conf bridge '{ "isGateway": true, "ipam": '"$HOST_LOCAL"' }')
  adds bridge "$BRIDGE"
  checked "$1" "$(jq -nc --argjson more "$2" --argjson result "$RESULT" '$more + { prevResult: $result }')"
}

ends_chain() {
  ends
  run -0 plugin bridge DEL "$BRIDGE"
  in_host ip link delete cni0
}

@test "CHECK of bandwidth: queues, rates, and the way through the ifb link" {
  chained bandwidth '{ "ingressRate": 16000000, "ingressBurst": 400000, "egressRate": 8000000, "egressBurst": 400000 }'
  local veth=vethdbbac32e902 ifb
  ifb=$(jq -r '.interfaces[-1].name' <<<"$RESULT")
  notices "\"$veth\" has no limit" "tc qdisc del dev $veth root" "tc qdisc add dev $veth root handle 1: tbf rate 2000000bps burst 50000b limit 100000b"
  notices "\"$veth\" is limited to 1000000 bytes/s, not 2000000" \
    "tc qdisc change dev $veth root handle 1: tbf rate 1000000bps burst 50000b limit 100000b" "tc qdisc change dev $veth root handle 1: tbf rate 2000000bps burst 50000b limit 100000b"
  notices "\"$veth\" lets 60000 bytes go at once, not 50000" \
    "tc qdisc change dev $veth root handle 1: tbf rate 2000000bps burst 60000b limit 100000b" "tc qdisc change dev $veth root handle 1: tbf rate 2000000bps burst 50000b limit 100000b"
  notices "\"$veth\" holds up to 90000 bytes, not 100000" \
    "tc qdisc change dev $veth root handle 1: tbf rate 2000000bps burst 50000b limit 90000b" "tc qdisc change dev $veth root handle 1: tbf rate 2000000bps burst 50000b limit 100000b"
  notices "What \"$veth\" gets does not pass \"$ifb\"" "tc filter del dev $veth ingress" \
    "tc filter add dev $veth parent ffff:fff2 protocol all prio 1 u32 match u32 0 0 classid 1:1 action mirred egress redirect dev $ifb"
  notices "\"$ifb\" has no limit" "tc qdisc del dev $ifb root" "tc qdisc add dev $ifb root handle 1: tbf rate 1000000bps burst 50000b limit 75000b"
  run -0 plugin bandwidth STATUS "$(conf bandwidth)"
  ends_chain
}

@test "CHECK of tuning: sysctls as well, however the kernel writes them" {
  chained tuning '{ "mtu": 1400, "sysctl": { "net.ipv4.conf.IFNAME.log_martians": "1", "net.ipv4.ip_local_port_range": "2000 3000" } }'
  notices 'sysctl "net.ipv4.conf.IFNAME.log_martians" is 0, not 1' \
    "ip netns exec box sysctl -q net.ipv4.conf.eth0.log_martians=0" "ip netns exec box sysctl -q net.ipv4.conf.eth0.log_martians=1"
  notices 'sysctl "net.ipv4.ip_local_port_range" is 2000 3001, not 2000 3000' \
    "ip netns exec box sysctl -q net.ipv4.ip_local_port_range='2000 3001'" "ip netns exec box sysctl -q net.ipv4.ip_local_port_range='2000 3000'"
  notices 'interface "eth0" has mtu 1500, not 1400' "ip -n box link set dev eth0 mtu 1500" "ip -n box link set dev eth0 mtu 1400"
  ends_chain
}

@test "CHECK of sbr: rules, and routes where they lead" {
  chained sbr '{}'
  notices "Failed to find the rule for 10.1.1.2, or routes in its table" "ip -n box rule del from 10.1.1.2" "ip -n box rule add from 10.1.1.2 lookup 100"
  notices "Failed to find the rule for 10.1.1.2, or routes in its table" "ip -n box route flush table 100" "ip -n box route add 10.1.1.0/24 dev eth0 table 100"
  ends_chain
}

@test "CHECK of firewall: isolation, and firewalld's zone where that is asked for" {
  chained firewall '{ "backend": "nftables", "ingressPolicy": "isolated" }'
  notices 'bridge port "vethdbbac32e902" is no longer isolated' "bridge link set dev vethdbbac32e902 isolated off" "bridge link set dev vethdbbac32e902 isolated on"
  notices "Cannot find all of our rules" "nft delete element inet ocinet passed4 '{ \"cni0\" . 10.1.1.2 }'" "nft add element inet ocinet passed4 '{ \"cni0\" . 10.1.1.2 }'"
  ends_chain
  # A program that stands in for firewalld's, and remembers in a file.
  local zones=$BATS_TEST_TMPDIR/zones
  mkdir "$BATS_TEST_TMPDIR/programs"
  printf '%s\n' '#!/bin/sh' "case \$2 in" "--add-source=*) echo \"\${1#--zone=}\" >$zones;;" "--remove-source=*) rm -f $zones;; esac" \
    "case \$1 in --get-zone-of-source=10.1.1.*) cat $zones;; esac; true" >"$BATS_TEST_TMPDIR/programs/firewall-cmd"
  chmod 755 "$BATS_TEST_TMPDIR/programs/firewall-cmd"
  local firewalld
  firewalld=$(conf firewall '{ "backend": "firewalld" }')
  refused 50 'Cannot attach containers: program "firewall-cmd" is not on PATH' firewall STATUS "$firewalld"
  PATH=$BATS_TEST_TMPDIR/programs:$PATH
  refused 50 "firewalld is not running" firewall STATUS "$firewalld"
  in_host sh -c 'echo 1 >/run/firewalld.pid'
  run -0 plugin firewall STATUS "$firewalld"
  # It is told where it runs, unless another backend is named.
  chained firewall '{ "backend": "" }'
  equal trusted "$(<"$zones")"
  ends_chain
  [ ! -e "$zones" ]
  chained firewall '{ "backend": "firewalld", "firewalldZone": "work" }'
  notices 'firewalld does not have 10.1.1.4/32 in zone "work"' "echo public >$zones" "echo work >$zones"
  # A DEL that nothing is written down for gives the address back, though the link is gone.
  rm "$STATE_DIR/containers/c1/net eth0 firewall.json"
  in_host ip link delete vethdbbac32e902
  run -0 plugin firewall DEL "$CHECKED"
  [ ! -e "$zones" ]
  run -0 plugin bridge DEL "$BRIDGE"
  in_host ip link delete cni0
}

@test "CHECK of portmap: the way from 127.0.0.1" {
  chained portmap '{ "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } }'
  notices 'sysctl "net/ipv4/conf/cni0/route_localnet" is 0, not 1' "sysctl -q net.ipv4.conf.cni0.route_localnet=0" "sysctl -q net.ipv4.conf.cni0.route_localnet=1"
  ends_chain
}

# --- STATUS

@test "STATUS of what can be attached says nothing, and leaves nothing" {
  local type
  snapshot >"$BATS_TEST_TMPDIR/before"
  declare -A confs=([bridge]='{ "ipMasq": true, "ipam": '"$HOST_LOCAL"' }' [ptp]='{ "ipMasq": true, "ipam": '"$HOST_LOCAL"' }' [macvlan]='{}'
    [tap]='{}' [loopback]='{}' [bandwidth]='{}' [firewall]='{}' [portmap]='{}' [sbr]='{}' [tuning]='{}')
  for type in "${!confs[@]}"; do
    run -0 --separate-stderr plugin "$type" STATUS "$(conf "$type" "${confs[$type]}")" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
    [ -z "$output$stderr" ] || fail "$type" "$output" "$stderr"
  done
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "STATUS says 51 when the master is gone, with which containers' links went, and 50 for another link of the bridge's name" {
  refused 51 'failed to lookup master "none0": Link not found' macvlan STATUS "$(conf macvlan '{ "master": "none0" }')"
  in_host ip -batch - <<'LINES'
route del default via 192.0.2.2
route del default via 2001:db8:1::2
LINES
  refused 51 "no default route interface found" macvlan STATUS "$(conf macvlan)"
  refused 50 'failed to create bridge "eth0": "eth0" already exists but is not a bridge' bridge STATUS "$(conf bridge '{ "bridge": "eth0" }')"
}

@test "STATUS says 50 when the kernel or a program cannot do it" {
  # No kernel of ours lacks the same things as another: a program that stands in for ip knows no kind but bridges.
  local real
  real=$(type -P ip)
  mkdir "$BATS_TEST_TMPDIR/programs"
  printf '%s\n' '#!/bin/sh' 'case "$*" in *"type bridge"* | *-batch*) ;;' \
    "*' type '*) echo 'RTNETLINK answers: Operation not supported' >&2; exit 2;; esac" "exec $real \"\$@\"" >"$BATS_TEST_TMPDIR/programs/ip"
  chmod 755 "$BATS_TEST_TMPDIR/programs/ip"
  PATH=$BATS_TEST_TMPDIR/programs:$PATH
  run -0 plugin bridge STATUS "$(conf bridge)"
  local type
  declare -A lines=([dummy]="ip link add name try0 type dummy" [vrf]="ip link add name try0 type vrf table 1" [bandwidth]="ip link add name try0 type ifb"
    [macvlan]="ip link add name try0 type veth peer name try1" [vlan]="ip link add name try0 type veth peer name try1")
  for type in "${!lines[@]}"; do
    refused 50 "Cannot attach containers: \"${lines[$type]}\" does not work here" "$type" STATUS \
      "$(conf "$type" '{ "vrfname": "blue", "master": "eth0", "ipam": '"$HOST_LOCAL"' }')"
    jq -e '.details == "RTNETLINK answers: Operation not supported"' <<<"$output"
  done
  hide tc
  refused 50 'Cannot attach containers: program "tc" is not on PATH' bandwidth STATUS "$(conf bandwidth)"
  in_host umount "$(command -v tc)"
}
