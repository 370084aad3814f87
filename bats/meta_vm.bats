#!/usr/bin/env bats
# vrf, which a cut-down kernel lacks.
load lib
load contained
load links

# list NAME SUBNETS PLUGIN: a network with bridge NAME0 and, after that, this plugin
list() {
  local changed
  network "$1.conflist" "$1" bridge "$2"
  changed=$(jq --argjson plugin "$3" '.plugins += [$plugin]' "$NET_DIR/$1.conflist")
  echo "$changed" >"$NET_DIR/$1.conflist"
}

@test "vrf keeps the routes of its interfaces to itself, and goes with the last of them" {
  list a 10.1.1.0/24,fd00:1::/64 '{ "type": "vrf", "vrfname": "blue" }'
  list b 10.1.2.0/24,fd00:2::/64 '{ "type": "vrf", "vrfname": "red", "table": 42 }'
  list c 10.1.3.0/24 '{ "type": "vrf", "vrfname": "blue" }'
  network d.conf d bridge 10.1.4.0/24
  up box a,b,c,d
  equal "blue red blue" "$(for link in eth0 eth1 eth2; do link_of box $link .master; done | xargs)"
  equal "1 42" "$(for vrf in blue red; do link_of box $vrf .linkinfo.info_data.table; done | xargs)"
  equal "default via 10.1.1.1 dev eth0" "$(in_box box ip route show vrf blue default | xargs)"
  equal "default via 10.1.2.1 dev eth1" "$(in_box box ip route show vrf red default | xargs)"
  equal "default via 10.1.4.1 dev eth3" "$(in_box box ip route show default | xargs)"
  local vrf address
  for address in 192.0.2.2 2001:db8:1::2; do
    for vrf in blue red; do reaches $address in_box box ip vrf exec $vrf || fail "no way from $vrf to $address"; done
  done
  reaches 192.0.2.2 in_box box
  for address in 10.1.1.2 fd00:1::2 10.1.2.2 fd00:2::2; do reaches $address in_host || fail "no way to $address"; done
  down box
}

@test "vrf refuses another table for a VRF, and an interface that has a master" {
  list a 10.1.1.0/24 '{ "type": "vrf", "vrfname": "blue", "table": 5 }'
  list b 10.1.2.0/24 '{ "type": "vrf", "vrfname": "blue", "table": 6 }'
  refused a,b "VRF blue already exist with different routing table 5"
}
