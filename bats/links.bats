#!/usr/bin/env bats
# Links that stand on one of the host's, or are one of them. The host's eth0 has its own name, which is the container's
# link's, too.
load lib
load contained
load links

@test "macvlan: each mode, on the default route's link" {
  local mode
  for mode in bridge private vepa passthru; do
    plugin net "{ \"type\": \"macvlan\", \"mode\": \"$mode\", \"ipam\": $(static 192.0.2.77/24 2001:db8:1::77/64) }"
    up box net
    equal "\"$mode\"" "$(link_of box eth0 .linkinfo.info_data.mode)"
    equal "$(link_of box eth0 .address)" "$(ocinet inspect box | jq -c '.. | .mac? // empty')"
    wait_for reaches 192.0.2.2 in_box box || fail "$mode"
    wait_for reaches 2001:db8:1::2 in_box box || fail "$mode"
    down box
    keeps_law net
  done
}

@test "macvlan: two containers on one master talk in mode bridge, and do not in mode private" {
  local mode
  for mode in bridge private; do
    plugin a "{ \"type\": \"macvlan\", \"master\": \"eth0\", \"mode\": \"$mode\", \"ipam\": $(static 10.7.0.1/24) }"
    plugin b "{ \"type\": \"macvlan\", \"master\": \"eth0\", \"mode\": \"$mode\", \"ipam\": $(static 10.7.0.2/24) }"
    up a a
    up b b
    if [ $mode = bridge ]; then wait_for reaches 10.7.0.2 in_box a; else cannot_reach 10.7.0.2 in_box a; fi
    down a b
  done
}

@test "macvlan: mtu, MAC, bcqueuelen, without addresses" {
  plugin net '{ "type": "macvlan", "mtu": 1400, "mac": "02:00:00:00:00:07", "bcqueuelen": 7 }'
  up box net
  link_of box eth0 '.mtu == 1400 and .address == "02:00:00:00:00:07" and (.flags | contains(["UP"]))'
  link_of box eth0 '.linkinfo.info_data.bcqueuelen == 7'
  down box
  up box "net:MAC=02-00-00-00-00-08"
  link_of box eth0 '.address == "02:00:00:00:00:08"'
  goes_though_renamed box eth0
  keeps_law net
}

@test "macvlan: neighbours hear of an address that has moved to another container" {
  plugin net "{ \"type\": \"macvlan\", \"ipam\": $(static 192.0.2.77/24 2001:db8:1::77/64) }"
  up a net
  wait_for reaches 192.0.2.77 in_peer
  wait_for reaches 2001:db8:1::77 in_peer
  down a
  up b net
  local mac address
  mac=$(link_of b eth0 .address)
  for address in 192.0.2.77 2001:db8:1::77; do
    wait_for peer_knows $address "$mac" || fail "$address: $(in_peer ip -j neigh show "$address")"
  done
  down b
}

peer_knows() { [ "$(in_peer ip -j neigh show "$1" | jq -c '.[0].lladdr')" = "$2" ]; }

@test "macvlan: the master is in the container" {
  plugin a "{ \"type\": \"macvlan\", \"ipam\": $(static 192.0.2.77/24 2001:db8:1::77/64 | jq -c '.routes = [{ dst: "0.0.0.0/0", gw: "192.0.2.2" }]') }"
  plugin b "{ \"type\": \"macvlan\", \"linkInContainer\": true, \"master\": \"eth0\", \"ipam\": $(static 192.0.2.78/24) }"
  plugin c "{ \"type\": \"macvlan\", \"linkInContainer\": true, \"mtu\": 1300, \"ipam\": $(static 192.0.2.79/24 2001:db8:1::79/64) }"
  up box a,b,c
  in_host ip link show dev eth0
  link_of box eth2 '.mtu == 1300 and .linkinfo.info_kind == "macvlan"'
  equal 1 "$(in_box box cat /proc/sys/net/ipv4/conf/eth2/arp_notify)"
  wait_for reaches 192.0.2.78 in_peer
  wait_for reaches 2001:db8:1::79 in_peer
  goes_though_renamed box eth1 eth2
  keeps_law a,b,c
  refused c "no default route interface found"
  refused b 'Cannot make a link on eth0: there is no such link in the container; name another master'
}

# goes_though_renamed BOX LINK...: these go with the container, whatever it names them
goes_though_renamed() {
  local link
  for link in "${@:2}"; do
    in_box "$1" ip link set dev "$link" down
    in_box "$1" ip link set dev "$link" name "own-$link"
  done
  ocinet down "$1"
  equal "" "$(in_box "$1" ip -o link | grep own-)"
  in_host ip netns delete "$1"
}

