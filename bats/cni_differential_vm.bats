#!/usr/bin/env bats
# Ours beside the reference plugins: the types whose links a cut-down kernel lacks.
# shellcheck disable=SC2016,SC2034,SC2154 # scripts of other shells; of and for cni_differential.bash
load lib
load cni
load cni_differential

setup() { set_up_difference; }

# An emulated machine takes a while to look, so all are links of one container, which is looked at once.
@test "vlan, ipvlan, vrf and a bridge with VLANs: every mode, in versions old and new" {
  local made='{ cniVersion: "0.4.0", interfaces: [{ name: "m1" }], ips: [{ version: "4", address: "10.1.1.99/24" }] }'
  # Of ipvlans on one link all have the mode of the last.
  PREPARE='
    for link in m0 m1 m2 m3; do ip link add name $link mtu 1450 up type dummy; done
    ip address add 10.9.0.2/24 dev m2
    ip route add default via 10.9.0.1'
  # Routes by a gateway its vrf loses; later versions keep them, as ours does.
  same ipvlan "$(conf ipvlan "{ master: \"m0\", mtu: 1400, ipam: $four }" 0.2.0)" \
    -- ipvlan "$(conf ipvlan "{ mode: \"l3\", prevResult: $made }" 0.4.0)" \
    -- ipvlan "$(conf ipvlan "{ mode: \"l3s\", ipam: $four }" 1.0.0)" \
    -- vlan "$(conf vlan "{ master: \"m3\", vlanId: 7, ipam: $four }" 0.2.0)" \
    -- vlan "$(conf vlan "{ master: \"m3\", vlanId: 8, mtu: 1400, ipam: $four }" 0.3.1)" \
    -- bridge "$(conf bridge "{ vlan: 7, ipam: $four }" 1.0.0)" vrf "$(conf vrf '{ vrfname: "red", table: 42 }' 1.0.0)" \
    -- bridge "$(conf bridge "{ vlan: 7, isGateway: true, ipam: $both }" 0.4.0)" vrf "$(conf vrf '{ vrfname: "blue" }' 0.4.0)"
}
