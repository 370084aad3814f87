#!/usr/bin/env bats
# Addresses by DHCP, from real servers on the far side of a bridge: what they see of us, and what becomes of the client.
# shellcheck disable=SC2016,SC2034,SC2154 # what a hostile server says; for and of dhcp.bash and bats
load lib
load contained
load cni
load dhcp

setup() {
  set_up_hosts
  set_up_plugins
  make_lan
  NET=$(net)
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  remove_lan
  tear_down_hosts
}

# leaves_nothing: neither on the host nor in the namespace, which is there again if it was not
leaves_nothing() {
  wait_for no_clients || fail "$(clients)"
  in_host bash -c '[ -e /run/netns/box ] || ip netns add box'
  run -1 cni_traces
  run -0 in_box ip -o link
  [[ $output != *eth0* ]]
  ocinet gc >/dev/null
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

remember() { snapshot >"$BATS_TEST_TMPDIR/before"; }

@test "address, routes and names are the server's; it sees what is asked for and said, and gets the address back" {
  dhcp_server 10.9.0.50,10.9.0.50 --dhcp-option=6,10.9.0.2,10.9.0.3 --dhcp-option=15,lan.example --dhcp-option=119,a.example,b.example
  remember
  NET=$(net '{ "daemonSocketPath": "/run/cni/dhcp.sock", "priority": 77, "request": [{ "option": "domain-search" }, { "option": "42" }],
    "provide": [{ "option": "host-name", "value": "unused", "fromArg": "NERDCTL_CNI_DHCP_HOSTNAME" }, { "option": "60", "value": "a vendor; \"quoted\"" }] }')
  adds bridge "$NET" "CNI_ARGS=IgnoreUnknown=1;NERDCTL_CNI_DHCP_HOSTNAME=web"
  jq -e '.ips == [{ address: "10.9.0.50/24", gateway: "10.9.0.1", interface: 2 }]
    and .routes == [{ dst: "0.0.0.0/0", gw: "10.9.0.1", priority: 77 }]
    and .dns == { nameservers: ["10.9.0.2", "10.9.0.3"], domain: "lan.example", search: ["a.example", "b.example"] }' <<<"$RESULT"
  equal 10.9.0.50/24 "$(address)"
  run -0 in_box ip -4 route show default
  equal "default via 10.9.0.1 dev eth0 metric 77" "${output% }"
  in_box busybox ping -c 1 -w 10 10.9.0.1

  seen 1 "client provides name: web"
  seen 1 'vendor class: a vendor; "quoted"'
  seen 1 "requested options: 1:netmask, 3:router, 6:dns-server, 15:domain-name, "
  seen 1 "requested options: 42:ntp-server, 119:domain-search"
  # A zero, then c1/net/eth0
  grep -q "10.9.0.50 web 00:63:31:2f:6e:65:74:2f:65:74:68:30$" "$BATS_TEST_TMPDIR/leases"

  run -0 plugin bridge CHECK "$(with_result "$NET" "$RESULT")"
  run -0 plugin bridge DEL "$(with_result "$NET" "$RESULT")"
  seen 1 "DHCPRELEASE(lan) 10.9.0.50"
  leaves_nothing
  run -0 plugin bridge DEL "$NET"
}

@test "what a hostile server says goes no further" {
  dhcp_server 10.9.0.50,10.9.0.59 --dhcp-option-force='15,evil;touch /tmp/x' --dhcp-option-force=119,'*.example,ok.example' \
    --dhcp-option-force=6,127.0.0.53,10.9.0.2 --dhcp-option-force=3,224.0.0.1,10.9.0.1 --dhcp-option-force=12,'$(reboot)' \
    --dhcp-option-force=67,'`reboot`' --dhcp-option=121,10.5.0.0/16,10.9.0.1,10.6.0.0/16,0.0.0.0,10.7.0.0/16,127.0.0.1
  adds bridge "$(net '{ "request": [{ "option": "121" }, { "option": "119" }] }')"
  jq -e '.dns == { nameservers: ["10.9.0.2"], search: ["ok.example"] } and .ips[0].gateway == "10.9.0.1"
    and .routes == [{ dst: "10.5.0.0/16", gw: "10.9.0.1" }, { dst: "10.6.0.0/16", scope: 253 }]' <<<"$RESULT"
  run -0 in_box ip -4 route
  [[ $output == *"10.6.0.0/16 dev eth0 scope link"* ]]
  run -0 plugin bridge DEL "$NET"
  wait_for no_clients
}

@test "without a server there is an error in time, which says how the link is, and nothing else: the device comes back" {
  in_host ip link add name port1 type veth peer name port0
  remember
  local type number=0 pids=()
  for type in bridge host-device tap; do
    plugin $type ADD "$(net "{}" $type '{ "device": "port1" }')" CNI_CONTAINERID=c$number CNI_IFNAME=eth$number >"$BATS_TEST_TMPDIR/$type" 3>&- &
    pids+=($!)
    number=$((number + 1))
  done
  number=0
  for type in bridge host-device tap; do
    wait "${pids[number]}" || (($? == 1))
    jq -e --arg link eth$number '.code == 11 and .msg == "Cannot get an address for \"\($link)\" by DHCP: no server has given one within 10 s"
      and (.details | contains("udhcpc: broadcasting discover"))' "$BATS_TEST_TMPDIR/$type"
    number=$((number + 1))
  done
  jq -e '.details | contains("NO-CARRIER")' "$BATS_TEST_TMPDIR/tap"
  leaves_nothing
  in_host ip link delete port0
}

@test "options that are none are refused before anything is asked" {
  remember
  run -1 plugin bridge ADD "$(net '{ "request": [{ "option": "colour" }] }')"
  jq -e '.code == 7 and (.msg | startswith("Cannot use DHCP option \"colour\": it is neither a number from 1 to 254 nor one of "))' <<<"$output"
  refused 7 "Cannot provide DHCP option 53: the client itself says that" bridge ADD "$(net '{ "provide": [{ "option": "53", "value": "x" }] }')"
  local nobody="Cannot ask for addresses by DHCP: a link of type dummy leads to no server"
  refused 50 "$nobody" dummy ADD "$(net "{}" dummy)"
  nobody="Cannot ask for addresses by DHCP: an ipvlan of mode l3s carries no broadcasts, which only mode l2 does"
  refused 50 "$nobody" ipvlan ADD "$(net "{}" ipvlan '{ "mode": "l3s" }')"
  run -0 plugin ipvlan DEL "$(net "{}" ipvlan '{ "mode": "l3s" }')"
  leaves_nothing
}

# --- how long a lease lasts

@test "leases are not lost when whatever made them restarts: each has a client, which renews it (plugins#235, #767)" {
  printf '%s\n' "start 10.9.0.60" "end 10.9.0.69" "interface lan" "lease_file $BATS_TEST_TMPDIR/udhcpd" "min_lease 10" \
    "pidfile /dev/null" "opt subnet 255.255.255.0" "opt lease 16" >"$BATS_TEST_TMPDIR/udhcpd.conf"
  : >"$BATS_TEST_TMPDIR/udhcpd"
  SEEN=$BATS_TEST_TMPDIR/server.log
  background server in_peer busybox udhcpd -f "$BATS_TEST_TMPDIR/udhcpd.conf"
  seen 1 "started"
  adds bridge "$NET"
  jq -e '(.ips[0].address | test("^10\\.9\\.0\\.6[0-9]/24$")) and (.ips[0] | has("gateway") | not) and (has("routes") | not)' <<<"$RESULT"
  seen 1 "sending ACK"
  seen 2 "sending ACK"
  run -0 plugin bridge CHECK "$(with_result "$NET" "$RESULT")"
  equal "$(jq -r '.ips[0].address' <<<"$RESULT")" "$(address)"
  run -0 plugin bridge DEL "$NET"
  wait_for no_clients
}

@test "an address whose lease is lost is not used any more, until there is that lease again" {
  dhcp_server 10.9.0.50,10.9.0.50 --dhcp-authoritative
  adds bridge "$NET"
  # As sbr has it.
  in_box ip route add default via 10.9.0.1 table 100
  stop server
  mv "$BATS_TEST_TMPDIR/leases" "$BATS_TEST_TMPDIR/old"
  dhcp_server 10.9.0.51,10.9.0.51 --dhcp-authoritative
  kill -USR1 "$(client)"
  seen 1 "DHCPACK(lan) 10.9.0.51"
  wait_for has_address null/null
  refused 999 'the DHCP server gives "eth0" 10.9.0.51/24 by now, which was 10.9.0.50/24' bridge CHECK "$(with_result "$NET" "$RESULT")"
  stop server
  mv "$BATS_TEST_TMPDIR/old" "$BATS_TEST_TMPDIR/leases"
  dhcp_server 10.9.0.50,10.9.0.50 --dhcp-authoritative
  kill -USR1 "$(client)"
  wait_for has_address 10.9.0.50/24
  wait_for plugin bridge CHECK "$(with_result "$NET" "$RESULT")"
  equal "default via 10.9.0.1 dev eth0 default via 10.9.0.1 dev eth0" "$({ in_box ip route show default && in_box ip route show table 100; } | xargs)"
  kill -KILL "$(client)"
  refused 999 'the DHCP client of "eth0" does not run any more' bridge CHECK "$(with_result "$NET" "$RESULT")"
  run -0 plugin bridge DEL "$NET"
  wait_for no_clients
}

has_address() { [ "$(address)" = "$1" ]; }

# --- how long a client lives

@test "DEL without a namespace gives the address back, and so does the client when there is no DEL at all" {
  dhcp_server 10.9.0.50,10.9.0.59
  remember
  adds bridge "$NET"
  run -0 plugin bridge DEL "$NET" CNI_NETNS=
  seen 1 DHCPRELEASE
  in_host ip netns delete box
  leaves_nothing

  adds bridge "$NET"
  in_host ip netns delete box
  run -0 plugin bridge DEL "$NET"
  seen 2 DHCPRELEASE
  leaves_nothing

  adds bridge "$NET"
  in_host ip netns delete box
  wait_for no_clients
  seen 3 DHCPRELEASE
  wait_for no_veth
  run -0 plugin bridge DEL "$NET" CNI_NETNS=
  leaves_nothing
}

no_veth() { ! in_host ip -o link | grep -F veth; }

@test "GC ends the clients of what is not in the list, ADD that of a container of the same name that is gone" {
  dhcp_server 10.9.0.50,10.9.0.59
  remember
  adds bridge "$NET"
  in_host ip netns add other
  adds bridge "$NET" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/other
  run -0 plugin bridge GC "$(jq -c '. + { "cni.dev/valid-attachments": [{ containerID: "c2", ifname: "eth0" }] }' <<<"$NET")" \
    CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  equal 1 "$(clients | grep -c ^busybox)"
  seen 1 DHCPRELEASE
  in_host ip netns exec other ip -o link show dev eth0
  # The name is another namespace's by now.
  in_host ip netns delete other
  in_host ip netns add other
  adds bridge "$NET" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/other
  equal 1 "$(clients | grep -c ^busybox)"
  seen 2 DHCPRELEASE
  run -0 plugin bridge DEL "$NET" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/other
  in_host ip netns delete other
  leaves_nothing
}

@test "ADD killed at any moment: DEL leaves nothing" {
  dhcp_server 10.9.0.50,10.9.0.59
  remember
  local n kills=0
  for n in {1..200}; do
    run killed_after "$n"
    ((status != 0)) || break
    kills=$((kills + 1))
    run -0 plugin bridge DEL "$NET"
    wait_for no_clients || fail "Killed after $n steps:" "$(clients)"
    run -1 cni_traces
  done
  ((kills >= 3 && status == 0)) || fail "$kills kills, then:" "$output"
  run -0 plugin bridge DEL "$NET"
  leaves_nothing
}

killed_after() {
  in_host timeout --foreground --signal KILL "$(printf '%d.%03d' $((25 * $1 / 1000)) $((25 * $1 % 1000)))" env -i PATH="$PATH" OCINET_STATE_DIR="$STATE_DIR" CNI_COMMAND=ADD \
    CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 "CNI_PATH=$BIN" "$BIN/bridge" <<<"$NET"
}

# --- who asks

@test "two interfaces of a container have a client and an address each" {
  dhcp_server 10.9.0.50,10.9.0.59
  remember
  adds bridge "$NET"
  local first=$RESULT second
  second=$(net '{ "priority": 100 }')
  adds bridge "$second" CNI_IFNAME=eth1
  equal "$(jq -r '.ips[0].address' <<<"$RESULT")" "$(address eth1)"
  [ "$(address eth0)" != "$(address eth1)" ]
  run -0 plugin bridge DEL "$NET"
  seen 1 "DHCPRELEASE(lan) $(jq -r '.ips[0].address | split("/")[0]' <<<"$first")"
  run -0 plugin bridge CHECK "$(with_result "$second" "$RESULT")" CNI_IFNAME=eth1
  run -0 plugin bridge DEL "$second" CNI_IFNAME=eth1
  seen 2 DHCPRELEASE
  leaves_nothing
}

@test "macvlan, host-device and tap ask through their links, as plugins and as networks of --net" {
  local type conf
  in_host ip link add name port1 type veth peer name port0
  in_host sysctl -q net.ipv6.conf.port0.disable_ipv6=1
  in_host ip link set dev port0 master lan0 up
  dhcp_server 10.9.0.50,10.9.0.50 "${names[@]}"
  remember
  for type in macvlan host-device tap; do
    conf=$(net "{}" $type '{ "device": "port1" }')
    [ $type != tap ] || plug
    keeps_lease "$conf"
    [ $type != tap ] || { stop inside && stop outside && plug; }
    keeps_lease_of_net "$conf"
  done
  stop inside
  stop outside
  leaves_nothing
  in_host ip link delete port0
}

# plug: joins to the LAN the program that has the tap "eth0" in the box, once there is one; so does a virtual machine's
# monitor. What the program has not read when the tap is deleted is lost.
plug() {
  local cable=$BATS_TEST_TMPDIR/cable
  background outside in_host socat TUN,tun-type=tap,tun-name=tap0,iff-no-pi,iff-up "UNIX-LISTEN:$cable,type=5,unlink-early"
  wait_for in_host ip link set dev tap0 master lan0
  background inside in_box bash -c "$(declare -f wait_for); wait_for ip link show dev eth0; wait_for [ -S $cable ]
    exec socat TUN,tun-type=tap,tun-name=eth0,iff-no-pi UNIX-CONNECT:$cable,type=5"
}

# keeps_lease_of_net JSON: as a network of --net, with a MAC address that is asked for (podman#1136)
keeps_lease_of_net() {
  echo "$1" >"$NET_DIR/net.conf"
  run -0 ocinet up --net net:mac=02:00:00:00:77:01 /run/netns/box
  equal 02:00:00:00:77:01 "$(awk '{ print $2 }' "$LEASES")"
  equal 10.9.0.50/24 "$(address)"
  # So the container knows the server's MAC, and a release waits for no answer to ARP, for which a tap's program takes its time.
  in_box busybox ping -q -c 1 -w 20 10.9.0.1
  ocinet down box
  all_given_back
  rm "$NET_DIR/net.conf"
}

@test "ptp asks the host, whose server takes the ends of the veths for its own link" {
  in_peer ip address delete 10.9.0.1/24 dev lan
  in_host ip address add 10.9.0.1/24 dev lan0
  in_host sysctl -q net.ipv4.conf.all.rp_filter=1
  dhcp_server_for in_host lan0 10.9.0.50,10.9.0.50 "${names[@]}" '--bridge-interface=lan0,veth*'
  remember
  keeps_lease "$(net "{}" ptp)"
  keeps_lease_of_net "$(net "{}" ptp)"
  leaves_nothing
}

@test "neighbours hear of an address that has come to another container" {
  in_host ip address add 10.9.0.3/24 dev lan0
  dhcp_server 10.9.0.50,10.9.0.50
  adds bridge "$NET"
  in_host busybox ping -q -c 1 -w 20 10.9.0.50
  run -0 plugin bridge DEL "$NET"
  adds bridge "$NET" CNI_CONTAINERID=c2
  wait_for host_knows "$(jq -r '.interfaces[2].mac' <<<"$RESULT")" || fail "$(in_host ip neigh)"
  run -0 plugin bridge DEL "$NET" CNI_CONTAINERID=c2
  wait_for no_clients
}

host_knows() { [ "$(in_host ip -j neigh show 10.9.0.50 | jq -r '.[0].lladdr')" = "$1" ]; }

@test "a chain in one process asks as well, after what comes before it is done; what fails later gives the address back" {
  dhcp_server 10.9.0.50,10.9.0.59
  # portmap's, which stays.
  in_host sysctl -q net.ipv4.conf.lan0.route_localnet=1
  remember
  chain() {
    jq -n --argjson net "$NET" --argjson more "$1" '{ cniVersion: "1.1.0", name: "net", plugins: [{ type: "loopback" }, $net, $more,
      { type: "portmap", capabilities: { portMappings: true } }] }' >"$BATS_TEST_TMPDIR/net.conflist"
  }
  export NETCONFPATH=$BATS_TEST_TMPDIR CNI_CONTAINERID=c1 CAP_ARGS='{ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] }'
  chain '{ "type": "tuning", "mtu": 1400, "mac": "02:00:00:00:77:01" }'
  run -0 --separate-stderr ocinet cni add net /run/netns/box
  jq -e '.ips[0].address | startswith("10.9.0.5")' <<<"$output"
  [[ $(elements ports4) == *10.9.0.5* ]]
  # The server knows the address that stays (podman#1136).
  [ "$(awk '{ print $2 }' "$LEASES")" = 02:00:00:00:77:01 ]
  run -0 ocinet cni check net /run/netns/box
  run -0 ocinet cni gc net
  seen 1 DHCPRELEASE
  run -1 cni_traces
  chain '{ "type": "tuning", "sysctl": { "net.ipv4.conf.IFNAME.none": "1" } }'
  run -1 ocinet cni add net /run/netns/box
  [[ $output == *' failed (add): '*"conf/eth0/none"* ]]
  seen 2 DHCPRELEASE
  in_box ip link set dev lo down
  in_host rm -rf /var/lib/cni/results
  leaves_nothing
}

