#!/usr/bin/env bats
# What the reference plugins put up, ours take down, and the reverse, of types whose links a cut-down kernel lacks.
load lib
load cni
load cni_interop

setup() {
  set_up_hosts
  set_up_plugins
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  in_host ip netns delete other 2>/dev/null || true
  tear_down_hosts
}

ipam='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]] }'

# An emulated machine takes a while for more; what is written down of ours and goes with GC is in cni_interop.bats.
everything() {
  in_box ip -br address
  in_host ip -br address
  find "$HOST_DIR/cni/networks/net" -type f ! -name lock ! -name 'last_reserved_ip.*' | sort
}
settings() {
  links_of in_box
  links_of in_host
}
same_settings() { settings | cmp -s "$BATS_TEST_TMPDIR/settings" -; }
collects_all() { :; }

# Of ipvlan and vlan both make the same (cni_differential_vm.bats), and both delete the container's link.
@test "vrf on a macvlan, and a VLAN's gateway on a bridge, by theirs go by ours, and the reverse" {
  local bridge="{ \"type\": \"bridge\", \"vlan\": 7, \"isGateway\": true, \"ipam\": $ipam }"
  # Bridge and gateway stay for others.
  neighbour "$REFERENCE" "$(list 1.0.0 "$bridge")"
  settings >"$BATS_TEST_TMPDIR/settings"
  goes_either_way "{ \"type\": \"macvlan\", \"master\": \"eth0\", \"ipam\": $ipam }, { \"type\": \"vrf\", \"vrfname\": \"blue\" }" "$bridge"
  wait_for same_settings || fail "$(settings | diff -U0 "$BATS_TEST_TMPDIR/settings" -)"
  in_host ip link delete cni0.7
}
