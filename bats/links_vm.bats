#!/usr/bin/env bats
# Links of kinds that a cut-down kernel lacks. This kernel is also one that looks for a new link's name where the request
# comes from, and the host has an eth0.
load lib
load contained
load links

@test "ipvlan: each mode" {
  local mode ipam
  # Where only addresses lead to a container, the others have to know the way.
  in_peer ip route add 10.7.0.1/32 via 192.0.2.1
  for mode in l2 l3 l3s; do
    ipam=$(static 192.0.2.77/24)
    [ $mode = l2 ] || ipam=$(static 10.7.0.1/24 | jq -c '.routes = [{ dst: "192.0.2.0/24", scope: 253 }]')
    plugin net "{ \"type\": \"ipvlan\", \"mode\": \"$mode\", \"mtu\": 1400, \"ipam\": $ipam }"
    up box net
    link_of box eth0 ".linkinfo.info_kind == \"ipvlan\" and .linkinfo.info_data.mode == \"$mode\" and .mtu == 1400"
    equal "$(in_host ip -j link show dev eth0 | jq '.[0].address')" "$(ocinet inspect box | jq '.. | .mac? // empty')"
    wait_for reaches 192.0.2.2 in_box box || fail "$mode"
    down box
  done
}

@test "vlan, macvlan on a VLAN, and masters in the container" {
  local id
  for id in 7 8; do
    in_peer ip link add link eth0 name eth0.$id up type vlan id $id
    in_peer ip address add 10.$id.0.2/24 dev eth0.$id
    plugin vlan$id "{ \"type\": \"vlan\", \"master\": \"eth0\", \"vlanId\": $id, \"ipam\": $(static 10.$id.0.1/24) }"
  done
  up box vlan7,vlan8
  link_of box eth0 '.linkinfo | .info_kind == "vlan" and .info_data.id == 7'
  link_of box eth1 '.linkinfo.info_data.id == 8 and .mtu == 1500'
  wait_for reaches 10.7.0.2 in_box box
  wait_for reaches 10.8.0.2 in_box box
  down box
  # Their master is in the container, too.
  plugin a "{ \"type\": \"macvlan\", \"ipam\": $(static 192.0.2.77/24) }"
  plugin b "{ \"type\": \"vlan\", \"linkInContainer\": true, \"master\": \"eth0\", \"vlanId\": 7, \"ipam\": $(static 10.7.0.1/24) }"
  plugin c "{ \"type\": \"ipvlan\", \"linkInContainer\": true, \"master\": \"eth0\", \"ipam\": $(static 192.0.2.78/24) }"
  up box a,b,c
  link_of box eth1 '.link == "eth0" and .linkinfo.info_data.id == 7'
  link_of box eth2 '.link == "eth0" and .linkinfo.info_kind == "ipvlan"'
  wait_for reaches 10.7.0.2 in_box box
  wait_for reaches 192.0.2.78 in_peer
  down box
  in_host ip link add link eth0 name eth0.7 up type vlan id 7
  plugin macvlan7 "{ \"type\": \"macvlan\", \"master\": \"eth0.7\", \"ipam\": $(static 10.7.0.3/24) }"
  up box macvlan7
  wait_for reaches 10.7.0.2 in_box box
  down box
  in_host ip link delete eth0.7
  # The same parent is made for a network that names it, and goes with the last one.
  rm "$NET_DIR/macvlan7.conflist"
  ocinet network create -d macvlan -o parent=eth0.7 --subnet 10.7.0.0/24 --ip-range 10.7.0.64/26 lan7
  up box lan7
  equal 7 "$(in_host ip -d -j link show dev eth0.7 | jq '.[0].linkinfo.info_data.id')"
  wait_for reaches 10.7.0.2 in_box box
  down box
  ocinet network rm lan7
  run ! in_host ip link show dev eth0.7
}

