#!/usr/bin/env bats
# The two laws for types as plugins whose links a cut-down kernel lacks.
load lib
load cni
load killing
load cni_laws

setup() {
  set_up_hosts
  set_up_plugins
  in_host ip netns delete box
  make_box
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

static='{ "type": "static", "addresses": [{ "address": "10.7.0.1/24" }], "routes": [{ "dst": "10.8.0.0/16", "gw": "10.7.0.2" }] }'

# An emulated machine takes a while for each.
quick_look() { in_box ip -br link; }

# keeps_laws TYPE JSON: killed at its calls of ip; then without its namespace, and with it what was there before
keeps_laws() {
  kill_plugin "$1" "$2"
  in_box ip link show dev eth0
  new_box
  plugin "$1" DEL "$2" CNI_NETNS=
}

@test "ipvlan, vlan, dummy with vrf" {
  local dummy
  make_wrappers ip
  snapshot >"$BATS_TEST_TMPDIR/before"
  keeps_laws ipvlan "$(conf ipvlan "{ \"master\": \"eth0\", \"ipam\": $static }")"
  keeps_laws vlan "$(conf vlan "{ \"master\": \"eth0\", \"vlanId\": 7, \"ipam\": $static }")"
  dummy=$(conf dummy "{ \"ipam\": $static }")
  kill_plugin dummy "$dummy"
  keeps_laws vrf "$(with_result "$(conf vrf '{ "vrfname": "blue" }')" "$RESULT")"
  plugin dummy DEL "$dummy"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}