@test "macvlan: what cannot be is refused, and leaves nothing" {
  plugin net '{ "type": "macvlan", "master": "none0" }'
  refused net 'failed to lookup master "none0": Link not found'
  plugin net '{ "type": "macvlan", "mtu": 9000 }'
  refused net "invalid MTU 9000, must be [0, master MTU(1500)]"
  in_host ip -batch - <<'LINES'
route del default via 192.0.2.2
route del default via 2001:db8:1::2
LINES
  refused net "no default route interface found"
}

@test "a name that is taken in the container is left to the link that has it" {
  in_host ip link add name port1 type veth peer name port0
  plugin macvlan '{ "type": "macvlan", "master": "port0" }'
  plugin tap '{ "type": "tap" }'
  plugin host-device '{ "type": "host-device", "device": "port1" }'
  plugin inside '{ "type": "macvlan", "master": "eth0", "linkInContainer": true }'
  remember box
  in_box box ip link add name eth0 type veth peer name other0
  inside box >"$BATS_TEST_TMPDIR/inside"
  local net
  for net in macvlan tap host-device inside; do
    run -1 ocinet up --net "$net" /run/netns/box
    [[ $output == *"File exists"* ]]
    is_remembered box
  done
  in_host ip netns delete box
  in_host ip link delete port0
}

@test "tap: owners, queues, headers, mtu and MAC" {
  plugin net "{ \"type\": \"tap\", \"mtu\": 1400, \"mac\": \"02:00:00:00:00:07\", \"ipam\": $(static 10.7.0.1/24 fd00:7::1/64) }"
  up box net
  link_of box eth0 '.mtu == 1400 and .address == "02:00:00:00:00:07" and ([.addr_info[].local] == ["10.7.0.1", "fd00:7::1"])'
  link_of box eth0 '.linkinfo.info_data | .type == "tap" and .persist and (.vnet_hdr or .multi_queue or .pi | not)'
  down box
  keeps_law net
  plugin net '{ "type": "tap", "owner": 12345, "group": 23456 }'
  up box net
  link_of box eth0 '.linkinfo.info_data | .vnet_hdr and .pi'
  equal '["12345","23456"]' "$(link_of box eth0 '.linkinfo.info_data | [.user, .group | tostring]')"
  down box
  plugin net '{ "type": "tap", "owner": 12345, "group": 23456, "multiQueue": true }'
  up box net
  link_of box eth0 '.linkinfo.info_data | .vnet_hdr and .multi_queue and (.pi | not)'
  down box
}

@test "tap: a port of a bridge in the container" {
  plugin net '{ "type": "tap", "bridge": "br0" }'
  add_box box
  in_box box ip link add name br0 type bridge
  ocinet up --net net /run/netns/box
  link_of box eth0 '.master == "br0"'
  ocinet down box
  in_host ip netns delete box
  refused net 'Cannot make the link a port of br0: there is no such link in the container; make it first'
}

@test "host-device: the link goes in and comes back as it was, whatever tuning made of it" {
  in_host ip -batch - <<'LINES'
link add name port1 type veth peer name port0
link set dev port0 up
link set dev port1 up mtu 1400 txqueuelen 55 allmulticast on
LINES
  # Set up, it has an address of its own choosing after a while.
  in_host sysctl -q net.ipv6.conf.port0.disable_ipv6=1 net.ipv6.conf.port1.disable_ipv6=1
  plugin net "{ \"type\": \"host-device\", \"device\": \"port1\", \"ipam\": $(static 10.7.0.1/24 fd00:7::1/64) }"
  followed_by net "$TUNING"
  remember law
  local way
  for way in by_up by_cni; do
    $way
    link_of law eth0 '.ifalias == "port1" and ([.addr_info[] | select(.scope == "global").local] == ["10.7.0.1", "fd00:7::1"])'
    link_of law eth0 '.mtu == 1300 and .txqlen == 9 and (.flags | contains(["PROMISC"]) and (contains(["ALLMULTI"]) | not))'
    run -1 in_host ip link show dev port1
    $way back
    in_host sysctl -q net.ipv6.conf.port1.disable_ipv6=1
    is_remembered law
  done
  # Down stays down, and a link found by its address is the same.
  in_host ip link set dev port1 down
  plugin net "{ \"type\": \"host-device\", \"hwaddr\": $(in_host ip -j link show dev port1 | jq -c '.[0].address') }"
  ocinet up --net net /run/netns/law
  link_of law eth0 '.ifalias == "port1" and (.flags | contains(["UP"]))'
  ocinet down law
  in_host ip -j link show dev port1 | jq -e '.[0] | (.flags | contains(["UP"]) | not) and .ifalias == null'
  # A virtual link ends with the namespace it is in.
  ocinet up --net net /run/netns/law
  in_host ip netns delete law
  ocinet down law
  wait_for is_no_link port0
}

