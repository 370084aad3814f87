#!/usr/bin/env bats
# What people have complained of in the reference plugins (numbers are of containernetworking/plugins unless another
# project is named), each by its name; and where ours mean to be better than them.
load lib
load cni
load contained
load checked

setup() {
  set_up_hosts
  set_up_plugins
  snapshot >"$BATS_TEST_TMPDIR/before"
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

# One address beside the gateway's
small='{ "type": "host-local", "subnet": "10.1.1.0/30" }'
dual='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] }'
leases=/var/lib/cni/networks/net

# nothing_stays: of any container; and after gc, of what they share
nothing_stays() {
  run -1 cni_traces
  in_host bash -c '[ -e /run/netns/box ] || ip netns add box'
  ocinet gc >/dev/null
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# held: the addresses that are reserved, on one line
held() { in_host find $leases -name '[0-9f]*[.:]*' -printf '%f\n' | sort -V | xargs; }

# --- 1. addresses that leak

@test "IP leaks over a reboot (#252, cni #204, k3s #5885): what an earlier boot reserved is given again, what others did stays" {
  local bridge
  name_machine
  bridge=$(conf bridge "{ \"ipam\": $small }")
  adds bridge "$bridge"
  refused 50 "no IP addresses available in range set: 10.1.1.1-10.1.1.2" bridge STATUS "$bridge"
  reboot_host
  run -0 plugin bridge STATUS "$bridge"
  adds bridge "$bridge" CNI_CONTAINERID=c2
  jq -e '.ips[0].address == "10.1.1.2/30"' <<<"$RESULT"
  # The old container's DEL comes late.
  run -0 plugin bridge DEL "$bridge"
  equal $'c2\r\neth0' "$(in_host cat $leases/10.1.1.2)"
  run -0 plugin bridge DEL "$bridge" CNI_CONTAINERID=c2
  # Another program's may be of this boot, whatever their age.
  in_host sh -c "printf 'theirs\r\neth0' >$leases/10.1.1.2; touch -d 2001-01-01 $leases/10.1.1.2"
  reboot_host
  run -1 plugin bridge ADD "$bridge"
  in_host rm $leases/10.1.1.2
  nothing_stays
}

# name_machine: the host has an id, as all have that systemd runs on
name_machine() {
  [ -e /etc/machine-id ] || touch /etc/machine-id
  echo 0123456789abcdef0123456789abcdef >"$BATS_TEST_TMPDIR/machine-id"
  in_host mount --bind "$BATS_TEST_TMPDIR/machine-id" /etc/machine-id
}

# What a reboot leaves: files that are not in /run, and marks of another boot
reboot_host() {
  local boots=/var/lib/cni/networks/.boots
  in_host ip netns delete box
  in_host ip netns add box
  wait_for no_veth
  in_host nft flush ruleset
  in_host ip link delete cni0 2>/dev/null || true
  rm -r "${STATE_DIR:?}"/*
  in_host sh -c "[ ! -e $boots ] || mv $boots/*.* $boots/\$(cat /etc/machine-id).00000000-0000-0000-0000-000000000000"
}

no_veth() { ! in_host ip -o link | grep -q veth; }

@test "IP leaks by empty reservation files (#498), and empty-file reclaim: by ADD when all are taken, by GC" {
  local bridge
  bridge=$(conf bridge "{ \"ipam\": $small }")
  in_host sh -c "mkdir -p $leases; touch $leases/10.1.1.2"
  # It may just be being made.
  run -1 plugin bridge ADD "$bridge"
  in_host touch -d "2 minutes ago" $leases/10.1.1.2
  run -0 plugin bridge STATUS "$bridge"
  adds bridge "$bridge"
  equal 10.1.1.2 "$(held)"
  run -0 plugin bridge DEL "$bridge"
  in_host touch $leases/10.1.1.2
  local gc
  gc=$(jq -c '. + { "cni.dev/valid-attachments": [] }' <<<"$bridge")
  run -0 plugin bridge GC "$gc"
  equal 10.1.1.2 "$(held)"
  in_host touch -d "2 minutes ago" $leases/10.1.1.2
  run -0 plugin bridge GC "$gc"
  equal "" "$(held)"
  nothing_stays
}

@test "IP leaks of host-device whose namespace is gone, or not named (#1196); a second DEL is fine" {
  local device netns
  device=$(conf host-device "{ \"device\": \"port0\", \"ipam\": $dual }")
  for netns in /run/netns/box ""; do
    in_host ip link add name port0 type veth peer name port1
    adds host-device "$device"
    equal "10.1.1.2 fd00:1::2" "$(held)"
    in_host ip netns delete box
    run -0 plugin host-device DEL "$device" CNI_NETNS="$netns"
    run -0 plugin host-device DEL "$device" CNI_NETNS="$netns"
    equal "" "$(held)"
    in_host ip netns add box
    in_host rm -r $leases
  done
  nothing_stays
}

@test "IP leaks on error paths: a master that has vanished, an address that cannot be used" {
  local macvlan ptp
  in_host ip link add name port0 type veth peer name port1
  macvlan=$(conf macvlan "{ \"master\": \"port0\", \"ipam\": $dual }")
  adds macvlan "$macvlan"
  in_host ip link delete port0
  refused 999 'failed to lookup master "port0": Link not found' macvlan ADD "$macvlan" CNI_CONTAINERID=c2
  run -0 plugin macvlan DEL "$macvlan"
  equal "" "$(held)"
  # Without addresses, or a gateway, ptp cannot work; IPAM of others may give none.
  make_ipam '{"cniVersion":"1.0.0"}'
  ptp=$(conf ptp '{ "ipam": { "type": "myipam" } }')
  refused 999 "IPAM plugin returned missing IP config" ptp ADD "$ptp" "CNI_PATH=$THEIRS"
  make_ipam '{"cniVersion":"1.0.0","ips":[{"address":"10.7.7.7/24"}]}'
  run -1 plugin ptp ADD "$ptp" "CNI_PATH=$THEIRS"
  equal "ADD DEL ADD DEL" "$(cut -d' ' -f1 "$LOG" | xargs)"
  nothing_stays
}

# make_ipam RESULT: a plugin "myipam" in $THEIRS that answers ADD so, and logs what it is called for and whether the
# container's link is there
make_ipam() {
  THEIRS=$BATS_TEST_TMPDIR/theirs LOG=$BATS_TEST_TMPDIR/log
  mkdir -p "$THEIRS"
  cat >"$THEIRS/myipam" <<IPAM
#!/bin/sh
echo "\$CNI_COMMAND \$(ip -n box -o link show dev eth0 2>/dev/null | wc -l)" >>$LOG
[ "\$CNI_COMMAND" != ADD ] || echo '$1'
IPAM
  chmod 755 "$THEIRS/myipam"
}

# --- 2. rules that leak

@test "masquerading leaks when DEL names no namespace, or one that is gone (#810, nerdctl #1872, #3253)" {
  local type netns
  for type in bridge ptp; do
    for netns in "" /run/netns/box; do
      adds $type "$(conf $type "{ \"ipMasq\": true, \"ipam\": $dual }")"
      [[ $(elements masquerade4) == *" . 10.1.1."*" }" && $(elements masquerade6) == *" . fd00:1::"*" }" ]]
      in_host ip netns delete box
      run -0 plugin $type DEL "$(with_result "$(conf $type "{ \"ipMasq\": true, \"ipam\": $dual }")" "$RESULT")" CNI_NETNS="$netns"
      equal "" "$(elements masquerade4)$(elements masquerade6)$(held)"
      in_host ip netns add box
    done
  done
  nothing_stays
}

# --- 3. races

# The chain of most runtimes, for container N with port 8000+N. ADD gives what the last one printed.
bridge_conf() { conf bridge "{ \"isGateway\": true, \"ipMasq\": true, \"ipam\": $dual }"; }
portmap_conf() {
  conf portmap "{ \"runtimeConfig\": { \"portMappings\": [{ \"hostPort\": $((8000 + $1)), \"containerPort\": 80, \"protocol\": \"tcp\" }] } }"
}

# chain_add N and chain_del N: of box N, as processes one after the other
chain_add() {
  local vars=(CNI_CONTAINERID="c$1" CNI_NETNS="/run/netns/box$1") made
  made=$(plugin bridge ADD "$(bridge_conf)" "${vars[@]}") || { echo "$made" && return 1; }
  made=$(plugin portmap ADD "$(with_result "$(portmap_conf "$1")" "$made")" "${vars[@]}") || { echo "$made" && return 1; }
  plugin firewall ADD "$(with_result "$(conf firewall)" "$made")" "${vars[@]}"
}

chain_del() {
  local vars=(CNI_CONTAINERID="c$1" CNI_NETNS="/run/netns/box$1") made
  made=$(<"$BATS_TEST_TMPDIR/add$1")
  plugin firewall DEL "$(with_result "$(conf firewall)" "$made")" "${vars[@]}" &&
    plugin portmap DEL "$(with_result "$(portmap_conf "$1")" "$made")" "${vars[@]}" &&
    plugin bridge DEL "$(with_result "$(bridge_conf)" "$made")" "${vars[@]}"
}

# at_once FUNCTION NUMBER...: for all of these numbers; what each says is in the file FUNCTION's last word and the number
at_once() {
  local n pids=() pid
  for n in "${@:2}"; do
    "$1" "$n" >"$BATS_TEST_TMPDIR/${1##*_}$n" 2>&1 3>&- &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || fail "$(cat "$BATS_TEST_TMPDIR/${1##*_}"*)"; done
}

@test "races of chain creation (#335, nomad #6567, nerdctl #2908), bridge address (containerd #3507) and portmap's DEL (#418)" {
  local n
  for n in {1..8}; do in_host ip netns add "box$n"; done
  # The first ever on this host, all at once: tables, chains, the bridge and its address are still to be made.
  at_once chain_add {1..8}
  equal 8 "$(elements ports4 | grep -o ' : ' | wc -l)"
  equal 8 "$(elements passed4 | grep -o '10\.1\.1\.' | wc -l)"
  equal 8 "$(in_host ip -j link show type veth master cni0 | jq length)"
  equal "10.1.1.1/24 fd00:1::1/64" "$(in_host ip -j address show dev cni0 | jq -r '.[0].addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"' | xargs)"
  equal 8 "$(jq -r '.ips[0].address' "$BATS_TEST_TMPDIR"/add[0-9] | sort -u | wc -l)"
  serve tcp 80 in_host ip netns exec box8
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8008 in_peer)"
  stop_background
  # Each twice: runtimes do.
  chain_del_twice() { chain_del "$1" && chain_del "$1"; }
  at_once chain_del_twice {1..8}
  for n in {1..8}; do in_host ip netns delete "box$n"; done
  # The administrator's chain stays, and what calls it, until the administrator takes them away.
  in_host nft 'delete table ip filter; delete table ip6 filter'
  nothing_stays
}

# --- 4. what it costs

@test "without mappings portmap touches no rules (#464, #510), and the number of rules does not grow with ports (#662, #1139)" {
  local real rules
  adds bridge "$(bridge_conf)"
  real=$(type -P nft)
  mkdir "$BATS_TEST_TMPDIR/programs"
  # shellcheck disable=SC2016 # the program's
  printf '#!/bin/sh\necho "$0 $*" >>%s\nexec %s "$@"\n' "$BATS_TEST_TMPDIR/called" "$real" >"$BATS_TEST_TMPDIR/programs/nft"
  chmod 755 "$BATS_TEST_TMPDIR/programs/nft"
  local command conf
  for command in ADD CHECK DEL; do
    PATH=$BATS_TEST_TMPDIR/programs:$PATH run -0 plugin portmap $command "$(with_result "$(conf portmap)" "$RESULT")"
  done
  [ ! -e "$BATS_TEST_TMPDIR/called" ] || fail "$(<"$BATS_TEST_TMPDIR/called")"
  rules=$(number_of_rules)
  # 60 ports: 30 tcp, 30 udp
  conf=$(with_result "$(conf portmap '{ "runtimeConfig": { "portMappings": [range(60) | { "hostPort": (8000 + .), "containerPort": 80, "protocol": (if . % 2 == 0 then "tcp" else "udp" end) }] } }')" "$RESULT")
  PATH=$BATS_TEST_TMPDIR/programs:$PATH run -0 plugin portmap ADD "$conf"
  equal 1 "$(wc -l <"$BATS_TEST_TMPDIR/called")"
  equal "$rules" "$(number_of_rules)"
  equal 60 "$(elements ports4 | grep -o ' : ' | wc -l)"
  run -0 plugin portmap DEL "$conf"
  run -0 plugin bridge DEL "$(bridge_conf)"
  nothing_stays
}

number_of_rules() { in_host nft -a list ruleset | grep -cE '# handle [0-9]+$' ; }

# --- 5. DHCP

@test "IPAM DEL comes while the link is there, so that DHCP can give back (#791); addresses of our own go after it" {
  make_ipam '{"cniVersion":"1.0.0","ips":[{"address":"10.7.7.7/24"}]}'
  local type
  for type in bridge macvlan tap; do
    run -0 plugin $type ADD "$(conf $type '{ "ipam": { "type": "myipam" } }')" "CNI_PATH=$THEIRS"
    run -0 plugin $type DEL "$(conf $type '{ "ipam": { "type": "myipam" } }')" "CNI_PATH=$THEIRS"
  done
  equal "ADD 1 DEL 1 ADD 1 DEL 1 ADD 1 DEL 1" "$(xargs <"$LOG")"
  # An address is reserved for as long as a link has it: a program that stands in for ip looks when links go.
  local real
  real=$(type -P ip)
  mkdir "$BATS_TEST_TMPDIR/programs"
  printf '#!/bin/sh\n[ ! -e %s/10.1.1.2 ] || echo reserved >>%s\nexec %s "$@"\n' $leases "$BATS_TEST_TMPDIR/said" "$real" >"$BATS_TEST_TMPDIR/programs/ip"
  chmod 755 "$BATS_TEST_TMPDIR/programs/ip"
  adds bridge "$(bridge_conf)"
  PATH=$BATS_TEST_TMPDIR/programs:$PATH run -0 plugin bridge DEL "$(bridge_conf)"
  equal reserved "$(sort -u "$BATS_TEST_TMPDIR/said")"
  nothing_stays
}

# --- 6. UDP

@test "UDP flows are not flushed on DEL (#1190): ours are, and no others" {
  local chained
  adds bridge "$(bridge_conf)"
  chained=$(with_result "$(conf portmap '{ "runtimeConfig": { "portMappings": [{ "hostPort": 5353, "containerPort": 53, "protocol": "udp" }] } }')" "$RESULT")
  run -0 plugin portmap ADD "$chained"
  local port
  for port in 5353 5354; do
    in_host conntrack -I -p udp -s 192.0.2.2 -d 192.0.2.1 --sport $port --dport $port -r 10.1.1.2 -q 192.0.2.2 --reply-port-src 53 --reply-port-dst $port -t 600 >/dev/null
  done
  equal "5353 5354" "$(flows)"
  run -0 plugin portmap DEL "$chained"
  equal 5354 "$(flows)"
  in_host conntrack -D -p udp >/dev/null 2>&1
  run -0 plugin bridge DEL "$(bridge_conf)"
  nothing_stays
}

flows() { in_host conntrack -L -p udp 2>/dev/null | sed -n 's/.*src=192.0.2.2 .* dport=\(535[0-9]\) .*src=10.1.1.2 .*/\1/p' | sort | xargs; }

# --- 7. IPv6

@test "delays by IPv6's duplicate address detection (#680, #688, #695): an address can be used as soon as ADD has ended" {
  in_host sysctl -q net.ipv6.conf.default.accept_dad=1
  in_box sysctl -q net.ipv6.conf.default.accept_dad=1
  local type
  for type in bridge ptp; do
    adds $type "$(conf $type "{ \"isGateway\": true, \"ipam\": $dual }")"
    equal "" "$(in_box ip -6 address show tentative scope global)$(in_host ip -6 address show tentative scope global)"
    in_host busybox ping -c 1 -W 10 "$(jq -r '.ips[1].address / "/" | .[0]' <<<"$RESULT")"
    run -0 plugin $type DEL "$(conf $type "{ \"isGateway\": true, \"ipam\": $dual }")"
  done
  in_host sysctl -q net.ipv6.conf.default.accept_dad=0
  nothing_stays
}

# --- 8. backends

@test "accept firewall backend nftables (#461, #462), and no firewalling where none is asked for (#762)" {
  adds bridge "$(bridge_conf)"
  equal "" "$(elements passed4)$(elements open4)"
  local backend chained
  for backend in nftables iptables ""; do
    chained=$(with_result "$(conf firewall "{ \"backend\": \"$backend\" }")" "$RESULT")
    run -0 plugin firewall ADD "$chained"
    equal '{ "cni0" . 10.1.1.2 }' "$(elements passed4)"
    run -0 plugin firewall CHECK "$chained"
    run -0 plugin firewall DEL "$chained"
    equal "" "$(elements passed4)"
    # The others have an administrator's chain (plugins#504).
    [ "$backend" != nftables ] || equal "" "$(in_host iptables-save 2>/dev/null)"
  done
  in_host sh -c 'nft delete table ip filter; nft delete table ip6 filter'
  run -0 plugin bridge DEL "$(bridge_conf)"
  nothing_stays
}

# --- 9. CHECK

@test "CHECK fails for no reason: what others have switched on, a default route that another network had first, routes moved to tables" {
  in_host ip link add name cni0 address 02:00:00:00:00:01 up type bridge
  checked bridge "{ \"ipam\": $HOST_LOCAL }"
  in_host bash -ec 'ip link set dev cni0 promisc on; bridge link set dev vethdbbac32e902 hairpin on isolated on'
  run -0 plugin bridge CHECK "$CHECKED"
  local second
  second=$(conf ptp '{ "name": "second", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24", "routes": [{ "dst": "0.0.0.0/0" }] } }')
  run -0 --separate-stderr plugin ptp ADD "$second" CNI_IFNAME=eth1
  run -0 plugin ptp CHECK "$(with_result "$second" "$output")" CNI_IFNAME=eth1
  run -0 plugin ptp DEL "$second" CNI_IFNAME=eth1
  run -0 plugin sbr ADD "$(with_result "$(conf sbr)" "$RESULT")"
  equal "" "$(in_box ip route show default)"
  run -0 plugin bridge CHECK "$CHECKED"
  run -0 plugin sbr DEL "$(with_result "$(conf sbr)" "$RESULT")"
  ends
  in_host ip link delete cni0
}

@test "include route table in CHECK" {
  checked ptp '{ "ipam": { "type": "host-local", "subnet": "10.1.1.0/24", "routes": [{ "dst": "10.9.0.0/16", "table": 77 }] } }'
  notices "Failed to find route to 10.9.0.0/16" \
    "ip -n box route del 10.9.0.0/16 table 77; ip -n box route add 10.9.0.0/16 via 10.1.1.1" "ip -n box route add 10.9.0.0/16 via 10.1.1.1 table 77"
  ends
}

# --- ours mean to be better

@test "netns check first: the namespace of the caller is refused before anything is made, unless the caller insists" {
  local full
  full=$(conf bridge "{ \"isGateway\": true, \"ipMasq\": true, \"macspoofchk\": true, \"ipam\": $dual }")
  refused 8 "plugin's netns and netns from CNI_NETNS should not be the same" bridge ADD "$full" CNI_NETNS=/proc/self/ns/net
  refused 999 'failed to open netns "/run/netns/none": failed to Statfs "/run/netns/none": no such file or directory' \
    bridge ADD "$full" CNI_NETNS=/run/netns/none
  refused 999 'failed to open netns "/etc/passwd": unknown FS magic on "/etc/passwd": it is no namespace' \
    bridge ADD "$full" CNI_NETNS=/etc/passwd
  refused 8 'failed to open netns "/proc/self/ns/uts": it is no network namespace' bridge ADD "$full" CNI_NETNS=/proc/self/ns/uts
  nothing_stays
  run -0 plugin loopback ADD "$(conf loopback)" CNI_NETNS=/proc/self/ns/net CNI_NETNS_OVERRIDE=TRUE
}

@test "roll back veth on ADD failure, and with it the rules, the bridge and the addresses" {
  local type made='"isGateway": true, "ipMasq": true, "macspoofchk": true'
  for type in bridge ptp macvlan tap; do
    run -1 plugin $type ADD "$(conf $type "{ $made, \"ipam\": $dual } | .ipam.routes += [{ \"dst\": \"10.3.0.0/16\", \"gw\": \"10.2.2.2\" }]")"
    run -1 cni_traces
    equal 1 "$(in_box ip -o link | wc -l)"
  done
  nothing_stays
}

@test "a bridge that has as many ports as a bridge can have (moby#44973)" {
  local n
  # Both ends of a pair are ports of it.
  for n in {1..512}; do
    echo "link add p$n group 7 master cni0 type veth peer name q$n"
    echo "link set q$n master cni0"
  done >"$BATS_TEST_TMPDIR/ports"
  in_host ip link add cni0 type bridge
  run -1 in_host ip -batch "$BATS_TEST_TMPDIR/ports"
  run -1 plugin bridge ADD "$(conf bridge "{ \"ipam\": $dual }")"
  equal "Cannot connect to cni0: it has 1023 ports, and a bridge cannot have more; use another bridge" "$(jq -r .msg <<<"$output")"
  equal "" "$(held)"
  equal 1 "$(in_box ip -o link | wc -l)"
  in_host ip link delete group 7
  in_host ip link delete cni0
  nothing_stays
}

@test "GC everywhere: STATUS with code 50 when the IP pool is exhausted, and GC that frees it" {
  local type
  for type in bridge ptp macvlan tap; do
    run -0 --separate-stderr plugin $type STATUS "$(conf $type "{ \"ipam\": $small }")"
    [ -z "$output$stderr" ]
    run -0 plugin $type ADD "$(conf $type "{ \"ipam\": $small }")"
    refused 50 "no IP addresses available in range set: 10.1.1.1-10.1.1.2" $type STATUS "$(conf $type "{ \"ipam\": $small }")"
    refused 50 "no IP addresses available in range set: 10.1.1.1-10.1.1.2" host-local STATUS "$(conf host-local "{ \"ipam\": $small }")"
    run -0 plugin $type GC "$(conf $type "{ \"ipam\": $small, \"cni.dev/valid-attachments\": [{ \"containerID\": \"c1\", \"ifname\": \"eth0\" }] }")"
    equal 10.1.1.2 "$(held)"
    run -0 plugin $type GC "$(conf $type "{ \"ipam\": $small, \"cni.dev/valid-attachments\": [] }")"
    run -0 plugin $type STATUS "$(conf $type "{ \"ipam\": $small }")"
  done
  nothing_stays
}

@test "atomic cache write, and cached capabilityArgs on DEL" {
  jq -n --argjson bridge "$(bridge_conf)" '{ cniVersion: "1.0.0", name: "net", plugins: [$bridge, { type: "portmap", capabilities: { portMappings: true } }] }' \
    >"$BATS_TEST_TMPDIR/net.conflist"
  # cni COMMAND...: ours as a runtime
  cni() { in_host env NETCONFPATH="$BATS_TEST_TMPDIR" CNI_PATH="$BIN" "$@"; }
  CAP_ARGS='{ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] }' \
    OCINET_AGENT=no cni strace -f -qq -e trace=openat,rename,renameat,renameat2,link,linkat -o "$BATS_TEST_TMPDIR/trace" "$OCINET" cni add net /run/netns/box
  local cached
  cached=$(find "$HOST_DIR/cni/results" -type f)
  # Its name comes only with a rename of what is whole.
  grep -qE "rename.*\"/var/lib/cni/results/${cached##*/}\"" "$BATS_TEST_TMPDIR/trace"
  run -1 grep -E "openat.*\"/var/lib/cni/results/${cached##*/}\".*O_CREAT" "$BATS_TEST_TMPDIR/trace"
  equal 600 "$(stat -c %a "$cached")"
  equal "{ tcp . 8080 : 10.1.1.2 . 80 }" "$(elements ports4)"
  cni "$OCINET" cni del net /run/netns/box
  equal "" "$(elements ports4)"
  nothing_stays
}

@test "dedupe default routes, and apply route mtu and advmss" {
  local bridge
  bridge=$(conf bridge '{ "isDefaultGateway": true, "ipam": { "type": "host-local", "subnet": "10.1.1.0/24",
    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "10.3.0.0/16", "mtu": 1300, "advmss": 1200 }] } }')
  adds bridge "$bridge"
  equal "default via 10.1.1.1 dev eth0" "$(in_box ip route show default | xargs)"
  equal "10.3.0.0/16 via 10.1.1.1 dev eth0 mtu 1300 advmss 1200" "$(in_box ip route show 10.3.0.0/16 | xargs)"
  run -0 plugin bridge CHECK "$(with_result "$bridge" "$RESULT")"
  # They go along into a table of the interface's own.
  run -0 plugin sbr ADD "$(with_result "$(conf sbr)" "$RESULT")"
  equal "10.3.0.0/16 via 10.1.1.1 dev eth0 mtu 1300 advmss 1200" "$(in_box ip route show table 100 10.3.0.0/16 | xargs)"
  run -0 plugin sbr DEL "$(with_result "$(conf sbr)" "$RESULT")"
  run -0 plugin bridge DEL "$bridge"
  nothing_stays
}

@test "loopback version field: each address has it in the versions of CNI that want it" {
  local version
  for version in 0.3.0 0.3.1 0.4.0; do
    adds loopback "$(conf loopback "{}" $version)"
    jq -e '[.ips[] | .version + " " + .address] == ["4 127.0.0.1/8", "6 ::1/128"]' <<<"$RESULT"
    run -0 plugin loopback DEL "$(conf loopback "{}" $version)"
  done
  for version in 0.1.0 0.2.0; do
    adds loopback "$(conf loopback "{}" $version)"
    jq -e '.ip4.ip == "127.0.0.1/8" and .ip6.ip == "::1/128"' <<<"$RESULT"
    run -0 plugin loopback DEL "$(conf loopback "{}" $version)"
  done
  nothing_stays
}
