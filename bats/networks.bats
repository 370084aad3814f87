#!/usr/bin/env bats
# Networks as objects: made, listed, shown and removed; containers that run are connected and disconnected, and know each
# other by name.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

net() { ocinet network "$@"; }

# refuses MESSAGE WORDS...: of `ocinet network`, with exit status STATUS or 1
refuses() {
  run "-${STATUS:-1}" --separate-stderr net "${@:2}"
  [[ $stderr == "ocinet: $1"* ]] || fail "$stderr"
}

# shows TEMPLATE NETWORK EXPECTED
shows() { equal "$3" "$(net inspect -f "$1" "$2")"; }

hosts_of() { exec_container "$1" cat /etc/hosts; }

# knows ID NAME: its hosts file has an address of each family for the name, or one, and these answer
knows() {
  local address addresses
  mapfile -t addresses < <(hosts_of "$1" | awk -v name="$2" '{ for (i = 2; i <= NF; i++) if ($i == name) print $1 }')
  ((${#addresses[@]} > 0)) || fail "$1 does not know $2:" "$(hosts_of "$1")"
  for address in "${addresses[@]}"; do reaches "$address" in_container "$1"; done
}

@test "networks are made, listed, shown and removed, and of one name made at once there is one" {
  run -0 net create --subnet 10.5.0.0/24 --ip-range 10.5.0.128/25 --label eu --ipv6 shop
  [[ $output =~ ^[0-9a-f]{64}$ ]] || fail "$output"
  local id=$output
  jq -e '.name == "shop" and .plugins[0].type == "bridge"' "$NET_DIR/shop.conflist"
  shows '{{.Id}} {{(index .IPAM.Config 0).Gateway}} {{.EnableIPv6}}' "${id:0:6}" "$id 10.5.0.128 true"
  equal "${id:0:12}" "$(net ls -q --filter label=eu)"
  equal "default default-restricted host none shop" "$(net ls --format '{{.Name}}' | xargs)"
  equal shop "$(net ls --format json -f type=custom | jq -r .Name)"
  network blue.conf blue ptp 10.6.0.0/24
  shows '{{.Driver}} {{range .IPAM.Config}}{{.Subnet}}{{end}}' blue "ptp 10.6.0.0/24"

  local i one=0 pids=()
  for i in 1 2 3 4; do
    net create same >"$BATS_TEST_TMPDIR/same$i" 2>&1 3>&- &
    pids+=($!)
  done
  wait "${pids[@]}" || true
  for i in 1 2 3 4; do
    if grep -Eq '^[0-9a-f]{64}$' "$BATS_TEST_TMPDIR/same$i"; then ((++one)); else
      equal "ocinet: network with name same already exists" "$(<"$BATS_TEST_TMPDIR/same$i")"
    fi
  done
  equal 1 $one

  refuses "network with name shop already exists" create shop
  refuses "Pool overlaps with other one on this address space: 10.5.0.0/25 of network x and 10.5.0.0/24" \
    create --subnet 10.5.0.0/25 x
  STATUS=2 refuses "operation is not permitted on predefined host network" create host
  refuses "default is a pre-defined network and cannot be removed" rm default
  refuses "network nosuch not found" rm nosuch
  run -0 net rm -f nosuch
  run -1 --separate-stderr net inspect nosuch same
  equal same "$(jq -r '.[].Name' <<<"$output")"

  launch a runc --net shop
  equal "eth0 10.5.0.129/24" "$(addresses a | grep -v :)"
  refuses 'network shop has active endpoints (name:"a" id:"' rm shop
  shows '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' shop "a 10.5.0.129/24"
  equal "shop a 10.5.0.129/24 masquerade" "$(ocinet map --json | jq -r '"\(.networks[].name) \(.containers[] |
    "\(.id) \(.interfaces[0].ips[0])") \(.ways[].kind)"')"
  grep -Fq "  eth0 10.5.0.129/24 " <(ocinet map)
  equal "blue same" "$(net prune --json | jq -r 'sort | join(" ")')"
  delete_container a
  equal shop "$(net rm shop)"
  equal "" "$(ls "$NET_DIR")"
  run ! in_host ip link show "br-${id:0:12}"
}

@test "a running container is connected and disconnected, with its names, routes and ports" {
  net create --subnet 10.5.0.0/24 shop
  net create --subnet 10.6.0.0/24 --subnet fd00:6::/64 --ipv6 db
  launch a runc --net shop -p 8080:80
  launch b crun --net "db:alias=store;ip=10.6.0.9"
  run ! exec_container a ping -q -c 1 -W 1 10.6.0.9
  net connect --alias front --mac-address 02:00:00:00:06:07 --ip 10.6.0.7 db a
  equal "eth0 10.5.0.2/24 eth1 10.6.0.7/24" "$(addresses a | grep -v : | xargs)"
  equal "10.5.0.1 eth0 fd00:6::1 eth1" "$(default_routes a | xargs)"
  equal 02:00:00:00:06:07 "$(net inspect -f '{{.Containers.a.MacAddress}}' db)"
  equal "shop db" "$(ocinet inspect a | jq -r '.[0].networks | map(.name) | join(" ")')"
  refuses "endpoint with name a already exists in network db" connect db a
  refuses "no configured subnet contains IP address 10.7.0.1" connect --ip 10.7.0.1 shop b
  refuses "Cannot change the networks of container \"none\": it is not attached" connect shop none

  # A network that gives no addresses by itself.
  local fixed='{"cniVersion":"1.0.0","name":"fixed","plugins":[{"type":"bridge","bridge":"fixed0","ipam":{"type":"static"}}]}'
  echo "$fixed" >"$NET_DIR/fixed.conflist"
  refuses 'Cannot use network "fixed"' connect --ip 10.8.0.9 fixed a
  [[ $stderr == *"NOT in CIDR notation, got: '10.8.0.9'"* ]]
  net connect --ip 10.8.0.9/24 fixed a
  equal "eth2 10.8.0.9/24" "$(addresses a | grep eth2 | grep -v : | xargs)"
  net disconnect fixed a
  rm "$NET_DIR/fixed.conflist"

  # Names of a network are seen on it alone.
  knows a store
  knows b front
  knows b a
  hosts_of a | grep -q '^fd00:6::.* b .*store'
  launch c runc --net shop
  knows c a
  run ! grep -E ' (b|store|front)\b' <<<"$(hosts_of c)"
  run -0 ocinet repair a
  equal "" "$output"

  # A network of another directory.
  mkdir "$BATS_TEST_TMPDIR/own"
  network "$BATS_TEST_TMPDIR/own/far.conflist" far bridge 10.8.0.0/24
  refuses "network far not found" connect far c
  net connect --net-dir "$BATS_TEST_TMPDIR/own" far c
  equal "eth1 10.8.0.2/24" "$(addresses c | grep eth1)"
  net disconnect --net-dir "$BATS_TEST_TMPDIR/own" far c

  # Of two addresses one is the gateway's (RFC 3021).
  net create --subnet 10.9.0.0/31 pair
  net connect pair c
  equal "eth1 10.9.0.1/31" "$(addresses c | grep eth1)"
  serve tcp 81 in_host
  equal 10.9.0.1 "$(ask tcp 10.9.0.0 81 in_container c)"
  net disconnect pair c

  # The greatest priority has the way out.
  net disconnect db a
  run ! grep store <<<"$(hosts_of a)"
  run ! grep front <<<"$(hosts_of b)"
  net connect --gw-priority 5 --ifname wan0 db a
  equal "10.6.0.1 wan0 fd00:6::1 wan0" "$(default_routes a | xargs)"
  net disconnect db a
  equal "10.5.0.1 eth0" "$(default_routes a | xargs)"
  refuses "container a is not connected to network db" disconnect db a

  # Ports follow.
  serve tcp 80 in_container a
  net connect db a
  net disconnect shop a
  equal "eth1" "$(addresses a | cut -d' ' -f1 | uniq)"
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"

  # Not to an internal network: they open with another one.
  net create --internal --subnet 10.7.0.0/24 vault
  net connect vault a
  run -0 --separate-stderr net disconnect db a
  equal 'ocinet: published ports stay closed: network "vault" is internal' "$stderr"
  unanswered tcp 192.0.2.1 8080 in_peer
  equal "8080:80/tcp none" "$(ocinet port ls a)"
  net connect shop a
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  # Who has talked to an address reaches the next container that has it.
  net connect --ip 10.5.0.77 shop b
  reaches 10.5.0.77 in_container c
  net disconnect shop b
  net disconnect shop a
  net connect --ip 10.5.0.77 shop a
  run -0 in_container c busybox ping -q -c 1 -W 1 10.5.0.77
  delete_container b
  run ! grep store <<<"$(hosts_of a)"
  delete_container a
  delete_container c
  run -0 net rm shop db vault
  equal "" "$(find "$STATE_DIR/names" -type f 2>/dev/null)"
  own_elements && fail "elements are left"
  true
}

@test "a command that is killed while connecting leaves nothing that the next command does not end" {
  net create --subnet 10.5.0.0/24 shop
  net create --subnet 10.6.0.0/24 db
  launch a runc --net shop
  local before wait
  before=$(addresses a)
  for wait in 0.1 0.2 0.3 0.5; do
    in_host sh -c 'exec timeout -s KILL "$@"' sh "$wait" "$OCINET" network connect db a || true
    ocinet gc
    net disconnect db a 2>/dev/null || true
    equal "$before" "$(addresses a)"
    equal "" "$(find "$STATE_DIR/networks/db" -name '10.*' 2>/dev/null)"
  done
  net connect db a
  delete_container a
  net rm shop db
}

@test "options of drivers: internal, no traffic between containers, the address of ports, a parent" {
  local bridge=com.docker.network.bridge
  net create --internal --subnet 10.8.0.0/24 inside
  net create -o $bridge.enable_icc=false -o $bridge.host_binding_ipv4=127.0.0.1 -o $bridge.name=apart0 \
    -o com.docker.network.driver.mtu=1400 --subnet 10.9.0.0/24 apart
  net create -d macvlan -o parent=eth0 --subnet 192.0.2.0/24 --ip-range 192.0.2.128/25 lan
  launch a runc --net inside
  equal "" "$(default_routes a)"
  in_container a ip route add default via 10.8.0.1
  reaches 10.8.0.1 in_container a
  cannot_reach 192.0.2.2 in_container a
  launch b runc --net apart -p 8080:80
  launch c crun --net apart
  equal "127.0.0.1:8080:80/tcp nftables" "$(ocinet port ls b)"
  equal "1400 apart0" "$(in_host ip -j link show master apart0 | jq -r '.[0] | "\(.mtu) \(.master)"')"
  reaches 192.0.2.2 in_container b
  cannot_reach 10.9.0.3 in_container b
  launch d runc --net lan
  reaches 192.0.2.2 in_container d
  equal "" "$(default_routes d)"
  refuses "network lan is already using parent interface eth0" create -d ipvlan -o parent=eth0 more
  # Gateway modes: routed opens the published port alone, by the container's address, and leaves the host's port free;
  # nat-unprotected opens all ports; isolated leaves the bridge without an address.
  local mode=$bridge.gateway_mode_ipv4
  net create -o $mode=routed --subnet 10.12.0.0/24 led
  net create -o $mode=nat-unprotected --subnet 10.13.0.0/24 bare
  net create --internal -o $mode=isolated -o $bridge.name=alone0 --subnet 10.14.0.0/24 alone
  in_peer ip route add 10.12.0.0/14 via 192.0.2.1
  launch e runc --net led -p 8080:80
  launch f runc --net led -p 8080:80
  launch g runc --net bare
  launch h runc --net alone
  serve tcp 80 in_container e
  serve tcp 81 in_container e
  serve tcp 82 in_container g
  serve tcp 83 in_peer
  equal 192.0.2.2 "$(ask tcp 10.12.0.2 80 in_peer)"
  equal 10.12.0.1 "$(ask tcp 10.12.0.2 80 in_container g)"
  unanswered tcp 10.12.0.2 81 in_peer
  unanswered tcp 192.0.2.1 8080 in_peer
  equal 10.12.0.2 "$(ask tcp 192.0.2.2 83 in_container e)"
  equal "8080:80/tcp routed" "$(ocinet port ls e)"
  ocinet port add e 8081:81
  equal 192.0.2.2 "$(ask tcp 10.12.0.2 81 in_peer)"
  ocinet port rm e 8081
  unanswered tcp 10.12.0.2 81 in_peer
  equal 192.0.2.2 "$(ask tcp 10.13.0.2 82 in_peer)"
  equal "" "$(in_host ip -4 -o address show dev alone0)"
  # Each family has its own mode: IPv4 is translated, IPv6 has the port on the container's address.
  local six=$bridge.gateway_mode_ipv6
  net create -o $six=routed --subnet 10.15.0.0/24 --subnet fd00:15::/64 dual
  net create -o $mode=routed -o $six=nat-unprotected --subnet 10.16.0.0/24 --subnet fd00:16::/64 mixed
  net create --internal -o $mode=isolated -o $bridge.name=half0 --subnet 10.17.0.0/24 --subnet fd00:17::/64 half
  in_peer ip route add 10.16.0.0/15 via 192.0.2.1
  in_peer ip route add fd00:10::/28 via 2001:db8:1::1
  launch i runc --net dual -p 8084:84
  launch j runc --net mixed -p 8086:86
  launch k runc --net half
  # A container on two networks reaches what is routed, by either.
  net connect dual g
  equal 10.12.0.1 "$(ask tcp 10.12.0.2 80 in_container g)"
  net disconnect bare g
  equal 10.12.0.1 "$(ask tcp 10.12.0.2 80 in_container g)"
  net disconnect dual g
  serve tcp 84 in_container i
  serve tcp 85 in_container i
  serve tcp 86 in_container j
  serve tcp 87 in_container j
  local turn
  for turn in started connected repaired; do
    equal "8084:84/tcp nftables+routed" "$(ocinet port ls i)"
    equal 192.0.2.2 "$(ask tcp 192.0.2.1 8084 in_peer)"
    equal 2001:db8:1::2 "$(ask tcp fd00:15::2 84 in_peer)"
    equal 192.0.2.1 "$(ask tcp 192.0.2.2 83 in_container i)"
    equal fd00:15::2 "$(ask tcp 2001:db8:1::2 83 in_container i)"
    unanswered tcp 10.15.0.2 84 in_peer
    unanswered tcp fd00:15::2 85 in_peer
    unanswered tcp 2001:db8:1::1 8084 in_peer
    case $turn in
      started) net disconnect dual i && net connect --ip 10.15.0.2 --ip6 fd00:15::2 dual i ;;
      connected) in_host nft delete table inet ocinet && ocinet repair i j k ;;
    esac
  done
  equal 192.0.2.2 "$(ask tcp 10.16.0.2 86 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp fd00:16::2 87 in_peer)"
  equal 10.16.0.2 "$(ask tcp 192.0.2.2 83 in_container j)"
  equal 2001:db8:1::1 "$(ask tcp 2001:db8:1::2 83 in_container j)"
  unanswered tcp 10.16.0.2 87 in_peer
  unanswered tcp fd00:16::2 87 in_container i
  equal fd00:17::1 "$(in_host ip -j address show dev half0 | jq -r '.[].addr_info[] | select(.scope == "global").local')"
  reaches fd00:17::1 in_container k
  local id
  for id in a b c d e f g h i j k; do delete_container $id; done
  net rm inside apart lan led bare alone dual mixed half
}
