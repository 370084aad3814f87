#!/usr/bin/env bats
# What the reference plugins put up, ours take down, and the reverse: nothing of it is left, and nothing else is touched.
# Only our rules (nft's, which the reference knows nothing of), bandwidth's ifb link (of whose name ours makes the interface a
# part, for a container may be on a network twice), and what is written down of them outlast a DEL by the reference; they
# go with GC.
load lib
load cni

setup() {
  set_up_hosts
  set_up_plugins
  REFERENCE=/usr/lib/cni
  # shellcheck disable=SC2034 # for libcni
  CAP_ARGS='{ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }, { "hostPort": 53, "containerPort": 53, "protocol": "udp" }] }'
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  in_host ip netns delete other 2>/dev/null || true
  for ifb in $(ifbs); do in_host ip link delete "$ifb"; done
  tear_down_hosts
}

ipam='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] }'
four='{ "type": "host-local", "subnet": "10.1.1.0/24" }'
chain='{ "type": "portmap", "capabilities": { "portMappings": true } }, { "type": "firewall" },
  { "type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 80000, "egressRate": 8000000, "egressBurst": 80000 },
  { "type": "tuning", "mtu": 1400, "promisc": true }'

# list VERSION PLUGIN[, PLUGIN...]: the network "net"
list() { jq -nc --arg version "$1" '{ cniVersion: $version, name: "net", plugins: ['"$2"'] }'; }

bridge() { jq -nc "{ type: \"bridge\", isGateway: true, ipMasq: true, ipam: $ipam } + ${1-"{}"}"; }

# The host, and what is kept of attachments; where host-local goes on is nobody's.
everything() {
  snapshot | sed '/^== state files/,/^==/ { /^[dlf] /d }'
  find "$HOST_DIR/cni" "$STATE_DIR/cni" -type f ! -name lock ! -name 'last_reserved_ip.*' 2>/dev/null | sort
  in_host find /run/cni -type f 2>/dev/null || true
}

# settled FILE: the host is, or soon becomes, what `everything >FILE` saw
settled() { wait_for same_as "$1" || fail "$(diff -U0 "$1" <(everything))"; }
same_as() { everything | cmp -s "$1" -; }

# neighbour PLUGINS LIST: a container that has the network already, whose own rules and addresses have to stay
neighbour() {
  in_host ip netns add other
  local result="" plugin
  while read -r plugin; do
    [ -z "$result" ] || plugin=$(with_result "$plugin" "$result")
    result=$(PLUGINS=$1 plugin "$(jq -r .type <<<"$plugin")" ADD "$plugin" CNI_CONTAINERID=c11 CNI_NETNS=/run/netns/other 2>/dev/null) || fail "$result" || return
  done < <(jq -c '. as $list | .plugins[] | . + ($list | { name, cniVersion }) | if .type == "portmap"
    then .runtimeConfig = { portMappings: [{ hostPort: 8081, containerPort: 80, protocol: "tcp" }] } else . end' <<<"$2")
}

# The names of bandwidth's links, a line each.
ifbs() { in_host ip -br link show type ifb | cut -d' ' -f1; }

# --- what the reference put up

@test "a chain on a bridge by theirs goes by ours, wherever its namespace is by then" {
  local list how before=$BATS_TEST_TMPDIR/before
  list=$(list 0.4.0 "$(bridge '{ macspoofchk: true }'), $chain, { type: \"sbr\" }")
  neighbour "$REFERENCE" "$list"
  everything >"$before"
  for how in there unsaid gone; do
    PLUGINS=$REFERENCE libcni ADD "$list"
    in_host iptables-save | grep -q '"dnat name: .*net.* id: .*c1\\""'
    equal 2 "$(ifbs | wc -l)"
    [ $how != gone ] || in_host ip netns delete box
    [ $how != unsaid ] || local without=(CNI_NETNS=)
    libcni DEL "$list" "${without[@]}"
    [ $how != gone ] || in_host ip netns add box
    settled "$before"
    list=$(jq -c '.cniVersion = "1.0.0"' <<<"$list")
  done
}

@test "what does not depend on the ADD's result goes without it" {
  local list before=$BATS_TEST_TMPDIR/before
  list=$(list 1.0.0 "$(bridge '{ macspoofchk: true }'), { type: \"portmap\", capabilities: { portMappings: true } },
    { type: \"bandwidth\", egressRate: 8000000, egressBurst: 80000 }, { type: \"tuning\", mtu: 1400 }")
  neighbour "$REFERENCE" "$list"
  everything >"$before"
  PLUGINS=$REFERENCE libcni ADD "$list"
  rm -r "$HOST_DIR/cni/results"
  libcni DEL "$list"
  settled "$before"
}

@test "rules whose address another container has by now stay" {
  local list result rules
  list=$(list 1.0.0 "$(bridge), { type: \"firewall\" }")
  PLUGINS=$REFERENCE libcni ADD "$list"
  echo -ne "c12\r\neth0" >"$HOST_DIR/cni/networks/net/10.1.1.2"
  libcni DEL "$list"
  rules=$(in_host iptables-save)
  [[ $rules == *"-A CNI-FORWARD -s 10.1.1.2/32 -j ACCEPT"* ]] || fail "$rules"
  [[ $(in_host ip6tables-save) != *fd00:1::2* ]]
  equal 10.1.1.2 "$(in_host find /var/lib/cni/networks/net -name '*.2' -printf '%f\n')"
}

# --- single types, either way

@test "each type by theirs goes by ours, and the reverse" {
  local list before=$BATS_TEST_TMPDIR/before
  in_host ip link add name spare type veth peer name spare0
  everything >"$before"
  for list in "$(jq -nc "{ type: \"ptp\", ipam: $four }")" "{ \"type\": \"macvlan\", \"master\": \"eth0\", \"ipam\": $ipam }" \
    "{ \"type\": \"host-device\", \"device\": \"spare\", \"ipam\": $four }" '{ "type": "loopback" }' \
    "{ \"type\": \"host-local\", \"ipam\": $ipam }"; do
    list=$(list 1.1.0 "$list")
    PLUGINS=$REFERENCE libcni ADD "${list/1.1.0/1.0.0}"
    PLUGINS=$BIN libcni DEL "$list"
    settled "$before"
    PLUGINS=$BIN libcni ADD "$list"
    PLUGINS=$REFERENCE libcni DEL "${list/1.1.0/1.0.0}"
    collects_all "$list"
    settled "$before"
  done
  in_host ip link delete spare
}

# collects_all LIST: GC of each plugin, with no attachment of "c1" any more
collects_all() {
  local plugin
  while read -r plugin; do
    plugin "$(jq -r .type <<<"$plugin")" GC "$plugin"
  done < <(jq -c '. as $list | .plugins[] | . + ($list | { name, cniVersion }) + { "cni.dev/valid-attachments": [{ containerID: "c11", ifname: "eth0" }] }' <<<"$1")
}

# --- what ours put up

@test "a chain on a bridge by ours goes by theirs, but for what only ours know, which goes with GC" {
  local list left before=$BATS_TEST_TMPDIR/before
  list=$(list 1.0.0 "$(bridge '{ macspoofchk: true }'), $chain")
  neighbour "$BIN" "$list"
  # By looking, theirs makes them.
  in_host nft 'add table ip nat; add table ip6 nat'
  everything >"$before"
  PLUGINS=$BIN libcni ADD "$list"
  # Its go-iptables does not know the words in which iptables 1.8.9 says that a chain is not there; the second time it has
  # no address any more to look for.
  PLUGINS=$REFERENCE libcni DEL "$list" 2>/dev/null || PLUGINS=$REFERENCE libcni DEL "$list" 2>/dev/null
  left=$(diff "$before" <(everything) | grep '^>' | grep -v 'bwp[0-9a-f]* \|[./]bwp[0-9a-f]*\.\|"ifname":"bwp' || true)
  equal "" "$(grep -v '10\.1\.1\.[23]\|fd00:1::[23]\|"veth\|/state/cni/net/c1/eth0 ' <<<"$left")"
  collects_all "${list/1.0.0/1.1.0}"
  settled "$before"
}

# --- the cache

# runtime VERB [VARIABLE=VALUE...]: `ocinet cni` for "c1" on "net"
runtime() { in_host env OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c1 "NETCONFPATH=$NET_DIR" "${@:2}" "$OCINET" cni "$1" net /run/netns/box; }

@test "what libcni keeps of an ADD, our runtime takes down by, without the network's file, and the reverse" {
  local list plugins before=$BATS_TEST_TMPDIR/before
  list=$(list 1.0.0 "$(bridge), { type: \"portmap\", capabilities: { portMappings: true } }")
  neighbour "$REFERENCE" "$list"
  everything >"$before"
  for plugins in "$REFERENCE" "$BIN"; do
    PLUGINS=$REFERENCE libcni ADD "$list"
    runtime del "CNI_PATH=$plugins"
    settled "$before"
  done
  echo "$list" >"$NET_DIR/net.conflist"
  runtime add "CNI_PATH=$BIN" "CAP_ARGS=$CAP_ARGS" >/dev/null
  jq -e --argjson given "$CAP_ARGS" --arg config "$(base64 -w 0 "$NET_DIR/net.conflist")" '.kind == "cniCacheV1" and .containerId == "c1"
    and .ifName == "eth0" and .networkName == "net" and .capabilityArgs == $given and .config == $config
    and .result.interfaces[2].name == "eth0"' "$HOST_DIR/cni/results/net-c1-eth0"
  PLUGINS=$BIN libcni DEL "$list"
  ocinet gc
  settled "$before"
}
