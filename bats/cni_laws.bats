#!/usr/bin/env bats
# The two laws for each type as a plugin; types that a cut-down kernel lacks are in cni_check_vm.bats.
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
  in_host ip link delete port0 2>/dev/null || true
  tear_down_hosts
}

host_local='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] }'
static='{ "type": "static", "addresses": [{ "address": "10.1.1.9/24", "gateway": "10.1.1.1" }], "routes": [{ "dst": "0.0.0.0/0" }] }'
ports='"runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80 }, { "hostPort": 53, "containerPort": 53, "protocol": "udp" }] }'

@test "bridge with host-local, tuning, bandwidth, firewall, portmap and sbr" {
  # The administrator's chain, once it is there, stays: what is in it is not ours.
  local first
  first=$(list "{ \"type\": \"bridge\", \"ipam\": $host_local }" '{ "type": "firewall" }')
  libcni ADD "$first"
  libcni DEL "$first"
  ocinet gc
  new_box
  keep_laws "$(list "{ \"type\": \"bridge\", \"isGateway\": true, \"ipMasq\": true, \"macspoofchk\": true, \"ipam\": $host_local }" \
    '{ "type": "tuning", "mtu": 1400, "mac": "02:00:00:00:00:07", "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "77" } }' \
    '{ "type": "bandwidth", "ingressRate": 1000000, "ingressBurst": 100000, "egressRate": 1000000, "egressBurst": 100000 }' \
    '{ "type": "firewall", "ingressPolicy": "same-bridge" }' "{ \"type\": \"portmap\", $ports }" '{ "type": "sbr" }')"
}

@test "ptp with static and portmap" {
  keep_laws "$(list "{ \"type\": \"ptp\", \"ipMasq\": true, \"ipam\": $static }" "{ \"type\": \"portmap\", $ports }")"
}

@test "loopback" { keep_laws "$(list '{ "type": "loopback" }')"; }

@test "macvlan with host-local, and tuning" {
  keep_laws "$(list "{ \"type\": \"macvlan\", \"ipam\": $host_local }" '{ "type": "tuning", "promisc": true }')"
}

@test "tap with static" { keep_laws "$(list "{ \"type\": \"tap\", \"ipam\": $static }")"; }

@test "host-device with host-local: the device comes back" {
  in_host ip link add name port1 type veth peer name port0
  # It goes with its namespace.
  without_namespace() { :; }
  keep_laws "$(list "{ \"type\": \"host-device\", \"device\": \"port0\", \"ipam\": $host_local }")"
}

@test "flannel with portmap" {
  in_host mkdir /run/flannel
  printf '%s\n' FLANNEL_NETWORK=10.244.0.0/16 FLANNEL_SUBNET=10.244.7.1/24 FLANNEL_MTU=1450 FLANNEL_IPMASQ=false |
    in_host tee /run/flannel/subnet.env >/dev/null
  keep_laws "$(list '{ "type": "flannel", "delegate": { "isDefaultGateway": true } }' "{ \"type\": \"portmap\", $ports }")"
}
