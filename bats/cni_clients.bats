#!/usr/bin/env bats
# Real clients call our plugins: podman with its CNI backend, containerd by `ctr run --cni`, and nerdctl's question.
# shellcheck disable=SC2154 # of bats
load lib
load cni
load docker

setup() {
  set_up_hosts
  BIN=$BATS_TEST_TMPDIR/opt/cni/bin NETWORKS=$BATS_TEST_TMPDIR/networks
  mkdir "$NETWORKS"
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
  ocinet install-plugins "$BIN" >/dev/null
  # Seen by this test's host alone: where clients look, and where they write.
  in_host mount --bind "$BATS_TEST_TMPDIR/opt" /opt
  in_host mount --bind "$NETWORKS" /etc/cni
  in_host mount -t tmpfs tmpfs /dev/shm
}

teardown() {
  podman rm --force --all --time 0 >/dev/null 2>&1 || true
  tear_down_hosts
}

# in_process PID COMMAND...: in its network
in_process() { in_host nsenter --net="/proc/$1/ns/net" -- "${@:2}"; }

# --- podman

podman() {
  local at=$BATS_TEST_TMPDIR/podman
  [ -e "$BATS_TEST_TMPDIR/containers.conf" ] || cat >"$BATS_TEST_TMPDIR/containers.conf" <<CONF
[network]
network_backend = "cni"
cni_plugin_dirs = ["$BIN"]
network_config_dir = "$NETWORKS"
CONF
  in_host env CONTAINERS_CONF="$BATS_TEST_TMPDIR/containers.conf" podman --root "$at/root" --runroot "$at/run" \
    --tmpdir "$at/tmp" --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime crun "$@"
}