@test "containers on a network of --net, too: names from the server, delete, gc, and a dry run that asks no server" {
  dhcp_server 10.9.0.50,10.9.0.50 "${names[@]}"
  echo "$NET" >"$NET_DIR/net.conf"
  remember
  run -0 ocinet up --dry-run --net net /run/netns/box
  [[ $output == *"udhcpc -f"* && $output == *"address replace 0.0.0.0/24 dev eth0"* ]]
  wait_for no_clients
  launch c1 runc --net net
  run -0 ocinet inspect c1
  jq -e '.[0].networks[0].ips == ["10.9.0.50/24"]' <<<"$output"
  equal "eth0 10.9.0.50/24" "$(addresses c1)"
  equal "# Generated by ocinet from network net nameserver 10.9.0.2 domain lan.example" "$(exec_container c1 cat /etc/resolv.conf | xargs)"
  delete_container c1
  all_given_back
  run -0 ocinet up --net net /run/netns/box
  in_host ip netns delete box
  # The client is in the namespace, which lives until that has seen that its path is gone.
  wait_for no_clients
  run -0 ocinet gc
  all_given_back
  in_host rm -rf /var/lib/cni/results
  leaves_nothing
}

@test "it is the IPAM plugin of others, too" {
  dhcp_server 10.9.0.50,10.9.0.59
  local theirs
  theirs=$(net "{}" bridge '{ "cniVersion": "1.0.0" }')
  remember
  PLUGINS=/usr/lib/cni adds bridge "$theirs" "CNI_PATH=/usr/lib/cni-none:$BIN"
  equal "$(jq -r '.ips[0].address' <<<"$RESULT")" "$(address)"
  run -0 plugin dhcp CHECK "$(with_result "$theirs" "$RESULT")"
  PLUGINS=/usr/lib/cni run -0 plugin bridge DEL "$theirs" "CNI_PATH=/usr/lib/cni-none:$BIN"
  leaves_nothing
}