by_up() { if [ "${1-}" = back ]; then ocinet down law; else ocinet up --net net /run/netns/law; fi; }
by_cni() {
  export NETCONFPATH=$NET_DIR CNI_PATH=/none CNI_CONTAINERID=law
  [ "${1-}" != back ] || { ocinet cni del net /run/netns/law && return; }
  ocinet cni add net /run/netns/law
  # For the reference, which may be called next.
  in_host jq -e '.mtu == 1400 and .txQLen == 55 and .allmulti' /run/cni/tuning/law_eth0.json
}

is_no_link() { ! in_host ip link show dev "$1"; }

@test "killed at any step, nothing is left, and a device comes back" {
  in_host ip link add name port1 type veth peer name port0
  in_host sysctl -q net.ipv6.conf.port0.disable_ipv6=1
  plugin a '{ "type": "macvlan" }'
  plugin b '{ "type": "tap" }'
  plugin c '{ "type": "host-device", "device": "port0" }'
  plugin d '{ "type": "macvlan", "linkInContainer": true, "master": "eth1" }'
  remember box
  local nth killed=0
  for nth in 1 2 3 4 5 6 7; do
    killed_at $nth || killed=$((killed + 1))
    ocinet down box
    in_host sysctl -q net.ipv6.conf.port0.disable_ipv6=1
    is_remembered box
  done
  ((killed >= 4)) || fail "killed $killed times"
  in_host ip netns delete box
  in_host ip link delete port0
}

# killed_at N: `ocinet up` is killed when its Nth call of ip has ended; fewer calls end it as they should
killed_at() {
  local bin=$BATS_TEST_TMPDIR/bin
  mkdir -p "$bin"
  echo 0 >"$bin/calls"
  cat >"$bin/ip" <<SCRIPT
#!/bin/bash
$(command -v ip) "\$@"
status=\$?
calls=\$((\$(<$bin/calls) + 1))
echo \$calls >$bin/calls
[ \$calls != $1 ] || kill -KILL \$PPID
exit \$status
SCRIPT
  chmod +x "$bin/ip"
  OCINET_AGENT=no PATH=$bin:$PATH ocinet up --net a,b,c,d /run/netns/box
}

@test "host-device: it comes back whatever the container makes of it, and nothing else does (plugins#773)" {
  local way conf
  in_host ip link add name port0 address 02:00:00:00:00:aa type veth peer name port1
  conf='{ "cniVersion": "1.1.0", "name": "net", "type": "host-device", "device": "port0" }'
  ocinet install-plugins "$BATS_TEST_TMPDIR/plugins"
  device() {
    CNI_COMMAND=$1 CNI_CONTAINERID=box CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_PATH=/none in_host \
      "$BATS_TEST_TMPDIR/plugins/host-device" <<<"$conf"
  }
  remember box
  for way in "set eth0 name wan0" "set eth0 alias docker0" "set eth0 name wan0 alias x address 02:00:00:00:00:bb" \
    "property add dev eth0 altname port0" "property add dev eth0 altname port1"; do
    device ADD
    in_box box ip link set eth0 down
    # shellcheck disable=SC2086 # words
    in_box box ip link $way
    device DEL
    is_remembered box
  done
  # Nor is it lost where the index that it has here is taken there.
  in_box box ip link add name taken index "$(in_host ip -j link show dev port0 | jq '.[0].ifindex')" type veth peer name taken2
  device ADD
  in_box box ip link set eth0 down name wan0
  device DEL
  in_box box ip link delete taken
  is_remembered box
  # A link of the container's own that bears its name, its alias and its address.
  device ADD
  in_box box ip link set eth0 down name wan0
  in_box box ip link add name eth0 address 02:00:00:00:00:aa type veth peer name own
  in_box box ip link set eth0 alias port0
  device DEL
  in_host ip -j link show dev port0 | jq -e '.[0].link == "port1"'
  # Nor without a record.
  device DEL
  in_box box ip link show dev eth0
  in_box box ip link delete eth0
  is_remembered box
  # Without one the name is the configuration's, never one that only the container says.
  device ADD
  in_host rm -r "$STATE_DIR/containers"
  in_box box ip link set eth0 alias docker0
  device DEL
  run -1 in_host ip link show dev docker0
  in_box box ip link set eth0 alias port0
  device DEL
  is_remembered box
  # A macvlan is found by itself, though its lower link is a veth.
  in_host ip link add link eth0 name mv0 type macvlan
  conf=${conf/port0/mv0}
  device ADD
  in_box box ip link set eth0 down name wan0
  device DEL
  in_host ip link delete mv0
  in_host ip netns delete box
  in_host ip link delete port0
}

