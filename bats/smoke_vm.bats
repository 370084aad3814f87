#!/usr/bin/env bats
# Link types that a cut-down kernel lacks.
load lib

@test "the virtual machine has every link type" {
  in_host ip link add d0 type dummy
  in_host ip link add link eth0 name eth0.7 type vlan id 7
  in_host ip link add link eth0 name ip0 type ipvlan
  in_host ip link add v0 type vrf table 10
  in_host ip link add br0 type bridge vlan_filtering 1
  local link
  for link in d0 eth0.7 ip0 v0 br0; do in_host ip link delete $link; done
}