# podman_run OPTIONS... -- COMMAND...
podman_run() {
  local options=(--cgroups disabled --security-opt seccomp=unconfined --ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  podman run "${options[@]}" --rootfs "$(busybox_rootfs):O" "${@:2}"
}

in_web() { in_process "$(podman inspect --format '{{.State.Pid}}' web)" "$@"; }

# Nothing on stderr: podman leaves out a network whose plugin it does not like, and only warns.
@test "podman: its own network, and one of ours" {
  equal cni "$(podman info --format '{{.Host.NetworkBackend}}')"
  run -0 --separate-stderr podman_run --rm -- sh -c 'ip -o address show eth0; ip route'
  [[ $output == *"inet 10.88.0.2/16"*"default via 10.88.0.1 dev eth0"* ]]
  equal "" "$stderr"
  run -1 cni_traces
  equal lan "$(podman network create --driver macvlan --opt parent=eth0 --subnet 192.0.2.0/24 --gateway 192.0.2.2 lan)"
  run -0 --separate-stderr podman_run --rm --network lan --ip 192.0.2.77 -- ping -q -c 1 -W 20 192.0.2.2
  equal "" "$stderr"
  equal lan "$(podman network rm lan)"
  run -1 cni_traces
}

@test "podman: containers talk, a port is published, through stop, start and rm" {
  run -0 podman network create --ipv6 --subnet 10.9.0.0/24 --subnet fd00:9::/64 blue
  run -0 podman_run --detach --name web --network blue --publish 8080:80 --mac-address 02:00:5e:00:00:07 -- sleep 1000 3>&-
  podman inspect web | jq -e '.[0].NetworkSettings.Networks.blue |
    .IPAddress == "10.9.0.2" and .GlobalIPv6Address == "fd00:9::2" and .MacAddress == "02:00:5e:00:00:07"'
  in_web ip -j link show eth0 | jq -e '.[0].address == "02:00:5e:00:00:07"'
  serve tcp 80 in_web
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  run -0 podman_run --rm --network blue -- sh -c 'echo hello | nc 10.9.0.2 80; echo hello | nc fd00:9::2 80'
  equal "10.9.0.3 fd00:9::3" "${lines[0]} $(plain_address <<<"${lines[1]}")"
  stop tcp4-80
  stop tcp6-80
  equal web "$(podman stop --time 0 web)"
  run -1 cni_traces
  equal web "$(podman start web 3>&-)"
  serve tcp 80 in_web
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  run -0 podman rm --force --time 0 web
  run -1 cni_traces
  equal blue "$(podman network rm blue)"
  in_host ip -o link | awk -F': ' '{ print $2 }' | sort | xargs | grep -xE "eth0@if[0-9]+ lo"
}

@test "podman: a port of a container on two networks leads to the first, and to the other when that is gone" {
  run -0 podman network create --subnet 10.9.0.0/24 blue
  run -0 podman network create --subnet 10.10.0.0/24 green
  run -0 podman_run --detach --name web --network blue --publish 8080:80 -- sleep 1000 3>&-
  podman network connect green web
  serve tcp 80 in_web
  leads_to() { in_host nft get element inet ocinet ports4 '{ tcp . 8080 }' | grep -F " : $1 . 80 "; }
  leads_to 10.9.0.2
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  podman network disconnect blue web
  leads_to 10.10.0.2
  in_web ip route replace default via 10.10.0.1
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  podman network connect blue web
  leads_to 10.10.0.2
  run -0 podman rm --force --time 0 web
  run -1 cni_traces
  run -0 podman_run --rm --network blue,green --publish 8080:80 -- ip -o address
  # In the order that podman happens to take.
  [[ $output == *"inet 10.9.0."* && $output == *"inet 10.10.0."* ]]
  run -1 cni_traces
}

# --- containerd

# start_containerd [CONFIGURATION]: with an image "example.org/busybox:test", which ends when it is told to
start_containerd() {
  local at=$BATS_TEST_TMPDIR/containerd
  make_image "$at" example.org/busybox:test 'trap exit TERM; while :; do sleep 1000 & wait; done'
  printf 'version = 2\nroot = "%s"\nstate = "/run/containerd"\n%s\n' \
    "$at/root" "${1-disabled_plugins = [\"io.containerd.grpc.v1.cri\"]}" >"$at/config.toml"
  background containerd in_host containerd --config "$at/config.toml"
  wait_for ctr version >/dev/null 2>&1 || fail "containerd did not start:" "$(<"$BATS_TEST_TMPDIR/containerd.log")"
  ctr --namespace "${NAMESPACE-default}" image import --no-unpack "$at/image.tar" >/dev/null
}

ctr() { in_host ctr "$@"; }

# ctr_run ID OPTIONS... -- COMMAND...
ctr_run() {
  local id=$1 options=(--cni --snapshotter native)
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  ctr run "${options[@]}" example.org/busybox:test "$id" "${@:2}"
}

end_task() {
  ctr task kill --signal KILL "$1"
  wait_for is_stopped_task "$1"
  ctr task delete "$1" || true
  ctr container delete "$1"
}

is_stopped_task() { ctr task ls | grep -E "^$1 .*STOPPED"; }

@test "containerd: containers of ctr have a network, and its gc is ours as well" {
  mkdir "$NETWORKS/net.d"
  jq -n '{ cniVersion: "1.0.0", name: "ctr", plugins: [{ type: "bridge", bridge: "ctr0", isGateway: true, ipMasq: true,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] } },
    { type: "firewall" }, { type: "tuning" }] }' >"$NETWORKS/net.d/10-ctr.conflist"
  start_containerd
  ctr_run web --detach -- httpd -f -p 80 -h /etc
  run -0 ctr_run client --rm -- sh -c 'ip -o address show eth0; ip route; wget -q -O - http://10.22.0.2/hosts && echo got it'
  [[ $output == *"inet 10.22.0.3/16"*"default via 10.22.0.1 dev eth0"*"got it"* ]]
  in_host test ! -e /var/lib/cni/networks/ctr/10.22.0.3
  # ctr does not take down what it has detached; a program that reads libcni's cache can.
  end_task web
  in_host test -e /var/lib/cni/networks/ctr/10.22.0.2
  in_host env CNI_PATH="$BIN" "$OCINET" cni gc ctr
  run -1 cni_traces
}

