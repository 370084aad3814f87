#!/usr/bin/env bats
# Networks of --net with plugins that are not ours: programs beside the network's file, called as CNI has it.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

theirs=/usr/lib/cni

# plugin_file NAME: a plugin that writes down how it is called, passes on what it was given, and fails at what $FAILS says
plugin_file() {
  cat >"$NET_DIR/$1" <<SCRIPT
#!/bin/sh
log=$BATS_TEST_TMPDIR/calls
fails=$BATS_TEST_TMPDIR/fails
SCRIPT
  cat >>"$NET_DIR/$1" <<'SCRIPT'
request=$(cat)
printf '%s %s %s %s [%s] %s\n' "$CNI_COMMAND" "${0##*/}" "$CNI_CONTAINERID" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_NETNS" >>"$log"
printf '%s\n' "$request" >"$log.$CNI_COMMAND.${0##*/}"
if [ "$CNI_COMMAND" = "$(cat "$fails" 2>/dev/null)" ]; then
  echo '{"cniVersion": "1.0.0", "code": 117, "msg": "the weather is bad", "details": "rain"}'
  exit 1
fi
[ "$CNI_COMMAND" != ADD ] || printf '%s' "$request" | jq -c '.prevResult // { cniVersion, ips: [] }'
SCRIPT
  chmod 755 "$NET_DIR/$1"
}

calls() { cut -d' ' -f1,2 "$BATS_TEST_TMPDIR/calls" | xargs; }

# chain NAME SUBNET PLUGIN...: a network of bridge NAME0 with these after it, and routes to the world
chain() {
  local plugins
  plugins=$(printf '%s\n' "${@:3}" | jq -s .)
  network "$1.conflist" "$1" bridge "$2"
  plugins=$(jq --argjson more "$plugins" '.plugins += $more' "$NET_DIR/$1.conflist")
  echo "$plugins" >"$NET_DIR/$1.conflist"
}

with_each_runtime "a plugin of somebody else's runs after ours, and is told what CNI says" after_ours
after_ours() {
  plugin_file warp
  chain blue 10.1.1.0/24 '{ "type": "warp", "speed": 9 }'
  launch a "$1" --net "blue:IP=10.1.1.77;IgnoreUnknown=1;K=V" -p 8080:80
  serve tcp 80 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal "eth0 10.1.1.77/24" "$(addresses a)"
  jq -e '.name == "blue" and .speed == 9 and .type == "warp" and .cniVersion == "1.0.0" and
    .prevResult.ips[0].address == "10.1.1.77/24"' "$BATS_TEST_TMPDIR/calls.ADD.warp"
  [[ $(<"$BATS_TEST_TMPDIR/calls") =~ ^ADD\ warp\ a\ eth0\ \[IP=10.1.1.77\;IgnoreUnknown=1\;K=V\]\ /proc/[0-9]+/ns/net$ ]]
  ocinet inspect a | jq -e '.[0] | .state == "up" and .networks[0].ips == ["10.1.1.77/24"] and .ports[0].driver == "nftables"'
  delete_container a
  equal "ADD warp DEL warp" "$(calls)"
  jq -e '.prevResult.ips[0].address == "10.1.1.77/24"' "$BATS_TEST_TMPDIR/calls.DEL.warp"
  # A network that has nothing to do with it never asks.
  launch b "$1"
  equal "ADD warp DEL warp" "$(calls)"
}

@test "networks of ours and of others side by side: eth0, eth1, eth2, and the first default route" {
  local type
  for type in bridge host-local tuning; do cp "$theirs/$type" "$NET_DIR/$type"; done
  network 10-ptp.conf one ptp 10.1.1.0/24
  chain 20-theirs 10.1.2.0/24 '{ "type": "tuning", "mtu": 1400 }'
  network 30-ptp.conf three ptp 10.1.3.0/24
  launch a runc --net 20-theirs,one,three -p 8080:80
  equal "eth0 10.1.1.2/24 eth1 10.1.2.2/24 eth2 10.1.3.2/24" "$(addresses a | xargs)"
  equal "10.1.1.1 eth0" "$(default_routes a)"
  equal 1400 "$(in_container a ip -j link show eth1 | jq '.[0].mtu')"
  serve tcp 80 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  # The reference plugin keeps its leases where it always does.
  [ -e "$HOST_DIR/cni/networks/20-theirs/10.1.2.2" ]
  ocinet inspect a | jq -e '[.[0].networks[].name] == ["one", "20-theirs", "three"]'
  delete_container a
  [ ! -e "$HOST_DIR/cni/networks/20-theirs/10.1.2.2" ]
}

