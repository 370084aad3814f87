#!/usr/bin/env bats
# flannel: called by name, in a chain, and in a network of --net; with a subnet.env as flanneld writes it.
# shellcheck disable=SC2016 # scripts of plugins
load lib
load cni

setup() {
  set_up_hosts
  set_up_plugins
  SAVED=/var/lib/cni/flannel/c1
  in_host mkdir /run/flannel
  subnet_env
}

teardown() {
  in_host bash -c 'for name in box other; do ip netns delete $name; done' 2>/dev/null || true
  tear_down_hosts
}

# subnet_env [EXPRESSION]: what flanneld says, as sed changes it
subnet_env() {
  sed "${1-}" <<'ENV' | in_host tee /run/flannel/subnet.env >/dev/null
FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.7.1/24
FLANNEL_IPV6_NETWORK=fd00:244::/48
FLANNEL_IPV6_SUBNET=fd00:244:0:7::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
ENV
}

no_subnet_env() { in_host rm /run/flannel/subnet.env; }

# leaves_nothing: once gc has taken what containers share
leaves_nothing() {
  run -1 cni_traces
  ocinet gc >/dev/null
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# foreign_delegate: in $BIN, one that writes down what it is told, and whose DEL fails as long as there is a file "fail"
foreign_delegate() {
  cat >"$BIN/theirs" <<PLUGIN
#!/bin/bash
cat >"$BATS_TEST_TMPDIR/\$CNI_COMMAND"
[ \$CNI_COMMAND != DEL ] || [ ! -e "$BATS_TEST_TMPDIR/fail" ] || { echo '{ "code": 100, "msg": "not now" }'; exit 1; }
[ \$CNI_COMMAND != ADD ] || echo '{ "cniVersion": "1.1.0", "ips": [{ "address": "10.244.7.9/24" }] }'
PLUGIN
  chmod +x "$BIN/theirs"
}

told() { jq -S -c . "$BATS_TEST_TMPDIR/$1"; }

@test "flannel: a bridge with addresses of both of the host's subnets, until DEL, whatever has become of flanneld" {
  local conf
  conf=$(conf flannel)
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds flannel "$conf"
  jq -e '[.ips[].address] == ["10.244.7.2/24", "fd00:244:0:7::2/64"] and .interfaces[0].name == "cni0"' <<<"$RESULT"
  in_box ip -j link show eth0 | jq -e '.[0].mtu == 1450'
  in_box ip route | grep '^10.244.0.0/16 via 10.244.7.1'
  equal "600" "$(in_host stat -c %a "$SAVED")"
  in_host jq -e '. == { cniVersion: "1.1.0", name: "net", type: "bridge", mtu: 1450, ipMasq: false, isGateway: true, ipam: {
    type: "host-local", ranges: [[{ subnet: "10.244.7.0/24" }], [{ subnet: "fd00:244:0:7::/64" }]],
    routes: [{ dst: "10.244.0.0/16" }, { dst: "fd00:244::/48" }] } }' "$SAVED"
  no_subnet_env
  run -0 plugin flannel CHECK "$(with_result "$conf" "$RESULT")"
  in_box ip link set dev eth0 down
  refused 999 'container interface "eth0" is down' flannel CHECK "$(with_result "$conf" "$RESULT")"
  run -0 plugin flannel DEL "$(with_result "$conf" "$RESULT")"
  run -0 plugin flannel DEL "$(with_result "$conf" "$RESULT")"
  refused 999 'Cannot check: nothing is recorded of an ADD of container "c1" to network "net"' \
    flannel CHECK "$(with_result "$conf" "$RESULT")"
  leaves_nothing
}