# --- containerd's CRI

# cri METHOD [JSON]: as Kubernetes' kubelet asks containerd
cri() { in_host deno run -A --no-check "$PROJECT/scripts/cri.ts" /run/containerd/containerd.sock "$1" "${2-{\}}"; }

network_is() { [ "$(cri Status | jq -r '.status.conditions[] | select(.type == "NetworkReady") | .status // false')" = "$1" ]; }

# in_pod ID COMMAND...: what it prints
in_pod() {
  local output
  output=$(cri ExecSync "$(printf '%s\n' "$@" | jq -Rnc '{ container_id: input, cmd: [inputs], timeout: 60 }')")
  jq -r '.stdout // "" | @base64d' <<<"$output"
  jq -e '(.exit_code // 0) == 0' <<<"$output" >/dev/null
}

@test "containerd's CRI: pods have a network, ports, limits, name servers and neighbours, and leave nothing" {
  local NAMESPACE=k8s.io pod other config container at=$BATS_TEST_TMPDIR/containerd
  start_containerd '[plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "example.org/busybox:test"
    restrict_oom_score_adj = true
    disable_apparmor = true
    containerd.snapshotter = "native"'
  wait_for network_is false
  mkdir -p "$NETWORKS/net.d"
  jq -n '{ cniVersion: "1.0.0", name: "pods", plugins: [{ type: "bridge", bridge: "pods0", isGateway: true, ipMasq: true,
    hairpinMode: true, ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd22::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] } },
    { type: "portmap", capabilities: { portMappings: true } }, { type: "bandwidth", capabilities: { bandwidth: true } }] }' \
    >"$NETWORKS/net.d/10-pods.conflist"
  wait_for network_is true
  pod_config() {
    jq -nc --arg name "$1" --arg logs "$at/logs" '{ metadata: { name: $name, uid: $name, namespace: "default" }, hostname: $name,
      log_directory: $logs, linux: {}, dns_config: { servers: ["192.0.2.53"], searches: ["example.org"] },
      port_mappings: [{ protocol: "TCP", container_port: 80, host_port: $ARGS.named.port | tonumber }],
      annotations: { "kubernetes.io/ingress-bandwidth": "8M", "kubernetes.io/egress-bandwidth": "4M" } }' --arg port "$2"
  }
  config=$(pod_config web 8080)
  pod=$(cri RunPodSandbox "{\"config\":$config}" | jq -r .pod_sandbox_id)
  other=$(cri RunPodSandbox "{\"config\":$(pod_config other 8081)}" | jq -r .pod_sandbox_id)
  cri PodSandboxStatus "{\"pod_sandbox_id\":\"$pod\"}" |
    jq -e '.status.network == { ip: "10.22.0.2", additional_ips: [{ ip: "fd22::2" }] }'
  container=$(cri CreateContainer "$(jq -nc --arg pod "$pod" --argjson config "$config" '{ pod_sandbox_id: $pod,
    sandbox_config: $config, config: { metadata: { name: "server" }, image: { image: "example.org/busybox:test" },
      command: ["httpd", "-f", "-p", "80", "-h", "/etc"], log_path: "server", linux: {} } }')" | jq -r .container_id)
  cri StartContainer "{\"container_id\":\"$container\"}"
  run -0 in_pod "$container" sh -c 'ip -o address show eth0; ip route; cat /etc/resolv.conf; ping -q -c 1 -W 60 10.22.0.3'
  [[ $output == *"inet 10.22.0.2/16"*"default via 10.22.0.1 dev eth0"*"nameserver 192.0.2.53"*"1 packets received"* ]]
  wait_for in_peer curl --silent --fail --max-time 60 http://192.0.2.1:8080/hosts
  in_host tc qdisc show | grep -F 'rate 8Mbit'
  in_host tc qdisc show | grep -F 'rate 4Mbit'
  # The pod of a node that lost its namespace goes as well.
  in_host umount "$(cri PodSandboxStatus "{\"pod_sandbox_id\":\"$other\",\"verbose\":true}" |
    jq -r '.info.info | fromjson.runtimeSpec.linux.namespaces[] | select(.type == "network").path')"
  for pod in "$pod" "$other"; do
    cri StopPodSandbox "{\"pod_sandbox_id\":\"$pod\"}"
    cri RemovePodSandbox "{\"pod_sandbox_id\":\"$pod\"}"
  done
  run -1 cni_traces
}