@test "dummy, as what is made and as a device of the host's" {
  plugin made "{ \"type\": \"dummy\", \"ipam\": $(static 10.7.0.1/24 fd00:7::1/64) }"
  plugin moved '{ "type": "host-device", "device": "dummy0" }'
  in_host ip link add name dummy0 type dummy
  in_host ip link set dev dummy0 mtu 1234
  up box made,moved
  link_of box eth0 '.linkinfo.info_kind == "dummy" and ([.addr_info[] | select(.scope == "global").local] == ["10.7.0.1", "fd00:7::1"])'
  reaches 10.7.0.1 in_box box
  link_of box eth1 '.mtu == 1234 and .ifalias == "dummy0"'
  down box
  in_host ip -j link show dev dummy0 | jq -e '.[0] | .mtu == 1234 and .ifalias == null'
  in_host ip link delete dummy0
  # An internal network without a parent has one of its own, by which its containers reach each other.
  local driver
  for driver in macvlan ipvlan; do
    ocinet network create -d $driver --internal --subnet 10.9.0.0/24 apart
    up box apart
    up box2 apart
    equal dummy "$(in_host ip -d -j link | jq -r '.[] | select(.ifname | startswith("dm-")).linkinfo.info_kind')"
    wait_for reaches 10.9.0.2 in_box box2
    cannot_reach 192.0.2.2 in_box box2
    down box
    down box2
    ocinet network rm apart
    run ! grep -q dm- <<<"$(in_host ip -o link)"
  done
}

@test "bridge: VLANs, a trunk, and the default VLAN" {
  local net
  plugin seven "{ \"type\": \"bridge\", \"bridge\": \"br0\", \"vlan\": 7, \"isGateway\": true, \"ipam\": $(static 10.7.0.2/24) }"
  plugin same "{ \"type\": \"bridge\", \"bridge\": \"br0\", \"vlan\": 7, \"ipam\": $(static 10.7.0.3/24) }"
  plugin eight "{ \"type\": \"bridge\", \"bridge\": \"br0\", \"vlan\": 8, \"preserveDefaultVlan\": true, \"ipam\": $(static 10.7.0.4/24) }"
  plugin trunk "{ \"type\": \"bridge\", \"bridge\": \"br0\", \"vlanTrunk\": [{ \"id\": 7 }, { \"minID\": 20, \"maxID\": 22 }] }"
  for net in seven same eight trunk; do
    up $net $net
    equal "$(expected_vlans $net)" "$(vlans_of $net)"
  done
  wait_for reaches 10.7.0.3 in_box seven
  wait_for reaches 10.7.0.2 in_host
  cannot_reach 10.7.0.4 in_box seven
  in_box trunk ip link add link eth0 name eth0.7 up type vlan id 7
  in_box trunk ip address add 10.7.0.5/24 dev eth0.7
  wait_for reaches 10.7.0.2 in_box trunk
  down seven same eight trunk
  in_host ip link delete br0.7
  in_host ip link delete br0
}

expected_vlans() {
  case $1 in
    seven | same) echo "7 PVID Egress Untagged" ;;
    eight) printf '1 Egress Untagged\n8 PVID Egress Untagged\n' ;;
    trunk) printf '1 PVID Egress Untagged\n7 \n20 \n21 \n22 \n' ;;
  esac
}

# vlans_of BOX: those of its port, a line each
vlans_of() {
  local port
  port=$(in_host ip -j link show master br0 | jq -r --argjson peer "$(link_of "$1" eth0 .link_index)" '.[] | select(.ifindex == $peer).ifname')
  in_host bridge -j vlan show dev "$port" |
    jq -r '.[0].vlans[] | "\(.vlan) \(.flags // [] | join(" "))"'
}

