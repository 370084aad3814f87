#!/usr/bin/env bats
# Networks of --net with plugins that are not ours: programs beside the network's file, called as CNI has it.
# shellcheck disable=SC2154 # what run sets
load lib
load contained
load recorder

theirs=/usr/lib/cni

# chain NAME SUBNET PLUGIN...: a network of bridge NAME0 with these after it, and routes to the world
chain() {
  local plugins
  plugins=$(printf '%s\n' "${@:3}" | jq -s .)
  network "$1.conflist" "$1" bridge "$2"
  plugins=$(jq --argjson more "$plugins" '.plugins += $more' "$NET_DIR/$1.conflist")
  echo "$plugins" >"$NET_DIR/$1.conflist"
}

with_each_runtime "a plugin that is not ours runs after ours, and is told what CNI says" after_ours
after_ours() {
  recorder "$NET_DIR/warp"
  chain blue 10.1.1.0/24
  # It stands in a file of its own.
  mkdir "$NET_DIR/blue"
  echo '{ "type": "warp", "speed": 9 }' >"$NET_DIR/blue/x.conf"
  launch a "$1" --net "blue:IP=10.1.1.77;IgnoreUnknown=1;K=V" -p 8080:80
  serve tcp 80 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal "eth0 10.1.1.77/24" "$(addresses a)"
  given ADD warp '.name == "blue" and .speed == 9 and .type == "warp" and .cniVersion == "1.0.0" and
    .prevResult.ips[0].address == "10.1.1.77/24"'
  [[ $(<"$CALLS") =~ ^ADD\ warp\ a\ eth0\ \[IP=10.1.1.77\;IgnoreUnknown=1\;K=V\]\ /proc/[0-9]+/ns/net$ ]]
  ocinet inspect a | jq -e '.[0] | .state == "up" and .networks[0].ips == ["10.1.1.77/24"] and .ports[0].driver == "nftables"'
  [ -e "$STATE_DIR/networks/blue/10.1.1.77" ]
  delete_container a
  [ ! -e "$STATE_DIR/networks/blue/10.1.1.77" ]
  equal "ADD warp DEL warp" "$(calls)"
  given DEL warp '.prevResult.ips[0].address == "10.1.1.77/24"'
  # A network that has nothing to do with it never asks, and does not reach what is ours to make.
  launch b "$1"
  reaches 192.0.2.2 in_container b
  cannot_reach 10.1.1.77 in_container b
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

@test "ours after theirs: an interface that is not ours is tuned, limited and published" {
  cp "$theirs/bridge" "$NET_DIR/bridge"
  chain blue 10.1.1.0/24 '{ "type": "tuning", "mtu": 1400 }' '{ "type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 8000000 }'
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  launch a crun --net blue -p 8080:80
  equal 1400 "$(in_container a ip -j link show eth0 | jq '.[0].mtu')"
  in_host tc qdisc show | grep -q "qdisc tbf .* dev $(in_host ip -j link show master blue0 | jq -r '.[0].ifname')"
  serve tcp 80 in_container a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  ocinet ls | grep -q 'blue:ip4=10.1.1.2 .*8080:80/tcp'
  stop tcp4-80
  stop tcp6-80
  delete_container a
  equal "" "$(in_host ip -j link show type veth | jq -r '.[] | select(.master) | .ifname')"
  equal "" "$(find "$HOST_DIR/cni/networks/blue" -name '10.*')"
}

@test "addresses from a plugin that is not ours under a bridge of ours" {
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
  recorder "$NET_DIR/warp"
  network 10-ptp.conf one ptp 10.1.1.0/24
  chain 20-blue 10.1.2.0/24 '{ "type": "warp" }'
  echo ADD >"$CALLS.fails"
  in_host ip netns add box
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  run -0 ocinet gc
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -1 --separate-stderr ocinet up --net one,20-blue -p 8080:80 /run/netns/box
  equal 'ocinet: Cannot attach container "box" to network "20-blue": plugin type="warp" failed (add): the weather is bad: rain' "$stderr"
  [[ $(calls) == "ADD warp DEL warp"* ]]
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  rm "$CALLS.fails"

  # What cannot be taken down now is written down until it can.
  ocinet up --net one,20-blue /run/netns/box
  echo DEL >"$CALLS.fails"
  run -1 --separate-stderr ocinet down box
  equal 'ocinet: Cannot take container "box" off network "20-blue": plugin type="warp" failed (delete): the weather is bad: rain' "$stderr"
  rm "$CALLS.fails"
  run -0 ocinet down box
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip netns delete box
}

@test "killed while a plugin works, and the container gone: gc calls it again, without a namespace" {
  recorder "$NET_DIR/warp"
  chain blue 10.1.1.0/24 '{ "type": "warp" }'
  in_host ip netns add box
  # shellcheck disable=SC2016 # the plugin's
  sed -i '2i [ "$CNI_COMMAND" != ADD ] || { kill -KILL $PPID; exit 1; }' "$NET_DIR/warp"
  run ocinet up --net blue /run/netns/box
  equal 137 "$status"
  ocinet ls | grep -q box
  in_host ip netns delete box
  run -0 ocinet gc
  [[ $(tail -n 1 "$CALLS") == "DEL warp box eth0 [] " ]]
  [ ! -e "$STATE_DIR/containers/box" ]
  equal "" "$(find "$STATE_DIR/networks" "$STATE_DIR/containers" -type f 2>/dev/null)"
}

# looks_alike WHEN: nothing is there but what was before, and what the reference keeps for all
looks_alike() {
  quick_look | diff -U0 "$BATS_TEST_TMPDIR/quick" - || fail "Killed $1, it leaves that."
}

quick_look() {
  # shellcheck disable=SC2016 # the inner shell's
  in_host bash -c 'ip -o link; nft list ruleset; find "$@" -mindepth 1 2>/dev/null' look "$STATE_DIR" /var/lib/cni |
    grep -v -e /cni/networks -e ': 10-blue0: ' |
    sed 's/ state [A-Z]*//; s/,LOWER_UP//; s/NO-CARRIER,//'
}

# killed_up WHEN COMMAND...: an up that is killed meanwhile; then gc, or the same again, leaves nothing
killed_up() {
  run "${@:2}" up --net 10-blue,20-ours,30-red -p 8080:80 /run/netns/box
  ((status == 0 || status == 124 || status == 137)) || fail "$1 it ended with $status:" "$output"
  local ended=$status
  wait_for empty_cgroup
  if ((COUNT++ % 3 == 1)); then
    ((ended == 137)) || run -0 ocinet down box
    run -0 ocinet up --net 10-blue,20-ours,30-red /run/netns/box
    run -0 ocinet down box
  elif ((ended != 137)); then
    run -0 ocinet down box
  fi
  run -0 ocinet gc
  looks_alike "$1"
  ((ended == 137))
}

@test "killed at any plugin, and at any moment: gc, or attaching anew, leaves nothing" {
  local type number begun step moment kills=0
  cp "$theirs/bridge" "$NET_DIR/bridge"
  for type in warp weft; do
    recorder "$NET_DIR/$type"
    # shellcheck disable=SC2016 # the plugin's
    sed -i '2i echo >>"$0.called"; [ "$(wc -l <"$0.called")" != "$(cat "$0.kill" 2>/dev/null)" ] || { kill -KILL $PPID; exit 1; }' \
      "$NET_DIR/$type"
  done
  chain 10-blue 10.1.1.0/24 '{ "type": "warp" }' '{ "type": "tuning", "mtu": 1400 }'
  network 20-ours.conf 20-ours ptp 10.1.2.0/24
  network 30-red.conflist 30-red ptp 10.1.3.0/24
  jq '.plugins += [{ type: "weft" }]' "$NET_DIR/30-red.conflist" >"$BATS_TEST_TMPDIR/red"
  cp "$BATS_TEST_TMPDIR/red" "$NET_DIR/30-red.conflist"
  in_host ip netns add box
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  # The reference leaves a chain that it masquerades by.
  begun=${EPOCHREALTIME/[.,]/}
  ocinet up --net 10-blue,20-ours,30-red /run/netns/box
  # A sixth of the time that it takes, in milliseconds.
  step=$(((${EPOCHREALTIME/[.,]/} - begun) / 6000))
  ocinet down box
  ocinet gc
  quick_look >"$BATS_TEST_TMPDIR/quick"
  COUNT=0
  for type in warp weft; do
    echo 1 >"$NET_DIR/$type.kill"
    rm -f "$NET_DIR"/*.called
    killed_up "by $type" ocinet
    rm "$NET_DIR/$type.kill"
  done
  # While it takes down: by the plugin that comes first, and by the one that comes last.
  for type in weft warp; do
    ocinet up --net 10-blue,20-ours,30-red -p 8080:80 /run/netns/box
    rm -f "$NET_DIR"/*.called
    echo 1 >"$NET_DIR/$type.kill"
    run ocinet down box
    equal 137 "$status"
    rm "$NET_DIR/$type.kill"
    run -0 ocinet down box
    run -0 ocinet gc
    looks_alike "by $type while it takes down"
  done
  for number in {1..40}; do
    moment=$((number * step))
    killed_up "after $moment ms" in_host timeout --foreground --signal KILL \
      "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))" "$OCINET" || break
    kills=$number
  done
  ((kills >= 2 && kills < 40)) || fail "It was killed $kills times."
  in_host ip netns delete box
}

@test "a dry run says which program would be called, with what, and does not call it" {
  recorder "$NET_DIR/warp"
  chain 10-blue 10.1.1.0/24 '{ "type": "warp", "speed": 9 }'
  network 20-theirs.conf theirs ptp 10.1.2.0/24 '{ "type": "loom", "ipMasq": false }'
  recorder "$NET_DIR/loom"
  in_host ip netns add box
  run -0 ocinet up --dry-run --net "10-blue:IP=10.1.1.9" -p 8080:80 /run/netns/box
  [[ $output == *"CNI_COMMAND=ADD CNI_CONTAINERID=box CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_ARGS=IP=10.1.1.9 "*"net.d/warp <<<'{"*'"speed":9'* ]] ||
    fail "$output"
  [[ $output == *"tcp . 8080 comment "*" : 10.1.1.9 . 80"* ]] || fail "$output"
  # An address that is not known yet is 0.0.0.0.
  run -0 ocinet up --dry-run --net theirs -p 8080:80 /run/netns/box
  [[ $output == *"net.d/loom <<<'{"*"tcp . 8080 comment "*" : 0.0.0.0 . 80"* ]] || fail "$output"
  cp "$theirs/host-local" "$NET_DIR/host-local"
  network 30-red.conf red bridge 10.1.3.0/24
  run -0 ocinet up --dry-run --net red -p 8080:80 /run/netns/box
  [[ $output == *"net.d/host-local <<<'{"*"tcp . 8080 comment "*" : 0.0.0.0 . 80"* ]] || fail "$output"
  [ ! -e "$CALLS" ]
  run -0 ocinet ls
  equal "" "$(grep box <<<"$output")"
  in_host ip netns delete box
}

@test "a type that no program has, and an id that CNI refuses, are refused before anything is made" {
  network blue.conf blue weft 10.1.1.0/24
  in_host ip netns add box
  run -1 --separate-stderr ocinet up --net blue /run/netns/box
  [[ $stderr == 'ocinet: '*'Cannot use plugin type "weft": it is not one of ours ('*'), nor is it in '*/usr/lib/rkt/plugins/net,*/usr/lib/cni ]] ||
    fail "$stderr"
  recorder "$NET_DIR/weft"
  run -2 --separate-stderr ocinet up --net blue --id a+b /run/netns/box
  [[ $stderr == 'ocinet: Cannot use container id "a+b": it may have only letters'* ]] || fail "$stderr"
  [ ! -e "$CALLS" ]
  in_host ip netns delete box
}
