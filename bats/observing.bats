#!/usr/bin/env bats
# What is looked at of a host before anything is done: by any of a link's names, in our own network namespace whatever /sys
# shows, as much as is needed, and whatever else there is.
# shellcheck disable=SC2016 # scripts of plugins
load lib
load cni

setup() {
  set_up_hosts
  set_up_plugins
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

local='{ "type": "host-local", "subnet": "10.1.1.0/24" }'
static='{ "type": "static", "addresses": [{ "address": "10.2.2.2/24" }] }'

# passes TYPE CONF [VARIABLE=VALUE...]: STATUS, ADD, whose result is then in $RESULT, CHECK and DEL
passes() {
  run -0 plugin "$1" STATUS "${@:2}"
  adds "$@"
  run -0 plugin "$1" CHECK "$(with_result "$2" "$RESULT")" "${@:3}"
  run -0 plugin "$1" DEL "$(with_result "$2" "$RESULT")" "${@:3}"
}

# network NAME JSON: a network with that one plugin
network() {
  jq -n --arg name "$1" --argjson plugin "$2" '{ cniVersion: "1.0.0", $name, plugins: [$plugin] }' >"$NET_DIR/$1.conflist"
}

@test "a bridge, a master and a device are found by any of their names, and stay their administrator's" {
  in_host ip -batch - <<'LINES'
link add name brx address 02:00:00:00:00:77 up type bridge
link property add dev brx altname lanbr0 altname the-bridge-of-the-lab
address add 10.1.1.1/24 dev brx
link add name port0 master brx up type veth peer name port1
link set dev port1 up
link add name dev0 type veth peer name dev1
link property add dev dev0 altname nic0
link property add dev eth0 altname uplink0
LINES
  snapshot >"$BATS_TEST_TMPDIR/before"
  local name
  for name in brx lanbr0 the-bridge-of-the-lab; do
    passes bridge "$(conf bridge "{ \"bridge\": \"$name\", \"isGateway\": true, \"ipam\": $local }")"
    jq -e '.interfaces[0].name == "brx"' <<<"$RESULT"
  done
  equal null "$(in_host ip -j link show dev brx | jq '.[0].ifalias')"
  passes macvlan "$(conf macvlan "{ \"master\": \"uplink0\", \"ipam\": $static }")"
  passes host-device "$(conf host-device '{ "device": "nic0" }')"
  refused 999 'failed to create bridge "uplink0": "uplink0" already exists but is not a bridge' bridge ADD \
    "$(conf bridge "{ \"bridge\": \"uplink0\", \"ipam\": $local }")"
  # A container of `up`, too, and a master in the container.
  network lan "{ \"type\": \"bridge\", \"bridge\": \"lanbr0\", \"ipam\": $local }"
  ocinet up /run/netns/box --net lan
  in_box ip link property add dev eth0 altname way0
  passes macvlan "$(conf macvlan "{ \"master\": \"way0\", \"linkInContainer\": true, \"ipam\": $static }")" CNI_IFNAME=eth1
  ocinet down box
  rm "$NET_DIR/lan.conflist"
  in_host sh -c 'ip netns delete box; ip netns add box'
  ocinet gc
  in_host ip link show dev brx
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip -batch - <<'LINES'
link delete dev port0
link delete dev dev0
link delete dev brx
LINES
}

# second COMMAND...: in a network namespace whose mounts are the host's: /sys shows the host's links
second() { in_host nsenter --net=/run/netns/second "$@"; }

# there TYPE COMMAND JSON [VARIABLE=VALUE...]: a plugin called in it
there() {
  run -0 --separate-stderr second env -i PATH="$PATH" OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/box \
    CNI_IFNAME=eth0 CNI_PATH="$BIN" "${@:4}" CNI_COMMAND="$2" "$BIN/$1" <<<"$3"
}

@test "where /sys shows another network namespace, what is here counts: bridges, masters, gc" {
  local bridge made
  in_host ip netns add second
  in_host ip netns add box2
  # The same name, and the same index, as the host's link.
  second ip link add name eth0 index "$(in_host cat /sys/class/net/eth0/ifindex)" address 02:00:00:00:00:99 mtu 1400 type veth peer name peer0 index 99
  second ip link set dev eth0 up
  second ip address add 192.0.2.77/24 dev eth0
  second ip route add default via 192.0.2.1
  # A bridge of ours on the host, which stays.
  adds bridge "$(conf bridge "{ \"bridge\": \"br0\", \"isGateway\": true, \"ipam\": $local }")"
  run -0 plugin bridge DEL "$(conf bridge "{ \"bridge\": \"br0\", \"isGateway\": true, \"ipam\": $local }")"
  bridge=$(conf bridge "{ \"bridge\": \"br1\", \"isGateway\": true, \"ipam\": $local }")
  there bridge ADD "$bridge"
  made=$output
  there bridge ADD "$bridge" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/box2
  there bridge CHECK "$(with_result "$bridge" "$made")"
  there bridge DEL "$bridge" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/box2
  there bridge DEL "$bridge"
  # An administrator's bridge, whose address follows its ports, keeps the one that the container knows.
  second ip link add name bry up type bridge
  second ip link add name higher address 02:00:00:00:00:99 master bry type veth peer name higher1
  bridge=$(conf bridge "{ \"bridge\": \"bry\", \"isGateway\": true, \"ipam\": $local }")
  there bridge ADD "$bridge"
  made=$output
  run -1 second env -i PATH="$PATH" OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/box2 CNI_IFNAME=eth0 \
    CNI_PATH="$BIN" CNI_COMMAND=ADD "$BIN/bridge" <<<"$(jq '.vlan = 7' <<<"$bridge")"
  [[ $output == *'Cannot use a VLAN on bridge \"bry\": it does not keep VLANs apart'* ]]
  second ip link add name lower address 02:00:00:00:00:01 master bry type veth peer name lower1
  there bridge CHECK "$(with_result "$bridge" "$made")"
  there bridge DEL "$bridge"
  # A link that is not made with an address of its own has its master's.
  there macvlan ADD "$(conf macvlan "{ \"master\": \"eth0\", \"mode\": \"passthru\", \"ipam\": $static }")"
  jq -e '.interfaces[0].mac == "02:00:00:00:00:99"' <<<"$output"
  there macvlan DEL "$(conf macvlan "{ \"master\": \"eth0\", \"mode\": \"passthru\", \"ipam\": $static }")"
  # A device comes back; where it cannot be told from others, that is said.
  second ip link add name port0 address 02:00:00:00:00:aa type veth peer name port1
  there host-device ADD "$(conf host-device '{ "device": "port0" }')"
  in_box ip -batch - <<'LINES'
link set dev eth0 down
link set dev eth0 name wan0 address 02:00:00:00:00:bb
link add name eth0 address 02:00:00:00:00:aa type veth peer name eth1
LINES
  run -1 second env -i PATH="$PATH" OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 \
    CNI_PATH="$BIN" CNI_COMMAND=DEL "$BIN/host-device" <<<"$(conf host-device '{ "device": "port0" }')"
  [[ $output == *"no link there has index "*"/sys showed another network namespace; move it"* ]]
  in_box ip link set dev wan0 address 02:00:00:00:00:aa
  there host-device DEL "$(conf host-device '{ "device": "port0" }')"
  second ip -j link show dev port0 | jq -e '.[0].link == "port1"'
  in_box ip link delete dev eth0
  second "$OCINET" gc
  in_host ip link show dev br0
  run -1 second ip link show dev br1
  in_host ip netns delete second
  in_host ip netns delete box2
  ocinet gc
  run -1 in_host ip link show dev br0
}

@test "control characters in names and aliases of links, and what an ip without IPv6 prints, are read, and no terminal gets any" {
  local bridge tuning
  bridge=$(conf bridge "{ \"bridge\": \"br0\", \"isGateway\": true, \"ipam\": $local }")
  tuning=$(conf tuning '{ "mtu": 1400 }')
  in_host ip link add name $'h\e[1m' type veth peer name $'h\x02'
  in_host ip link set dev $'h\e[1m' alias $'a\x01\e]0;x\a'
  adds bridge "$bridge"
  in_box ip link add name $'x\e[1m' type veth peer name $'x\x02'
  in_box ip link set dev $'x\x02' alias $'a\x01\e]0;x\a\\\'"'
  run -0 plugin bridge CHECK "$(with_result "$bridge" "$RESULT")"
  run -0 plugin tuning ADD "$(with_result "$tuning" "$RESULT")"
  run -0 plugin tuning DEL "$(with_result "$tuning" "$RESULT")"
  run -0 ocinet gc
  run -1 grep -P '[\x00-\x08\x0e-\x1f]' <<<"$output"
  # The kernel's answer to a family that it has not (ipv6.disable=1) ends iproute2 in the middle of a line.
  mkdir "$BATS_TEST_TMPDIR/without"
  printf '#!/bin/sh\ncase " $* " in *" -6 "*) printf "[["; exit 1;; esac\nexec %s "$@"\n' "$(command -v ip)" >"$BATS_TEST_TMPDIR/without/ip"
  chmod +x "$BATS_TEST_TMPDIR/without/ip"
  local PATH=$BATS_TEST_TMPDIR/without:$PATH
  run -0 plugin bridge CHECK "$(with_result "$bridge" "$RESULT")"
  run -0 plugin tuning ADD "$(with_result "$tuning" "$RESULT")"
  run -0 plugin tuning CHECK "$(with_result "$tuning" "$RESULT")"
  run -0 plugin tuning DEL "$(with_result "$tuning" "$RESULT")"
  run -0 plugin bridge DEL "$bridge"
  in_host ip link delete dev $'h\x02'
}

@test "links have the MTU of the host's way out unless their network names one (moby#13475), but not a plugin called by its name" {
  in_host ip link set dev eth0 mtu 1400
  network wide "{ \"type\": \"bridge\", \"bridge\": \"br1\", \"mtu\": 1450, \"ipam\": $local }"
  network plain "{ \"type\": \"bridge\", \"bridge\": \"br2\", \"ipam\": { \"type\": \"host-local\", \"subnet\": \"10.2.2.0/24\" } }"
  ocinet up /run/netns/box --net default,plain,wide
  equal "1400 1400 1450" "$(in_box ip -j link | jq -r '[.[] | select(.ifname | startswith("eth")) | { key: .ifname, value: .mtu }] | from_entries | "\(.eth0) \(.eth1) \(.eth2)"' |
    xargs -n 1 | sort -n | xargs)"
  equal 1400 "$(in_host cat /sys/class/net/br2/mtu)"
  ocinet down box
  in_host sh -c 'ip netns delete box; ip netns add box'
  adds bridge "$(conf bridge "{ \"bridge\": \"br3\", \"ipam\": $local }")"
  equal 1500 "$(in_box cat /sys/class/net/eth0/mtu)"
  rm "$NET_DIR"/{wide,plain}.conflist
}

