#!/usr/bin/env bats
# The two laws for types as plugins whose links a cut-down kernel lacks.
load lib
load cni
load cni_laws

setup() {
  set_up_hosts
  set_up_plugins
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

static='{ "type": "static", "addresses": [{ "address": "10.7.0.1/24" }, { "address": "fd00:7::1/64" }], "routes": [{ "dst": "10.8.0.0/16", "gw": "10.7.0.2" }] }'

# keeps_laws LIST: whole, then with a namespace that is gone. (The laws in src/laws kill them at every call.)
keeps_laws() {
  libcni ADD "$1"
  in_box ip -br link | grep -q ^eth0
  libcni DEL "$1"
  equal "$INSIDE" "$(in_box ip -br address)"
  libcni ADD "$1"
  in_host ip netns delete box
  libcni DEL "$1"
  make_box
}

@test "ipvlan, vlan, dummy with vrf" {
  snapshot >"$BATS_TEST_TMPDIR/before"
  INSIDE=$(in_box ip -br address)
  keeps_laws "$(list "{ \"type\": \"ipvlan\", \"master\": \"eth0\", \"ipam\": $static }")"
  keeps_laws "$(list "{ \"type\": \"vlan\", \"master\": \"eth0\", \"vlanId\": 7, \"ipam\": $static }")"
  keeps_laws "$(list "{ \"type\": \"dummy\", \"ipam\": $static }" '{ "type": "vrf", "vrfname": "blue" }')"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}