@test "tuning sets the sysctls of a link that arrives under another name, in one chain" {
  in_host ip link add name port1 type veth peer name port0
  plugin net "{ \"type\": \"macvlan\", \"master\": \"port0\", \"ipam\": $(static 10.7.0.1/24 fd00:7::1/64) }"
  followed_by net '{ "type": "tuning", "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv6.conf.IFNAME.mtu": "1300" } }'
  plugin other "{ \"type\": \"bridge\", \"bridge\": \"other0\", \"ipam\": $(static 10.7.0.1/24 fd00:7::1/64) }"
  followed_by other '{ "type": "tuning", "sysctl": { "net.ipv6.conf.IFNAME.mtu": "1300" } }'
  remember law
  by_cni() { NETCONFPATH=$NET_DIR CNI_PATH=/none CNI_CONTAINERID=law ocinet cni "$1" net /run/netns/law; }
  local way
  for way in by_up by_cni; do
    $way add
    [ "$(in_box law sysctl -n net.ipv4.conf.eth0.arp_filter)" = 1 ]
    # Nothing that a router says is for a link with addresses of ours.
    [ "$(in_box law sysctl -n net.ipv6.conf.eth0.accept_ra)" = 0 ]
    [ $way = by_up ] || by_cni check
    if [ $way = by_up ]; then ocinet down law; else by_cni del; fi
    is_remembered law
  done
  # A link that is set up takes its own MTU for IPv6 anew.
  ocinet up --net other /run/netns/law
  [ "$(in_box law sysctl -n net.ipv6.conf.eth0.mtu)" = 1300 ]
  ocinet down law
  plugin other "{ \"type\": \"bridge\", \"bridge\": \"other0\", \"ipam\": $(static 10.7.0.1/24) }"
  followed_by other '{ "type": "tuning", "sysctl": { "net.ipv4.conf.eth9.arp_filter": "1" } }'
  run -1 ocinet up --net other /run/netns/law
  [[ $output == *'sysctl -w net/ipv4/conf/eth9/arp_filter=1": the kernel has no such setting'* ]]
  is_remembered law
  in_host ip netns delete law
  in_host ip link delete port0
}

@test "host-device: what the reference plugin moved in, ours takes out" {
  local plugins=$BATS_TEST_TMPDIR/plugins conf='{ "cniVersion": "1.0.0", "name": "net", "type": "host-device", "device": "port0" }'
  in_host ip link add name port1 type veth peer name port0
  ocinet install-plugins "$plugins"
  remember box
  # cni PLUGIN COMMAND
  cni() {
    CNI_COMMAND=$2 CNI_CONTAINERID=box CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_PATH=$plugins in_host "$1" <<<"$conf"
  }
  cni /usr/lib/cni/host-device ADD
  link_of box eth0 '.ifalias == "port0"'
  cni "$plugins/host-device" DEL
  is_remembered box
  cni "$plugins/host-device" ADD
  cni "$plugins/host-device" DEL
  cni "$plugins/host-device" DEL
  is_remembered box
  # How it was before is known by the record alone: without one it is down afterwards, as after the reference's own DEL.
  local host_device
  for host_device in /usr/lib/cni/host-device "$plugins/host-device"; do
    in_host ip link set port0 up
    cni /usr/lib/cni/host-device ADD
    cni "$host_device" DEL
    in_host ip -j link show dev port0 | jq -e '.[0].flags | index("UP") == null'
  done
  in_host ip link set port0 up
  cni "$plugins/host-device" ADD
  cni "$plugins/host-device" DEL
  in_host ip -j link show dev port0 | jq -e '.[0].flags | index("UP")'
  in_host ip netns delete box
  in_host ip link delete port0
}

@test "host-device: what cannot be is refused, and leaves nothing" {
  plugin net '{ "type": "host-device", "device": "none0" }'
  refused net "failed to find host device: Link not found"
  plugin net '{ "type": "host-device", "pciBusID": "0000:ff:1f.7" }'
  refused net "error with host device: lstat /sys/bus/pci/devices/0000:ff:1f.7/driver: no such file or directory"
}