@test "a network of ours never has a subnet that the host reaches elsewhere: another one, or the reason" {
  in_host ip -batch - <<'LINES'
link add name cloud0 up type veth peer name cloud1
link set dev cloud1 up
address add 172.31.16.5/20 dev cloud0
address add 172.16.28.5/20 dev cloud0
address add fd6f:6369:6e65:28::5/64 dev cloud0 nodad
LINES
  in_host ip netns add box2
  ocinet up /run/netns/box --net default,default-restricted
  equal "10.86.28.2/24 10.87.0.2/16 fd6f:6369:6e65:31::2/64 fd6f:6369:6e66:28::2/64" \
    "$(in_box ip -j address | jq -r '.[].addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"' | sort | xargs)"
  in_box busybox ping -q -c 1 -W 20 192.0.2.2
  # The next container is a neighbour, though the subnet is reached by now.
  in_host ip address flush dev cloud0
  ocinet up /run/netns/box2
  equal 10.86.28.3/24 "$(in_host ip netns exec box2 ip -4 -j address show dev eth0 | jq -r '.[].addr_info[] | "\(.local)/\(.prefixlen)"')"
  ocinet down box box2
  in_host ip netns delete box2
  in_host ip -batch - <<'LINES'
route add 172.16.0.0/12 dev cloud0
route add 10.0.0.0/8 dev cloud0
route add 192.168.0.0/16 dev cloud0
route add 100.64.0.0/10 dev cloud0
LINES
  in_host sh -c 'ip netns delete box; ip netns add box'
  ocinet up /run/netns/box
  equal 198.18.28.2/24 "$(in_box ip -4 -j address show dev eth0 | jq -r '.[].addr_info[] | "\(.local)/\(.prefixlen)"')"
  ocinet down box
  in_host ip route add 198.18.0.0/15 dev cloud0
  run -1 ocinet up /run/netns/box
  [[ $output == 'ocinet: Cannot use network "default": the host reaches each subnet that it could have elsewhere (10.86.28.0/24 by route 10.0.0.0/8 dev cloud0'* ||
    $output == *"172.16.28.0/24 by route 172.16.0.0/12 dev cloud0"* ]]
  in_host ip link delete dev cloud0
}

@test "no table of the kernel's is read whole, and no process looks, for ports on an address of the host's (moby#14946)" {
  ocinet up /run/netns/box --id warm
  ocinet down warm
  OCINET_AGENT=no in_host strace -f -qq -z -e trace=execve,openat -o "$BATS_TEST_TMPDIR/trace" \
    "$OCINET" up /run/netns/box -p 192.0.2.1:8000-8010:8000-8010 -p '[2001:db8:1::1]:8000:8000'
  run -1 grep -E '"/proc/[^"]*/net/(dev|fib_trie|igmp|dev_mcast|tcp6?|udp6?)"' "$BATS_TEST_TMPDIR/trace"
  # What makes things, in the host and in the container; nothing else.
  equal 3 "$(grep -cE 'execve\("[^"]*/(ip|nft)", .* = 0$' "$BATS_TEST_TMPDIR/trace")"
  run -1 ocinet up /run/netns/box --id other -p 192.0.2.9:80:80
  [[ $output == *"the host does not have the address 192.0.2.9" ]]
  ocinet down box
}
