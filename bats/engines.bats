#!/usr/bin/env bats
# The plugins of engines: what dockerd asks over a socket, and netavark by calling a program.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

setup() {
  set_up_hosts
  in_host ip netns add box
  SOCKET=$BATS_TEST_TMPDIR/run/ocinet.sock DATA=$BATS_TEST_TMPDIR/data
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

in_box() { in_host ip netns exec box "$@"; }

start_plugin() {
  background plugin in_host "$OCINET" docker-plugin --socket "$SOCKET" --data "$DATA"
  wait_for grep -q listening "$BATS_TEST_TMPDIR/plugin.log"
}

# docker METHOD [JSON]: as dockerd asks, of which the older versions name no host
docker() {
  curl -sS --max-time 60 --unix-socket "$SOCKET" -X POST -H "Host;" -H "Accept: application/vnd.docker.plugins.v1.2+json" \
    -w '%{stderr}%{http_code} %{content_type}\n' ${2+-d "$2"} "http://localhost/$1" 2>"$BATS_TEST_TMPDIR/status"
  equal "200 application/vnd.docker.plugins.v1.1+json" "$(<"$BATS_TEST_TMPDIR/status")"
}

# what dockerd does of an endpoint: it moves the link, names it and gives it its address
move_in() {
  in_host ip link set dev "$1" netns box
  in_box sh -c "ip link set dev $1 name eth0 && ip address add 10.55.0.2/24 dev eth0 && ip link set dev eth0 up &&
    ip route add default via 10.55.0.1"
}

plugin_for_docker() {
  export OCINET_RUNTIME=$1
  local network endpoint name link
  network=$(printf 'ab%.0s' {1..32}) endpoint=$(printf 'cd%.0s' {1..32})
  name="\"NetworkID\":\"$network\",\"EndpointID\":\"$endpoint\""
  start_plugin
  equal '{"Implements":["NetworkDriver","IpamDriver"]}' "$(docker Plugin.Activate)"
  equal ocinetLocal/10.55.0.0/24 "$(docker IpamDriver.RequestPool '{"Pool":"10.55.0.0/24"}' | jq -r .PoolID)"
  equal 10.55.0.1/24 "$(docker IpamDriver.RequestAddress '{"PoolID":"ocinetLocal/10.55.0.0/24"}' | jq -r .Address)"
  equal '{}' "$(docker NetworkDriver.CreateNetwork \
    "{\"NetworkID\":\"$network\",\"IPv4Data\":[{\"Pool\":\"10.55.0.0/24\",\"Gateway\":\"10.55.0.1/24\"}]}")"
  docker NetworkDriver.CreateEndpoint "{$name,\"Interface\":{\"Address\":\"10.55.0.2/24\"}}" | jq -e .Interface.MacAddress
  link=$(docker NetworkDriver.Join "{$name,\"SandboxKey\":\"/run/netns/box\"}" | jq -r .InterfaceName.SrcName)
  move_in "$link"
  reaches 10.55.0.1 in_box
  background server in_box socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:"echo served"
  equal '{}' "$(docker NetworkDriver.ProgramExternalConnectivity \
    "{$name,\"Options\":{\"com.docker.network.portmap\":[{\"Proto\":6,\"Port\":80,\"HostPort\":8080}]}}")"
  wait_for asks_port
  # Its end changes nothing for the container, and its next start knows all.
  stop plugin
  asks_port
  rm "$BATS_TEST_TMPDIR/plugin.log"
  start_plugin
  asks_port
  equal '{}' "$(docker NetworkDriver.Leave "{$name}")"
  stop server
  in_box ip link del dev eth0
  equal '{}' "$(docker NetworkDriver.DeleteEndpoint "{$name}")"
  equal '{}' "$(docker NetworkDriver.DeleteNetwork "{\"NetworkID\":\"$network\"}")"
  equal '{}' "$(docker IpamDriver.ReleasePool '{"PoolID":"ocinetLocal/10.55.0.0/24"}')"
  equal "" "$(find "$DATA" "$STATE_DIR/docker" -type f 2>/dev/null)"
  equal 404 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -X POST http://localhost/NetworkDriver.No)"
  equal 405 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" http://localhost/Plugin.Activate)"
  equal 413 "$(head -c 2000000 /dev/zero |
    curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" --data-binary @- http://localhost/NetworkDriver.Join)"
  stop plugin
  [ ! -e "$SOCKET" ]
}

asks_port() { [ "$(in_peer socat -u TCP:192.0.2.1:8080 -)" = served ]; }

bats_test_function --description "dockerd's endpoints work, and outlive the plugin (deno)" -- plugin_for_docker deno
bats_test_function --description "dockerd's endpoints work, and outlive the plugin (node)" -- plugin_for_docker node

@test "a container of podman's is on a network of netavark's plugin" {
  local request
  mkdir "$BATS_TEST_TMPDIR/plugins"
  ocinet install-plugins --netavark "$BATS_TEST_TMPDIR/plugins"
  netavark() { in_host "$BATS_TEST_TMPDIR/plugins/ocinet" "$@"; }
  equal 1.0.0 "$(netavark info | jq -r .api_version)"
  request=$(jq -n '{ name: "shop", id: ("ab" * 32), driver: "ocinet", subnets: [{ subnet: "10.56.0.0/24" }] }')
  equal br-abababababab "$(netavark create <<<"$request" | jq -r .network_interface)"
  request=$(jq '{ container_id: "box", port_mappings: [{ container_port: 80, host_port: 8080, protocol: "tcp" }],
    network: (. + { subnets: [{ subnet: "10.56.0.0/24", gateway: "10.56.0.1" }] }),
    network_options: { interface_name: "eth0", static_ips: ["10.56.0.2"] } }' <<<"$request")
  equal 10.56.0.2/24 "$(netavark setup /run/netns/box <<<"$request" | jq -r '.interfaces.eth0.subnets[0].ipnet')"
  reaches 10.56.0.1 in_box
  background server in_box socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:"echo served"
  wait_for asks_port
  stop server
  netavark teardown /run/netns/box <<<"$request"
  run -1 netavark setup /run/netns/none <<<"$request"
  [[ $(jq -r .error <<<"$output") == *'failed to open netns "/run/netns/none"'* ]]
  equal "" "$(find "$STATE_DIR"/{containers,results} -type f 2>/dev/null)"
}

# podman 5, which scripts/setup unpacks beside the system's
podman() {
  local at=$BATS_TEST_TMPDIR/podman
  in_host env PODMAN_IGNORE_CGROUPSV1_WARNING=yes CONTAINERS_CONF="$at.conf" podman --root "$at/root" --runroot "$at/run" \
    --tmpdir "$at/tmp" --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime crun "$@"
}

in_web() { in_host nsenter --net="/proc/$(podman inspect --format '{{.State.Pid}}' web)/ns/net" -- "$@"; }

@test "podman 5 has networks of netavark's plugin: ports, two networks, and both made again" {
  in_host mount -t overlay -o "lowerdir=/var/tmp/ocinet-podman-$UID/usr:/usr" overlay /usr
  ocinet install-plugins --netavark "$BATS_TEST_TMPDIR/plugins"
  cat >"$BATS_TEST_TMPDIR/podman.conf" <<CONF
[network]
network_backend = "netavark"
network_config_dir = "$BATS_TEST_TMPDIR/networks"
netavark_plugin_dirs = ["$BATS_TEST_TMPDIR/plugins"]
CONF
  equal shop "$(podman network create -d ocinet --subnet 10.56.0.0/24 --subnet fd00:56::/64 --ipv6 shop)"
  equal db "$(podman network create -d ocinet -o type=ptp --subnet 10.57.0.0/24 db)"
  run -125 podman network create -d ocinet -o nosuch=1 bad
  [[ $output == *'netavark: Cannot use option "nosuch" of the network: there are type, '* ]] || fail "$output"
  podman run --detach --name web --network shop --publish 8080:80 --cgroups disabled --security-opt seccomp=unconfined \
    --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --rootfs "$(busybox_rootfs):O" sleep 1000 3>&-
  serve tcp 80 in_web
  as_published() {
    equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
    equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8080 in_peer)"
    equal "10.56.0.2/24 10.57.0.2/24" "$(in_web ip -j -4 address show scope global | jq -r '.[].addr_info[] | "\(.local)/\(.prefixlen)"' | sort | xargs)"
  }
  podman network connect db web
  as_published
  # podman asks for the MAC addresses that the links had, in whatever order.
  podman network reload web
  as_published
  podman network disconnect shop web
  reaches 10.57.0.1 in_web
  podman network disconnect db web
  equal lo "$(in_web ip -j link | jq -r '.[].ifname')"
  podman rm --force --time 0 web
  podman network rm shop db
  own_elements && fail "elements are left"
  equal "" "$(find "$STATE_DIR"/{containers,results} -type f 2>/dev/null)"
}