@test "flannel: two containers talk, and masquerade where flanneld does not" {
  in_host ip netns add other
  subnet_env s/IPMASQ=true/IPMASQ=false/
  adds flannel "$(conf flannel '{ "delegate": { "isDefaultGateway": true } }')"
  adds flannel "$(conf flannel '{ "delegate": { "isDefaultGateway": true } }')" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/other
  in_other() { in_host ip netns exec other "$@"; }
  serve tcp 8000 in_other
  equal 10.244.7.2 "$(ask tcp 10.244.7.3 8000 in_box)"
  equal fd00:244:0:7::2 "$(ask tcp fd00:244:0:7::3 8000 in_box)"
  serve tcp 8001 in_peer
  equal 192.0.2.1 "$(ask tcp 192.0.2.2 8001 in_box)"
  run -0 plugin flannel DEL "$(conf flannel)"
  run -0 plugin flannel DEL "$(conf flannel)" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/other
  run -1 cni_traces
}

@test "flannel: without subnet.env there is no ADD, STATUS says so, and GC takes what there was" {
  local conf="failed to load flannel 'subnet.env' file"
  local missing="$conf: open /run/flannel/subnet.env: no such file or directory. Check the flannel pod log for this node."
  conf=$(conf flannel)
  run -0 plugin flannel STATUS "$conf"
  adds flannel "$conf"
  no_subnet_env
  refused 50 "$missing" flannel STATUS "$conf"
  refused 11 "$missing" flannel ADD "$conf" CNI_CONTAINERID=c2
  run -0 plugin flannel GC "$(jq -c '. + { "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }] }' <<<"$conf")"
  in_host test -e "$SAVED"
  run -0 plugin flannel GC "$(jq -c '. + { "cni.dev/valid-attachments": [] }' <<<"$conf")"
  run -1 cni_traces
}

@test "flannel: what is said of the delegate and of addresses counts" {
  local conf
  conf=$(conf flannel '{ "dataDir": "/var/lib/cni/elsewhere", "subnetFile": "/run/env", "delegate": { "type": "ptp", "mtu": 1400 },
    "ipam": { "routes": [{ "dst": "0.0.0.0/0" }] }, "runtimeConfig": { "ips": ["10.244.7.77"] } }')
  in_host mv /run/flannel/subnet.env /run/env
  adds flannel "$conf"
  jq -e '.ips[0].address == "10.244.7.77/24"' <<<"$RESULT"
  in_box ip -j link show eth0 | jq -e '.[0].mtu == 1400'
  in_box ip route | grep '^default via 10.244.7.1'
  in_host jq -e '.type == "ptp" and .runtimeConfig.ips == ["10.244.7.77"] and has("isGateway") == false' /var/lib/cni/elsewhere/c1
  run -0 plugin flannel DEL "$conf"
  run -1 cni_traces
  refused 7 "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel" \
    flannel ADD "$(conf flannel '{ "delegate": { "ipam": {} } }')"
  run -1 plugin flannel ADD "$(conf flannel '{ "subnetFile": "/run/env", "delegate": { "type": "flannel" } }')"
  jq -e '.code == 7 and (.msg | startswith("Cannot use plugin type \"flannel\""))' <<<"$output"
  run -1 cni_traces
}

@test "flannel: a delegate that is not ours is executed, and keeps what it needs until its DEL succeeds" {
  local conf
  foreign_delegate
  conf=$(conf flannel '{ "delegate": { "type": "theirs", "mine": { "x": [1] } } }')
  adds flannel "$conf"
  equal "$(told ADD)" "$(in_host jq -S -c . "$SAVED")"
  jq -e '.type == "theirs" and .mine.x == [1] and .name == "net" and .mtu == 1450' "$BATS_TEST_TMPDIR/ADD"
  jq -e '.ips[0].address == "10.244.7.9/24"' <<<"$RESULT"
  run -0 plugin flannel CHECK "$(with_result "$conf" "$RESULT")"
  jq -e '.prevResult.ips | length == 1' "$BATS_TEST_TMPDIR/CHECK"
  run -0 plugin flannel STATUS "$conf"
  jq -e '.type == "theirs"' "$BATS_TEST_TMPDIR/STATUS"
  no_subnet_env
  touch "$BATS_TEST_TMPDIR/fail"
  refused 100 "not now" flannel DEL "$conf"
  in_host test -e "$SAVED"
  rm "$BATS_TEST_TMPDIR"/{fail,DEL}
  run -0 plugin flannel GC "$(jq -c '. + { "cni.dev/valid-attachments": [] }' <<<"$conf")"
  equal "$(told ADD)" "$(told DEL)"
  run -1 cni_traces
}