@test "none of them leaves anything" {
  plugin a "{ \"type\": \"ipvlan\", \"ipam\": $(static 10.7.0.1/24) }"
  plugin b "{ \"type\": \"vlan\", \"master\": \"eth0\", \"vlanId\": 9, \"mtu\": 1400, \"ipam\": $(static 10.9.0.1/24) }"
  plugin c "{ \"type\": \"dummy\", \"ipam\": $(static 10.8.0.1/24 fd00:8::1/64) }"
  followed_by c '{ "type": "vrf", "vrfname": "blue" }'
  plugin d "{ \"type\": \"bridge\", \"bridge\": \"br0\", \"vlan\": 7, \"vlanTrunk\": [{ \"id\": 8 }], \"isGateway\": true,
    \"ipam\": $(static 10.6.0.2/24) }"
  in_host sysctl -q net.ipv4.ip_forward=1
  keeps_law a,b,c,d
}

@test "host-device: hardware comes back by itself when its namespace ends, and is again what it was" {
  modprobe e1000
  local name device state=$BATS_TEST_TMPDIR/state
  wait_for any_hardware
  name=$(hardware)
  device=$(readlink -f "/sys/class/net/$name/device")
  # The emulator has a server; its client keeps a namespace that no other process has for as long as it takes to notice.
  plugin net "{ \"type\": \"host-device\", \"kernelpath\": \"$device\", \"ipam\": { \"type\": \"dhcp\" } }"
  followed_by net "$TUNING"
  ip -j link show dev "$name" | jq 'del(.[].ifindex)' >"$BATS_TEST_TMPDIR/link"
  # Once taken back from a namespace that lives, once from one that does not.
  ip netns add alive
  local box
  for box in alive gone; do
    [ $box = alive ] || ip netns add gone
    OCINET_STATE_DIR=$state "$OCINET" up --net-dir "$NET_DIR" --net net /run/netns/$box
    run -1 ip link show dev "$name"
    ip netns exec $box ip -d -j address show dev eth0 |
      jq -e --arg name "$name" '.[0] | .ifalias == $name and ([.addr_info[] | select(.family == "inet").local] == ["10.0.2.15"])'
    [ $box = alive ] || ip netns delete gone
    OCINET_STATE_DIR=$state "$OCINET" down $box
    diff "$BATS_TEST_TMPDIR/link" <(ip -j link show dev "$name" | jq 'del(.[].ifindex)')
  done
  # By each of its names, it is to the reference what it is to ours.
  "$OCINET" install-plugins "$BATS_TEST_TMPDIR/plugins"
  local place
  for place in "pciBusID: \"${device##*/}\"" "kernelpath: \"$device\"" "runtimeConfig: { deviceID: \"${device##*/}\" }"; do
    place=$(jq -nc "{ cniVersion: \"1.0.0\", name: \"net\", type: \"host-device\", $place }")
    moved_by /usr/lib/cni "$place" >"$BATS_TEST_TMPDIR/theirs"
    jq -e '.interfaces[0].name == "eth0"' "$BATS_TEST_TMPDIR/theirs"
    diff "$BATS_TEST_TMPDIR/theirs" <(moved_by "$BATS_TEST_TMPDIR/plugins" "$place")
  done
  ip netns delete alive
  OCINET_STATE_DIR=$state "$OCINET" gc
  rmmod e1000
}

# moved_by DIRECTORY CONF: the result of ADD by the plugin there, without its "dns", of which cni_differential.bash tells; it
# takes the device back afterwards
moved_by() {
  local command
  for command in ADD DEL; do
    CNI_COMMAND=$command CNI_CONTAINERID=c CNI_NETNS=/run/netns/alive CNI_IFNAME=eth0 CNI_PATH=$1 \
      OCINET_STATE_DIR=$BATS_TEST_TMPDIR/state "$1/host-device" <<<"$2" || return
  done | jq -S 'del(.dns)'
}

any_hardware() { [ -n "$(hardware)" ]; }

hardware() {
  local path
  for path in /sys/class/net/*/device; do
    [ ! -e "$path" ] || basename "$(dirname "$path")"
  done
}
