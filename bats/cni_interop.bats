#!/usr/bin/env bats
# What the reference plugins put up, ours take down, and the reverse: nothing of it is left, and nothing else is touched.
# Only our rules (nft's, which the reference knows nothing of) and what is written down of them outlast a DEL by the
# reference; they go with GC.
load lib
load cni
load cni_interop

setup() {
  set_up_hosts
  set_up_plugins
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

bridge() { jq -nc "{ type: \"bridge\", isGateway: true, ipMasq: true, ipam: $ipam } + ${1-"{}"}"; }

# The names of bandwidth's links, a line each.
ifbs() { in_host ip -br link show type ifb | cut -d' ' -f1; }

# --- what the reference put up

@test "a chain on a bridge by theirs goes by ours, wherever its namespace is by then, and whichever backend it had" {
  local list how before=$BATS_TEST_TMPDIR/before
  list=$(list 0.4.0 "$(bridge '{ macspoofchk: true }'), $chain, { type: \"sbr\" }")
  neighbour "$REFERENCE" "$list"
  as_nftables c11 other0 10.1.1.2
  everything >"$before"
  for how in there unsaid gone; do
    PLUGINS=$REFERENCE libcni ADD "$list"
    as_nftables c1 eth0 10.1.1.3
    in_host iptables-save | grep -q '"dnat name: .*net.* id: .*c1\\""'
    equal 2 "$(ifbs | wc -l)"
    [ $how != gone ] || in_host ip netns delete box
    if [ $how = unsaid ]; then libcni DEL "$list" CNI_NETNS=; else libcni DEL "$list"; fi
    # What is in a namespace that is not said ends with that.
    [ $how != unsaid ] || in_host ip netns delete box
    [ $how = there ] || make_box
    settled "$before"
    # This version of theirs does not know the word.
    list=$(jq -c '.cniVersion = "1.0.0" | .plugins |= map(.backend = "nftables" | .ipMasqBackend = "nftables")' <<<"$list")
  done
}

# as_nftables ID INTERFACE ADDRESS: the rules that newer ones of theirs (1.9.1) make of a masquerade and a port on "net"
as_nftables() {
  local net interface
  net=$(printf net | sha512sum)
  interface=$(printf %s "$2:$1" | sha512sum)
  in_host nft -f - <<RULES
table inet cni_plugins_masquerade {
  chain masq_checks {
    ip saddr == $3 ip daddr != 10.1.1.0/24 masquerade comment "${net::16}-${interface::16}, net: net, if: $2, id: $1"
  }
}
table ip cni_hostport {
  chain hostports { tcp dport 8080 dnat to $3:80 comment "$1"; }
  chain masquerading { ip saddr $3 ip daddr $3 masquerade comment "$1"; }
}
RULES
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
  local list rules
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
  local ptp
  ptp=$(list 1.0.0 "$(jq -nc "{ type: \"ptp\", ipam: $four }")")
  in_host ip link add name spare type veth peer name spare0
  # Our table stays until gc.
  PLUGINS=$BIN libcni ADD "$ptp"
  PLUGINS=$BIN libcni DEL "$ptp"
  goes_either_way "$(jq -nc "{ type: \"ptp\", ipam: $four }")" "{ \"type\": \"macvlan\", \"master\": \"eth0\", \"ipam\": $ipam }" \
    "{ \"type\": \"host-device\", \"device\": \"spare\", \"ipam\": $four }" '{ "type": "loopback" }' \
    "{ \"type\": \"host-local\", \"ipam\": $ipam }"
  in_host ip link delete spare
}

# --- what ours put up

@test "a chain on a bridge by ours goes by theirs, but for what only ours know, which goes with GC" {
  local list left before=$BATS_TEST_TMPDIR/before
  list=$(list 1.0.0 "$(bridge '{ macspoofchk: true }'), $chain, { type: \"sbr\" }")
  neighbour "$BIN" "$list"
  # By looking, theirs makes them.
  in_host nft 'add table ip nat; add table ip6 nat'
  # In the chain that the administrator's is called from, the rule for a policy of DROP is put by the next call.
  PLUGINS=$BIN libcni ADD "$list"
  PLUGINS=$BIN libcni DEL "$list"
  everything >"$before"
  PLUGINS=$BIN libcni ADD "$list"
  # Its go-iptables does not know the words in which iptables 1.8.9 says that a chain is not there; the second time it has
  # no address any more to look for.
  PLUGINS=$REFERENCE libcni DEL "$list" 2>/dev/null || PLUGINS=$REFERENCE libcni DEL "$(jq '.plugins |= .[:1]' <<<"$list")" 2>/dev/null
  left=$(diff "$before" <(everything) | grep '^>' || true)
  equal "" "$(grep -v '10\.1\.1\.[2-4]\|fd00:1::[2-4]\|"veth\|\(tcp . 808[01]\|udp . 53\)\(,\| }\)\|/state/containers/c1/net eth0 ' <<<"$left")"
  collects_all "${list/1.0.0/1.1.0}"
  settled "$before"
}

@test "a container that is on a network twice has an ifb link for each, of which theirs knows one" {
  local conf made n
  conf=$(conf bandwidth '{ "egressRate": 8000000, "egressBurst": 80000 }' 1.0.0)
  for n in 0 1; do
    in_host ip link add name host$n type veth peer name eth$n netns box
    made=$(with_result "$conf" "{ \"interfaces\": [{ \"name\": \"host$n\" }, { \"name\": \"eth$n\", \"sandbox\": \"/run/netns/box\" }] }")
    run -0 --separate-stderr plugin bandwidth ADD "$made" CNI_IFNAME=eth$n
    with_result "$conf" "$output" >"$BATS_TEST_TMPDIR/eth$n"
  done
  equal 2 "$(ifbs | wc -l)"
  PLUGINS=$REFERENCE plugin bandwidth DEL "$(<"$BATS_TEST_TMPDIR/eth0")"
  jq -r '.prevResult.interfaces[-1].name' "$BATS_TEST_TMPDIR/eth1" | diff - <(ifbs)
  # Ours, called again for what is gone, leaves the other as well.
  run -0 plugin bandwidth DEL "$conf"
  run -0 plugin bandwidth DEL "$conf"
  equal 1 "$(ifbs | wc -l)"
  run -0 plugin bandwidth DEL "$(<"$BATS_TEST_TMPDIR/eth1")" CNI_IFNAME=eth1
  equal "" "$(ifbs)"
  in_host ip link delete host0
  in_host ip link delete host1
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