@test "flannel: what the reference has kept is enough for DEL, and of two networks each has its own" {
  adds flannel "$(conf flannel)"
  rm -r "$STATE_DIR/containers"
  run -0 plugin flannel DEL "$(conf flannel)"
  run -1 cni_traces
  # Both keep it under the container's id.
  local second
  second=$(conf flannel '{ "name": "second", "delegate": { "bridge": "cni1" } }')
  adds flannel "$(conf flannel)"
  subnet_env 's/10.244/10.245/; s/fd00:244/fd00:245/'
  adds flannel "$second" CNI_IFNAME=eth1
  no_subnet_env
  run -0 plugin flannel DEL "$(conf flannel)"
  in_box ip link show eth1
  run -0 plugin flannel DEL "$second" CNI_IFNAME=eth1
  run -1 cni_traces
}

@test "flannel: killed at any program that it runs, then DEL, or GC" {
  local program last conf wrappers=$BATS_TEST_TMPDIR/wrappers
  conf=$(conf flannel '{ "delegate": { "isDefaultGateway": true, "ipMasq": true } }')
  snapshot >"$BATS_TEST_TMPDIR/before"
  mkdir "$wrappers"
  for program in ip nft; do
    for last in DEL GC; do
      # What only looks comes before anything is saved.
      # shellcheck disable=SC2016 # the wrapper's
      printf '#!/bin/sh\ncase $* in *-json*) exec %s "$@" ;; esac\nkill -KILL $PPID\n' "$(command -v $program)" >"$wrappers/$program"
      chmod +x "$wrappers/$program"
      run plugin flannel ADD "$conf" PATH="$wrappers:$PATH"
      ((status == 137))
      rm "$wrappers/$program"
      wait_for empty_cgroup
      in_host test -s "$SAVED"
      run -0 plugin flannel $last "$conf"
      leaves_nothing
    done
  done
}

@test "flannel: in a chain, with ports published, in one process" {
  local file=$NET_DIR/10-flannel.conflist
  jq -n '{ cniVersion: "1.1.0", name: "cbr0", plugins: [{ type: "flannel", delegate: { hairpinMode: true, isDefaultGateway: true } },
    { type: "portmap", capabilities: { portMappings: true } }] }' >"$file"
  chain() {
    in_host env CNI_PATH="$BATS_TEST_TMPDIR" NETCONFPATH="$NET_DIR" CNI_CONTAINERID=c1 \
      CAP_ARGS='{ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] }' "$OCINET" cni "$1" cbr0 /run/netns/box
  }
  run -0 chain add
  jq -e '.ips[0].address == "10.244.7.2/24"' <<<"$output"
  in_host test -e "$SAVED"
  serve tcp 80 in_box
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  no_subnet_env
  run -0 chain check
  run -0 chain del
  run -1 cni_traces
}

@test "flannel: in a network of --net, and taken down without flanneld" {
  jq -n '{ cniVersion: "1.0.0", name: "pods", type: "flannel", delegate: { isDefaultGateway: true } }' >"$NET_DIR/pods.conf"
  ocinet up --net-dir "$NET_DIR" --net pods --publish 8080:80 --id c1 /run/netns/box
  in_box ip -o address show eth0 | grep -F 10.244.7.2/24
  serve tcp 80 in_box
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  no_subnet_env
  ocinet down c1
  run ocinet up --net-dir "$NET_DIR" --net pods --id c1 /run/netns/box
  ((status == 1))
  [[ $output == *"failed to load flannel 'subnet.env' file: open /run/flannel/subnet.env: no such file or directory"* ]]
  run -1 cni_traces
}
