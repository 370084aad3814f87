#!/usr/bin/env bats
# Addresses by DHCP on links that a cut-down kernel lacks.
# shellcheck disable=SC2154 # of dhcp.bash
load lib
load cni
load dhcp

setup() {
  set_up_hosts
  set_up_plugins
  make_lan
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  remove_lan
  tear_down_hosts
}

@test "vlan and ipvlan: of several ipvlans each has an address of its own, though all have one MAC address" {
  in_peer ip address delete 10.9.0.1/24 dev lan
  in_peer ip link add link lan name lan.7 up type vlan id 7
  in_peer ip address add 10.9.0.1/24 dev lan.7
  dhcp_server_for in_peer lan.7 10.9.0.50,10.9.0.50 "${names[@]}"
  keeps_lease "$(net "{}" vlan '{ "vlanId": 7 }')"
  stop server
  in_peer ip link delete lan.7
  in_peer ip address add 10.9.0.1/24 dev lan
  dhcp_server 10.9.0.50,10.9.0.51 "${names[@]}"
  local conf
  conf=$(net "{}" ipvlan)
  adds ipvlan "$conf"
  adds ipvlan "$conf" CNI_IFNAME=eth1
  equal "10.9.0.50/24 10.9.0.51/24" "$({ address eth0; address eth1; } | sort | xargs)"
  equal "$(in_host cat /sys/class/net/lan0/address)" "$(in_box ip -j link show dev eth1 | jq -r '.[0].address')"
  # shellcheck disable=SC2046 # two pids
  kill -USR1 $(client)
  seen 4 "DHCPACK("
  run -0 plugin ipvlan CHECK "$(with_result "$conf" "$RESULT")" CNI_IFNAME=eth1
  run -0 plugin ipvlan GC "$(jq -c '. + { "cni.dev/valid-attachments": [] }' <<<"$conf")" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  all_given_back
  wait_for no_clients
  # The MAC address that only tuning sets is the one that leases are to, where a link can have one of its own (podman#1136).
  in_peer ip address delete 10.9.0.1/24 dev lan
  in_peer ip link add link lan name lan.7 up type vlan id 7
  in_peer ip address add 10.9.0.1/24 dev lan.7
  stop server
  dhcp_server_for in_peer lan.7 10.9.0.60,10.9.0.60
  chain() {
    jq -n --argjson net "$1" '{ cniVersion: "1.1.0", name: "net", plugins: [$net, { type: "tuning", mac: "02:00:00:00:77:01" }] }' \
      >"$BATS_TEST_TMPDIR/net.conflist"
  }
  export NETCONFPATH=$BATS_TEST_TMPDIR CNI_CONTAINERID=c1
  chain "$(net "{}" vlan '{ "vlanId": 7 }')"
  run -0 ocinet cni add net /run/netns/box
  equal 02:00:00:00:77:01 "$(awk '{ print $2 }' "$LEASES")"
  # shellcheck disable=SC2046
  kill -USR1 $(client)
  seen 2 "DHCPACK("
  equal 10.9.0.60/24 "$(address)"
  run -0 ocinet cni check net /run/netns/box
  run -0 ocinet cni del net /run/netns/box
  all_given_back
  chain "$(net "{}" ipvlan)"
  run -1 ocinet cni add net /run/netns/box
  [[ $output == *"Cannot use address 02:00:00:00:77:01: the interface cannot have it;"* ]]
  wait_for no_clients
}