@test "addresses from somebody else under a bridge of ours" {
  cp "$theirs/host-local" "$NET_DIR/host-local"
  network blue.conf blue bridge 10.1.1.0/24
  launch a crun --net blue
  launch b runc --net blue
  equal "eth0 10.1.1.2/24 eth0 10.1.1.3/24" "$(addresses a | xargs) $(addresses b | xargs)"
  reaches 10.1.1.3 in_container a
  delete_container a
  delete_container b
  equal "" "$(find "$HOST_DIR/cni/networks/blue" -name '10.*')"
}

@test "ports go to a network's own plugin that publishes them" {
  cp "$theirs/portmap" "$NET_DIR/portmap"
  chain blue 10.1.1.0/24 '{ "type": "portmap", "capabilities": { "portMappings": true } }'
  launch a runc --net blue -p 127.0.0.1:8081:81/udp -p 8080:80
  serve tcp 80 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  in_host iptables-save | grep -q 'dports 8080 -j CNI-DN-'
  ocinet inspect a | jq -e '[.[0].ports[].driver] == ["plugins", "plugins"]'
  delete_container a
  in_host iptables-save | grep -c 'CNI-DN-' && fail "rules are left"
  true
}

@test "when one fails nothing of the container stays, and its own words are told" {
  plugin_file warp
  network 10-ptp.conf one ptp 10.1.1.0/24
  chain 20-blue 10.1.2.0/24 '{ "type": "warp" }'
  echo ADD >"$BATS_TEST_TMPDIR/fails"
  in_host ip netns add box
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  run -0 ocinet gc
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -1 --separate-stderr ocinet up --net one,20-blue -p 8080:80 /run/netns/box
  equal 'ocinet: plugin type="warp" failed (add): the weather is bad: rain' "$stderr"
  [[ $(calls) == "ADD warp DEL warp"* ]]
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  rm "$BATS_TEST_TMPDIR/fails"

  # What cannot be taken down now is written down until it can.
  ocinet up --net one,20-blue /run/netns/box
  echo DEL >"$BATS_TEST_TMPDIR/fails"
  run -1 --separate-stderr ocinet down box
  [[ $stderr == *'plugin type="warp" failed (delete): the weather is bad: rain'* ]] || fail "$stderr"
  rm "$BATS_TEST_TMPDIR/fails"
  run -0 ocinet down box
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip netns delete box
}

@test "killed while a plugin works, and the container gone: gc calls it again, without a namespace" {
  plugin_file warp
  chain blue 10.1.1.0/24 '{ "type": "warp" }'
  in_host ip netns add box
  # shellcheck disable=SC2016 # the plugin's
  sed -i '2i [ "$CNI_COMMAND" != ADD ] || { kill -KILL $PPID; exit 1; }' "$NET_DIR/warp"
  run ocinet up --net blue /run/netns/box
  equal 137 "$status"
  ocinet ls | grep -q box
  in_host ip netns delete box
  run -0 ocinet gc
  [[ $(tail -n 1 "$BATS_TEST_TMPDIR/calls") == "DEL warp box eth0 [] " ]]
  [ ! -e "$STATE_DIR/containers/box" ]
  equal "" "$(find "$STATE_DIR/networks" "$STATE_DIR/cni" -type f 2>/dev/null)"
}

@test "a dry run says which program would be called, and with what" {
  plugin_file warp
  chain blue 10.1.1.0/24 '{ "type": "warp", "speed": 9 }'
  in_host ip netns add box
  run -0 ocinet up --dry-run --net blue /run/netns/box
  [[ $output == *"net.d/warp {"*'"speed":9'* ]] || fail "$output"
  [ ! -e "$BATS_TEST_TMPDIR/calls" ]
  run -0 ocinet ls
  equal "" "$(grep box <<<"$output")"
  in_host ip netns delete box
}
