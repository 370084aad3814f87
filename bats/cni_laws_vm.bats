#!/usr/bin/env bats
# The two laws for types as plugins whose links a cut-down kernel lacks.
load lib
load cni
load killing
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

# An emulated machine takes a while for each.
quick_look() { in_box ip -br link; }

# keeps_laws LIST: killed at its calls of ip, then whole, then with a namespace that is gone
keeps_laws() {
  local plugin result=null
  links_of in_box >"$BATS_TEST_TMPDIR/inside"
  while read -r plugin <&3; do
    kill_plugin "$(jq -r .type <<<"$plugin")" "$(with_result "$plugin" "$result")"
    # shellcheck disable=SC2153 # that of kill_plugin
    result=$RESULT
  done 3< <(jq -c '(.plugins[]) + { name, cniVersion }' <<<"$1")
  run -1 diff "$BATS_TEST_TMPDIR/inside" <(links_of in_box)
  libcni DEL "$1"
  diff "$BATS_TEST_TMPDIR/inside" <(links_of in_box)
  libcni ADD "$1"
  in_host ip netns delete box
  libcni DEL "$1"
  make_box
}

@test "ipvlan, vlan, dummy with vrf" {
  make_wrappers ip
  snapshot >"$BATS_TEST_TMPDIR/before"
  keeps_laws "$(list "{ \"type\": \"ipvlan\", \"master\": \"eth0\", \"ipam\": $static }")"
  keeps_laws "$(list "{ \"type\": \"vlan\", \"master\": \"eth0\", \"vlanId\": 7, \"ipam\": $static }")"
  keeps_laws "$(list "{ \"type\": \"dummy\", \"ipam\": $static }" '{ "type": "vrf", "vrfname": "blue" }')"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}