# --- what is not there

@test "STATUS says 50 where there is no client to run" {
  run -0 plugin bridge STATUS "$NET" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  in_host mount --bind /dev/null "$(readlink -f "$(type -P busybox)")"
  local no='Cannot ask for addresses by DHCP: neither program "udhcpc" nor "busybox" is on PATH; install udhcpc'
  run -1 --separate-stderr plugin bridge STATUS "$NET" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  jq -e --arg no "$no" '.code == 50 and .msg == $no' <<<"$output"
  run -1 --separate-stderr plugin dhcp STATUS "$NET" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  jq -e '.code == 50' <<<"$output"
  run -1 --separate-stderr plugin bridge ADD "$NET"
  jq -e '.code == 50' <<<"$output"
  in_host umount "$(readlink -f "$(type -P busybox)")"
  run -1 cni_traces
}

@test "a start of the reference plugin's daemon is told that there is none, by either name" {
  run -0 --separate-stderr in_host "$BIN/dhcp" daemon -socketpath /run/cni/dhcp.sock
  [[ -z $output && $stderr == "ocinet: no DHCP daemon is needed, and none was started: "* ]]
  run -0 --separate-stderr ocinet dhcp daemon
  [[ -z $output && $stderr == "ocinet: no DHCP daemon is needed, and none was started: "* ]]
}
