#!/usr/bin/env bats
# STATUS and CHECK of link kinds that a cut-down kernel lacks, and what DEL leaves of them. (The laws in src/laws kill ADD and
# DEL at every call.)
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

static='{ "type": "static", "addresses": [{ "address": "10.7.0.1/24" }] }'

# has TYPE JSON: STATUS says that this kernel has what the type needs
has() { run -0 plugin "$1" STATUS "$(conf "$1" "$2")"; }

@test "STATUS and CHECK of ipvlan, vlan and dummy: kind, mode, id, master" {
  has ipvlan '{ "master": "eth0" }'
  has vlan '{ "master": "eth0", "vlanId": 7, "ipam": '"$static"' }'
  has dummy '{ "ipam": '"$static"' }'
  checked ipvlan '{ "master": "eth0", "mode": "l3", "ipam": '"$static"' }'
  notices 'container interface "eth0" has mode l2, not l3' "ip -n box link set dev eth0 type ipvlan mode l2" "ip -n box link set dev eth0 type ipvlan mode l3"
  ends
  equal lo "$(in_box ls /sys/class/net | xargs)"
  checked vlan '{ "master": "eth0", "vlanId": 7, "ipam": '"$static"' }'
  local mac
  mac=$(in_host cat /sys/class/net/eth0/address)
  remake() {
    echo "ip -n box link del dev eth0; ip link add link $1 name tmp0 address $mac type vlan id $2; ip link set dev tmp0 netns box name eth0
      ip -n box address add 10.7.0.1/24 dev eth0; ip -n box link set dev eth0 up"
  }
  in_host ip link add name port0 up type dummy
  notices 'container interface "eth0" has id 8, not 7' "$(remake eth0 8)" "$(remake eth0 7)"
  notices 'container interface "eth0" is not on its master "eth0"' "$(remake port0 7)" "$(remake eth0 7)"
  ends
  equal lo "$(in_box ls /sys/class/net | xargs)"
  checked dummy '{ "ipam": '"$static"' }'
  notices 'container interface "eth0" is down' "ip -n box link set dev eth0 down" "ip -n box link set dev eth0 up"
  # DEL when the container has gone.
  in_host ip netns delete box
  run -0 plugin dummy DEL "$CHECKED"
  in_host ip link delete port0
}

@test "STATUS and CHECK of a bridge's VLANs, and of vrf" {
  has bridge '{ "vlan": 7, "ipam": '"$static"' }'
  has vrf '{ "vrfname": "blue" }'
  checked bridge '{ "vlan": 7, "vlanTrunk": [{ "minID": 20, "maxID": 22 }], "isGateway": true, "ipam": '"$HOST_LOCAL"' }'
  local port=vethdbbac32e902
  notices "bridge port \"$port\" is no longer in VLAN 7" "bridge vlan del dev $port vid 7" "bridge vlan add dev $port vid 7 pvid untagged"
  notices "bridge port \"$port\" is no longer in VLAN 22" "bridge vlan del dev $port vid 22" "bridge vlan add dev $port vid 22"
  notices '"cni0.7" no longer has the gateway'\''s address 10.1.1.1/24' "ip address del 10.1.1.1/24 dev cni0.7" "ip address add 10.1.1.1/24 dev cni0.7"
  local first=$CHECKED made=$RESULT
  checked vrf "$(jq -nc --argjson made "$made" '{ vrfname: "blue", table: 42, prevResult: $made }')"
  notices "interface eth0 is not in VRF blue" "ip -n box link set dev eth0 nomaster" "ip -n box link set dev eth0 master blue"
  ends
  run -0 plugin bridge DEL "$first"
  in_host ip link delete cni0.7
  in_host ip link delete cni0
}