# --- containerd's CRI, and nerdctl, as they call plugins

# A pod's loopback and its network are attached at once, in one namespace; what CRI asks for has Go's own names.
@test "CRI: loopback beside a bridge, and no limit on a burst" {
  local list lo limits pids=() pid
  in_host ip netns add box
  list=$(jq -nc '{ cniVersion: "1.0.0", name: "pods", plugins: [{ type: "bridge", isGateway: true, ipMasq: true,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] } },
    { type: "portmap", capabilities: { portMappings: true } }, { type: "bandwidth", capabilities: { bandwidth: true } }] }')
  lo='{ "cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback" }'
  limits='{ "portMappings": [{ "HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "" }],
    "bandwidth": { "IngressRate": 8000000, "IngressBurst": 4294967295, "EgressRate": 4000000, "EgressBurst": 4294967295 } }'
  plugin loopback ADD "$lo" CNI_IFNAME=lo >"$BATS_TEST_TMPDIR/lo" 3>&- &
  pids+=($!)
  CAP_ARGS=$limits libcni ADD "$list" "CNI_ARGS=K8S_POD_NAME=a;IgnoreUnknown=1;K8S_POD_UID=b" 3>&- &
  pids+=($!)
  for pid in "${pids[@]}"; do wait "$pid"; done
  jq -e '.ips[0].address == "127.0.0.1/8"' "$BATS_TEST_TMPDIR/lo"
  jq -e '.result | (.interfaces[.ips[0].interface].name == "eth0") and .ips[0].address == "10.22.0.2/16"' "$HOST_DIR/cni/results/pods-c1-eth0"
  in_box busybox ping -q -c 1 -W 20 10.22.0.1
  serve tcp 80 in_box
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  stop tcp4-80
  stop tcp6-80
  in_host ip netns delete box
  CAP_ARGS=$limits libcni DEL "$list" CNI_NETNS=
  run -0 plugin loopback DEL "$lo" CNI_IFNAME=lo CNI_NETNS=
  run -1 cni_traces
}

@test "nerdctl: DEL before ADD and after, both without a namespace" {
  local list
  list=$(jq -nc '{ cniVersion: "1.0.0", name: "bridge", nerdctlID: "x", nerdctlLabels: {}, plugins: [
    { type: "bridge", bridge: "nerdctl0", isGateway: true, ipMasq: true, hairpinMode: true,
      ipam: { type: "host-local", ranges: [[{ gateway: "10.4.0.1", subnet: "10.4.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] } },
    { type: "portmap", capabilities: { portMappings: true } }, { type: "firewall", ingressPolicy: "same-bridge" }, { type: "tuning" }] }')
  export CAP_ARGS='{ "portMappings": [{ "HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "" }] }'
  in_host ip netns add box
  libcni DEL "$list" CNI_NETNS=
  libcni ADD "$list" "CNI_ARGS=IgnoreUnknown=1"
  in_box busybox ping -q -c 1 -W 20 192.0.2.2
  # The process has ended, and the namespace with it.
  in_host ip netns delete box
  libcni DEL "$list" CNI_NETNS=
  run -1 cni_traces
}

@test "nerdctl: the firewall plugin tells a version of at least 1.7.1" {
  run -0 --separate-stderr in_host env -i PATH="$PATH" "$BIN/firewall"
  [[ $stderr =~ ^"CNI firewall plugin v"([0-9]+\.[0-9]+\.[0-9]+)$'\n' ]]
  printf '1.7.1\n%s\n' "${BASH_REMATCH[1]}" | sort --version-sort --check
}
