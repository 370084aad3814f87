#!/usr/bin/env bats
# Ours beside the reference plugins: the types whose links a cut-down kernel lacks.
# shellcheck disable=SC2034,SC2154 # of and for cni_differential.bash
load lib
load cni
load cni_differential

setup() { set_up_difference; }

@test "vlan, ipvlan, vrf, and a bridge with VLANs" {
  local bridge
  # An emulated machine takes a while for each.
  PREPARE="ip link add name m0 mtu 1450 type dummy; ip link set dev m0 up"
  options vlan "{ \"master\": \"m0\", \"vlanId\": 7, \"mtu\": 1400, \"ipam\": $four }"
  options ipvlan "{ \"master\": \"m0\", \"mode\": \"l3s\", \"mtu\": 1400, \"ipam\": $four }"
  PREPARE=""
  # Routes by a gateway its vrf loses; later versions keep them, as ours does.
  bridge=$(conf bridge "{ vlan: 7, ipam: $four }" 1.0.0)
  same bridge "$bridge" vrf "$(conf vrf '{ vrfname: "red", table: 42 }' 1.0.0)"
}
