#!/usr/bin/env bats
# The types that change what others made: what they do to real traffic, and that nothing of it stays.
load lib
load contained
load links

# list NAME SUBNETS PLUGIN...: a network with bridge NAME0 and, after that, these plugins
list() {
  local file=$NET_DIR/$1.conflist plugin changed
  network "$1.conflist" "$1" bridge "$2"
  for plugin in "${@:3}"; do
    changed=$(jq --argjson plugin "$plugin" '.plugins += [$plugin]' "$file")
    echo "$changed" >"$file"
  done
}

# refused MESSAGE PLUGIN: no namespace can be attached to a network with that plugin
refused() {
  list bad 10.9.9.0/24 "$2"
  add_box bad
  run -1 --separate-stderr ocinet up --net-dir "$NET_DIR" --net bad /run/netns/bad
  # shellcheck disable=SC2154 # run sets it
  [[ $stderr == *"$1"* ]] || fail "$stderr"
  in_host ip netns delete bad
  rm "$NET_DIR/bad.conflist"
}

# called TYPE COMMAND BOX JSON: that plugin, as a CNI runtime calls it
called() {
  ln -sfn "$OCINET" "$BATS_TEST_TMPDIR/$1"
  in_host env CNI_COMMAND="$2" CNI_CONTAINERID="$3" CNI_NETNS="/run/netns/$3" CNI_IFNAME=eth0 CNI_PATH=/none \
    "$BATS_TEST_TMPDIR/$1" <<<"$4"
}

# called_as IFNAME TYPE COMMAND BOX JSON: the same for another interface
called_as() {
  ln -sfn "$OCINET" "$BATS_TEST_TMPDIR/$2"
  in_host env CNI_COMMAND="$3" CNI_CONTAINERID="$4" CNI_NETNS="/run/netns/$4" CNI_IFNAME="$1" CNI_PATH=/none \
    "$BATS_TEST_TMPDIR/$2" <<<"$5"
}

# leaves_nothing NET: the first law. Forwarding is meant to stay on.
leaves_nothing() {
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  keeps_law "$1"
}

# --- bandwidth

slow='{ "type": "bandwidth", "ingressRate": 16000000, "ingressBurst": 400000,
  "egressRate": 8000000, "egressBurst": 400000 }'
megabyte='SYSTEM:head -c 1237500 /dev/zero'

@test "bandwidth holds traffic to and from the container to its limits" {
  list slow 10.1.1.0/24 "$slow"
  up a slow
  local ifb
  ifb=$(in_host ip -j link show type ifb | jq -r '.[].ifname')
  [[ $ifb =~ ^bwp[0-9a-f]{12}$ ]]
  equal "qdisc tbf 1: root rate 16Mbit burst 50000b lat 25ms" "$(root_qdisc "$(port_of slow0)")"
  equal "qdisc tbf 1: root rate 8Mbit burst 50000b lat 25ms" "$(root_qdisc "$ifb")"
  # A megabyte and a quarter, less the burst: a bucket never lets more pass, however busy the machine is.
  background to in_host socat -u "$megabyte" TCP4-LISTEN:5201
  takes 593750 in_box a socat -u TCP4:10.1.1.1:5201,retry=100,interval=0.1 OPEN:/dev/null
  background from in_box a socat -u "$megabyte" TCP4-LISTEN:5201
  takes 1187500 in_host socat -u TCP4:10.1.1.2:5201,retry=100,interval=0.1 OPEN:/dev/null
  down a
}

port_of() { in_host ip -j link show type veth master "$1" | jq -r '.[].ifname'; }
root_qdisc() { in_host tc qdisc show dev "$1" root | sed 's/ refcnt [0-9]*//; s/ *$//'; }

@test "bandwidth of one direction leaves the other alone" {
  list slow 10.1.1.0/24 '{ "type": "bandwidth", "ingressRate": 16000000, "ingressBurst": 400000 }'
  up a slow
  equal "" "$(in_host ip -j link show type ifb | jq -r '.[].ifname')"
  equal "qdisc tbf 1: root rate 16Mbit burst 50000b lat 25ms" "$(root_qdisc "$(port_of slow0)")"
  equal "" "$(in_host tc filter show dev "$(port_of slow0)" parent ffff: 2>&1)"
  down a
}

@test "bandwidth finds the host's end of a veth that another program made" {
  add_box a
  in_host ip link add name other0 type veth peer name eth0 netns a
  in_host ip link add name unrelated type veth peer name unrelated2
  local conf
  conf=$(jq -n --argjson slow "$slow" '$slow + { cniVersion: "1.0.0", name: "n", prevResult: { cniVersion: "1.0.0",
    interfaces: [{ name: "unrelated" }, { name: "other0" }, { name: "eth0", sandbox: "/run/netns/a" }] } }')
  called bandwidth ADD a "$conf" >"$BATS_TEST_TMPDIR/result"
  equal "unrelated other0 eth0" "$(jq -r '[.interfaces[].name][:3] | join(" ")' "$BATS_TEST_TMPDIR/result")"
  equal "qdisc tbf 1: root rate 16Mbit burst 50000b lat 25ms" "$(root_qdisc other0)"
  equal "" "$(root_qdisc unrelated | grep tbf)"
  in_host tc qdisc delete dev other0 root
  in_host tc qdisc delete dev other0 ingress
  called bandwidth DEL a "$conf"
  called bandwidth ADD a "$conf" >"$BATS_TEST_TMPDIR/result"
  called bandwidth DEL a "$conf"
  equal "" "$(in_host tc qdisc show | grep -E 'tbf|ingress')"
  equal "[]" "$(in_host ip -j link show type ifb | jq -c 'map(select(. != {}))')"
  in_host ip link delete unrelated
  in_host ip netns delete a
}

@test "bandwidth has its filter in the qdisc of another program, and takes only that away (plugins#894)" {
  add_box a
  in_host ip link add name other0 type veth peer name eth0 netns a
  local conf qdiscs kind
  conf=$(jq -n --argjson slow "$slow" '$slow + { cniVersion: "1.0.0", name: "n", prevResult: { cniVersion: "1.0.0",
    interfaces: [{ name: "other0" }, { name: "eth0", sandbox: "/run/netns/a" }] } }')
  for kind in clsact "handle ffff: ingress"; do
    # shellcheck disable=SC2086 # words
    in_host tc qdisc add dev other0 $kind
    in_host tc filter add dev other0 parent ffff:fff2 protocol ip prio 1 u32 match u32 0 0 flowid 1:7
    qdiscs=$(in_host tc qdisc show dev other0 && in_host tc filter show dev other0 ingress)
    called bandwidth ADD a "$conf" >"$BATS_TEST_TMPDIR/result"
    in_host tc filter show dev other0 ingress | grep -q "Redirect to device bwp"
    called bandwidth CHECK a "$(jq --slurpfile made "$BATS_TEST_TMPDIR/result" '.prevResult = $made[0]' <<<"$conf")"
    called bandwidth DEL a "$conf"
    equal "$qdiscs" "$(in_host tc qdisc show dev other0 && in_host tc filter show dev other0 ingress)"
    # Nor when the record is lost.
    called bandwidth ADD a "$conf" >"$BATS_TEST_TMPDIR/result"
    in_host rm -r "$STATE_DIR/containers"
    called bandwidth DEL a "$(jq --slurpfile made "$BATS_TEST_TMPDIR/result" '.prevResult = $made[0]' <<<"$conf")"
    equal "$qdiscs" "$(in_host tc qdisc show dev other0 && in_host tc filter show dev other0 ingress)"
    in_host tc qdisc del dev other0 "${kind##* }"
  done
  # A root queue there can be but one of.
  in_host tc qdisc add dev other0 root handle 7: tbf rate 5mbit burst 10kb latency 25ms
  run -1 called bandwidth ADD a "$conf"
  [[ $output == *'it has a queue of another program, \"tbf\" with handle 7:; tc qdisc del dev other0 root takes that away'* ]] || fail "$output"
  called bandwidth DEL a "$conf"
  in_host tc qdisc show dev other0 | grep -q "tbf 7:"
  in_host tc qdisc del dev other0 root
  # containerd's burst is more than newer versions of tc take: it is cut to 274.9 s of the rate.
  conf=$(jq '.ingressRate = 8000000 | .ingressBurst = 4294967295' <<<"$conf")
  called bandwidth ADD a "$conf" >"$BATS_TEST_TMPDIR/result"
  in_host tc -j -raw qdisc show dev other0 root | jq -e '.[0].options.burst | . > 274877900 and . <= 274877906'
  called bandwidth CHECK a "$(jq --slurpfile made "$BATS_TEST_TMPDIR/result" '.prevResult = $made[0]' <<<"$conf")"
  called bandwidth DEL a "$conf"
  in_host ip netns delete a
}

@test "bandwidth leaves nothing" {
  list slow 10.1.1.0/24 "$slow"
  leaves_nothing slow
}

# --- firewall

@test "without a policy no host outside reaches a container; with one they do" {
  list shut 10.1.1.0/24,fd00:1::/64 '{ "type": "firewall" }'
  list open 10.1.2.0/24,fd00:2::/64 '{ "type": "firewall", "backend": "", "ingressPolicy": "open" }'
  route_to_containers
  up a shut
  up b open
  reaches 10.1.2.2 in_peer
  reaches fd00:2::2 in_peer
  reaches 10.1.2.2 in_box a
  cannot_reach 10.1.1.2 in_peer
  cannot_reach fd00:1::2 in_peer
  cannot_reach 10.1.1.2 in_box b
  down a b
}

route_to_containers() {
  in_peer ip route add 10.1.0.0/16 via 192.0.2.1
  in_peer ip route add fd00::/16 via 2001:db8:1::1
}

@test "same-bridge shuts out the containers of other networks, and only them" {
  list blue 10.1.1.0/24,fd00:1::/64 '{ "type": "firewall", "ingressPolicy": "same-bridge" }'
  list red 10.1.2.0/24,fd00:2::/64 '{ "type": "firewall", "ingressPolicy": "same-bridge" }'
  list plain 10.1.3.0/24,fd00:3::/64
  route_to_containers
  up blue1 blue
  up blue2 blue
  up red1 red
  ocinet_up_published red2 red
  up plain1 plain
  local address
  for address in 10.1.1.2 fd00:1::2; do
    reaches $address in_peer
    reaches $address in_host
    reaches $address in_box blue2
  done
  reaches 192.0.2.2 in_box red1
  reaches 2001:db8:1::2 in_box red1
  for address in 10.1.1.2 fd00:1::2; do
    cannot_reach $address in_box red1
    cannot_reach $address in_box plain1
  done
  serve tcp 80 in_box red2
  ask tcp 192.0.2.1 8080 in_peer
  ask tcp 192.0.2.1 8080 in_box red1
  # What the world reaches by the host's address, a network that is kept apart does too (nerdctl#5228).
  ask tcp 192.0.2.1 8080 in_box blue1
  # It gives an address that is not its own.
  local before
  before=$(echoes blue1)
  in_box red1 ip address add 198.51.100.9/32 dev lo
  run ! in_box red1 busybox ping -q -c 3 -i 0.1 -W 1 -I 198.51.100.9 10.1.1.2
  equal "$before" "$(echoes blue1)"
  reaches 10.1.1.2 in_peer
  equal $((before + 1)) "$(echoes blue1)"
  stop_background
  down blue1 blue2 red1 red2 plain1
}

echoes() { in_box "$1" nstat -asz IcmpInEchos | awk '/InEchos/ { print $2 }'; }

ocinet_up_published() {
  add_box "$1"
  ocinet up --net-dir "$NET_DIR" --net "$2" -p 8080:80 "/run/netns/$1"
}

@test "isolated shuts out neighbours too, also those who go through the host" {
  list blue 10.1.1.0/24,fd00:1::/64 '{ "type": "firewall", "ingressPolicy": "isolated" }'
  route_to_containers
  up a blue
  up b blue
  local address
  for address in 10.1.1.2 fd00:1::2; do
    reaches $address in_peer
    reaches $address in_host
  done
  reaches 192.0.2.2 in_box b
  reaches 2001:db8:1::2 in_box b
  cannot_reach 10.1.1.2 in_box b
  cannot_reach fd00:1::2 in_box b
  in_box b ip route add 10.1.1.2/32 via 10.1.1.1
  in_box b ip route add fd00:1::2/128 via fd00:1::1
  cannot_reach 10.1.1.2 in_box b
  cannot_reach fd00:1::2 in_box b
  down a b
}

@test "a firewall plugin that another runtime calls lets traffic pass where the host forwards nothing" {
  in_host iptables-nft -P FORWARD DROP
  in_host sysctl -q net.ipv4.ip_forward=1
  # An administrator's chain, and the call of it, stay, as the reference's do.
  local program
  for program in iptables ip6tables; do
    in_host $program -N CNI-ADMIN
    in_host $program -I FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
  done
  snapshot >"$BATS_TEST_TMPDIR/host"
  add_box a
  in_host ip link add name other0 type veth peer name eth0 netns a
  in_host ip address add 10.1.1.1/24 dev other0
  in_host ip link set dev other0 up
  in_box a ip address add 10.1.1.2/24 dev eth0
  in_box a ip link set dev eth0 up
  in_box a ip route add default via 10.1.1.1
  in_peer ip route add 10.1.1.0/24 via 192.0.2.1
  cannot_reach 192.0.2.2 in_box a
  local conf='{ "cniVersion": "1.0.0", "name": "n", "backend": "iptables", "prevResult": { "cniVersion": "1.0.0",
    "interfaces": [{ "name": "other0" }, { "name": "eth0", "sandbox": "/run/netns/a" }],
    "ips": [{ "address": "10.1.1.2/24", "interface": 1 }] } }'
  called firewall ADD a "$conf" | jq -e '.ips[0].address == "10.1.1.2/24"'
  reaches 192.0.2.2 in_box a
  cannot_reach 10.1.1.2 in_peer
  called firewall DEL a "$conf"
  cannot_reach 192.0.2.2 in_box a
  in_host ip netns delete a
  ocinet gc
  find "$STATE_DIR" -mindepth 1 -type d -empty -delete
  assert_same_snapshot "$BATS_TEST_TMPDIR/host"
}

@test "firewall leaves nothing" {
  list blue 10.1.1.0/24,fd00:1::/64 '{ "type": "firewall", "backend": "nftables", "ingressPolicy": "isolated" }'
  leaves_nothing blue
}

@test "macspoofchk lets out no frame from another's MAC address, portIsolation none to another port" {
  network checked.conf checked bridge 10.1.1.0/24 '{ "macspoofchk": true }'
  network free.conf free bridge 10.1.2.0/24
  network apart.conf apart bridge 10.1.3.0/24,fd00:3::/64 '{ "portIsolation": true }'
  local net
  for net in checked free apart; do
    up ${net}1 $net
    up ${net}2 $net
  done
  is_heard checked1 10.1.1.3 checked2
  for net in checked free; do in_box ${net}1 ip link set dev eth0 address 02:00:00:00:00:99; done
  is_heard free1 10.1.2.3 free2
  run -1 is_heard checked1 10.1.1.3 checked2
  reaches 192.0.2.2 in_box apart1
  reaches 2001:db8:1::2 in_box apart1
  reaches 10.1.3.3 in_host
  cannot_reach 10.1.3.3 in_box apart1
  cannot_reach fd00:3::3 in_box apart1
  down checked1 checked2 free1 free2 apart1 apart2
}

# is_heard FROM ADDRESS AT: pings come to the box that has the address, whether or not its answers come back
is_heard() {
  local before
  before=$(echoes "$3")
  in_box "$1" busybox ping -q -c 3 -i 0.1 -W 1 "$2" || true
  (($(echoes "$3") > before))
}

# --- tuning

@test "tuning sets sysctls and the link, and says the new address" {
  list tuned 10.1.1.0/24 '{ "type": "tuning", "mac": "02:11:22:33:44:55", "mtu": 1400, "promisc": true,
    "allmulti": true, "txQLen": 77, "sysctl": { "net.ipv4.conf.IFNAME.log_martians": "1",
    "net.core.somaxconn": "500", "net/ipv4/ip_local_port_range": "2000 3000" } }'
  up a tuned
  equal '["02:11:22:33:44:55",1400,77,true,true]' \
    "$(link_of a eth0 '[.address, .mtu, .txqlen, (.flags | contains(["PROMISC"]), contains(["ALLMULTI"]))]')"
  equal "1 500 2000 3000" "$(in_box a sysctl -n net.ipv4.conf.eth0.log_martians net.core.somaxconn \
    net.ipv4.ip_local_port_range | xargs)"
  reaches 10.1.1.2 in_host
  result a | jq -e '.mac == "02:11:22:33:44:55"'
  down a
}

@test "tuning that another runtime calls puts the link back as it was" {
  add_box a
  in_host ip link add name other0 type veth peer name eth0 netns a address 02:00:00:00:00:09 mtu 1350
  in_box a ip link set dev eth0 txqueuelen 55 allmulticast on
  in_box a ip -d link show dev eth0 >"$BATS_TEST_TMPDIR/before"
  local conf='{ "cniVersion": "1.0.0", "name": "n", "mac": "02:11:22:33:44:55", "mtu": 1300, "promisc": true,
    "allmulti": false, "txQLen": 77, "prevResult": { "cniVersion": "1.0.0",
    "interfaces": [{ "name": "eth0", "mac": "02:00:00:00:00:09", "sandbox": "/run/netns/a" }] } }'
  called tuning ADD a "$conf" | jq -e '.interfaces[0].mac == "02:11:22:33:44:55"'
  equal '["02:11:22:33:44:55",1300,77]' "$(link_of a eth0 '[.address, .mtu, .txqlen]')"
  local backup=/run/cni/tuning/a_eth0.json
  in_host jq -e '. == { "mac": "02:00:00:00:00:09", "mtu": 1350, "promisc": false, "allmulti": true, "txQLen": 55 }' $backup
  called tuning DEL a "$conf"
  diff "$BATS_TEST_TMPDIR/before" <(in_box a ip -d link show dev eth0)
  in_host test ! -e $backup
  # The reference plugin has set it, and leaves it to us to put back.
  in_box a ip link set dev eth0 mtu 1300
  in_host mkdir -p /run/cni/tuning
  echo '{ "mtu": 1350 }' | in_host tee $backup
  called tuning DEL a "$conf"
  equal 1350 "$(link_of a eth0 .mtu)"
  in_host test ! -e $backup
  in_host ip netns delete a
}

@test "a sysctl that tuning of several networks sets is what one of them wants, then what it was, unless another program has set it since" {
  local first
  add_box a
  first=$(somaxconn)
  # In what order they come and go, and what it is after each: both want the same, or not.
  both ADD:1:500 ADD:2:500 DEL:1:500 DEL:2:"$first"
  both ADD:1:500 ADD:2:500 DEL:2:500 DEL:1:"$first"
  both ADD:1:500 ADD:2:600 DEL:1:600 DEL:2:"$first"
  both ADD:1:500 ADD:2:600 DEL:2:500 DEL:1:"$first"
  both ADD:1:500 set:0:700 DEL:1:700 ADD:1:500 set:0:800 ADD:2:600 DEL:1:600 DEL:2:800
  in_host ip netns delete a
}

somaxconn() { in_box a sysctl -n net.core.somaxconn; }

# both COMMAND:N:VALUE...: of tuning, for network N, or of another program; after it the sysctl has that value
both() {
  local step command n value conf
  for step; do
    IFS=: read -r command n value <<<"$step"
    conf="{ \"cniVersion\": \"1.0.0\", \"name\": \"n$n\", \"sysctl\": { \"net.core.somaxconn\": \"$value\" }, \"prevResult\": {} }"
    case $command in
      set) in_box a sysctl -q net.core.somaxconn="$value" ;;
      ADD) called tuning ADD a "$conf" >"$BATS_TEST_TMPDIR/result" ;;
      DEL) called tuning DEL a "$conf" ;;
    esac
    [ "$(somaxconn)" = "$value" ] || fail "after $step of $*: $(somaxconn)"
  done
}

@test "tuning keeps to the list of sysctls that are allowed" {
  in_host mkdir -p /etc/cni
  in_host mount -t tmpfs tmpfs /etc/cni
  in_host mkdir /etc/cni/tuning
  printf '%s\n' '^net.core.' '' '^net\.ipv4\.conf\.IFNAME\.[a-z_]*$' | in_host tee /etc/cni/tuning/allowlist.conf
  list good 10.1.1.0/24 '{ "type": "tuning", "sysctl": { "net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.log_martians": "1" } }'
  up a good
  equal 500 "$(in_box a sysctl -n net.core.somaxconn)"
  refused 'Sysctl net.ipv4.ip_forward is not allowed. Only the following sysctls are allowed: [^net.core. ^net\.ipv4\.conf\.IFNAME\.[a-z_]*$]' \
    '{ "type": "tuning", "sysctl": { "net.ipv4.ip_forward": "1" } }'
  refused 'invalid net sysctl key: "kernel/domainname"' '{ "type": "tuning", "sysctl": { "kernel.domainname": "x" } }'
  down a
}

@test "tuning leaves nothing" {
  list tuned 10.1.1.0/24 '{ "type": "tuning", "mac": "02:11:22:33:44:55", "mtu": 1400, "promisc": true, "txQLen": 77 }'
  leaves_nothing tuned
}

# --- sbr

@test "with sbr, answers leave by the interface that they were asked on" {
  local open='{ "type": "firewall", "ingressPolicy": "open" }'
  list blue 10.1.1.0/24,fd00:1::/64 '{ "type": "sbr" }' "$open"
  list red 10.1.2.0/24,fd00:2::/64 '{ "type": "sbr" }' "$open"
  route_to_containers
  up a blue,red
  local address
  for address in 10.1.1.2 fd00:1::2; do by_its_link eth0 $address; done
  for address in 10.1.2.2 fd00:2::2; do by_its_link eth1 $address; done
  equal "100 101 102 103" "$({ in_box a ip -j rule; in_box a ip -6 -j rule; } |
    jq -r '.[].table | select(test("^1"))' | sort | xargs)"
  equal "" "$(in_box a ip route; in_box a ip -6 route | grep -v ^fe80)"
  in_box a busybox ping -q -c 1 -W 2 -I 10.1.2.2 192.0.2.2
  down a
}

# by_its_link LINK ADDRESS: the peer is answered through that link, and so many packets leave by it
by_its_link() {
  local before
  before=$(sent "$1")
  in_peer busybox ping -q -c 5 -i 0.1 -W 2 "$2"
  (($(sent "$1") >= before + 5)) || fail "no answers by $1"
}
sent() { in_box a ip -j -s link show dev "$1" | jq '.[0].stats64.tx.packets'; }

@test "one network with sbr leaves the default route to the other" {
  list blue 10.1.1.0/24 '{ "type": "sbr" }'
  list red 10.1.2.0/24
  list white 10.1.3.0/24 '{ "type": "sbr", "table": 77 }'
  up a blue,red,white
  equal "default via 10.1.2.1 dev eth1" "$(in_box a ip route show default | xargs)"
  equal "default via 10.1.1.1 dev eth0" "$(in_box a ip route show default table 100 | xargs)"
  in_box a ip rule | grep -q "from 10.1.3.2 lookup 77"
  reaches 192.0.2.2 in_box a
  down a
}

@test "with sbr a second network's default route is in its table, as a chain and plugin by plugin (plugins#893, multus#706)" {
  local way one two sbr result
  one='{ "cniVersion": "1.1.0", "name": "one", "type": "bridge", "bridge": "one0", "isGateway": true, "ipam": { "type": "static",
    "addresses": [{ "address": "10.6.0.2/24", "gateway": "10.6.0.1" }], "routes": [{ "dst": "0.0.0.0/0" }] } }'
  two='{ "cniVersion": "1.1.0", "name": "two", "type": "bridge", "bridge": "two0", "ipam": { "type": "static",
    "addresses": [{ "address": "10.7.0.2/24" }, { "address": "fd00:7::2/64" }],
    "routes": [{ "dst": "0.0.0.0/0", "gw": "10.7.0.1" }, { "dst": "0.0.0.0/0", "gw": "10.7.0.9" }, { "dst": "::/0", "gw": "fd00:7::1" }] } }'
  sbr='{ "cniVersion": "1.1.0", "name": "two", "type": "sbr" }'
  jq -n --argjson two "$two" '{ cniVersion: "1.1.0", name: "two", plugins: [$two, { type: "sbr" }] }' >"$NET_DIR/two.conflist"
  second() { CNI_IFNAME=net1 NETCONFPATH=$NET_DIR CNI_PATH=/none CNI_CONTAINERID=a ocinet cni "$1" two /run/netns/a; }
  add_box a
  called bridge ADD a "$one" >/dev/null
  local main
  main=$(in_box a ip route)
  for way in chain single; do
    if [ $way = chain ]; then second add; else
      result=$(called_as net1 bridge ADD a "$two")
      sbr=$(jq --argjson made "$result" '.prevResult = $made' <<<"$sbr")
      called_as net1 sbr ADD a "$sbr" >/dev/null
    fi
    equal "$main" "$(in_box a ip route)"
    in_box a ip rule | grep -q "from 10.7.0.2 lookup 100"
    in_box a ip -6 rule | grep -q "from fd00:7::2 lookup 101"
    # Both next hops (plugins#601).
    in_box a ip -j route show table 100 | jq -e '[.[] | select(.dst == "default") | .nexthops[].gateway] == ["10.7.0.1", "10.7.0.9"]'
    in_box a ip -6 -j route show table 101 | jq -e 'any(.dst == "default" and .gateway == "fd00:7::1")'
    if [ $way = chain ]; then second check && second del; else
      called_as net1 sbr CHECK a "$sbr"
      called_as net1 bridge CHECK a "$(jq --argjson made "$result" '.prevResult = $made' <<<"$two")"
      called_as net1 sbr DEL a "$sbr"
      called_as net1 bridge DEL a "$two"
    fi
    equal "$main" "$(in_box a ip route)"
  done
  called bridge DEL a "$one"
  in_host ip netns delete a
}

@test "sbr leaves the ways to neighbours in the main table, where it has addSourceHints, and goes by gateways of one's choice" {
  local address before
  list hints 10.1.1.0/24,fd00:1::/64 '{ "type": "sbr", "addSourceHints": true }'
  list plain 10.1.2.0/24 '{ "type": "sbr" }'
  # A kernel whose rules see what is bridged would give what passes the router the host's address.
  network by.conflist by bridge 10.1.3.0/24 '{ "isDefaultGateway": false, "isGateway": true, "ipMasq": false }'
  route_to_containers
  followed_by by '{ "type": "sbr", "gateways": ["10.1.3.2"] }'
  up router by
  in_box router sh -c 'ip route replace default via 10.1.3.1 table 100; ip rule add iif eth0 lookup 100; sysctl -q net.ipv4.ip_forward=1'
  up a hints,plain
  up b by
  reaches 10.1.1.1 in_box a
  reaches fd00:1::1 in_box a
  in_box a ip -4 route | grep "^10.1.1.0/24 dev eth0 .*src 10.1.1.2"
  in_box a ip -6 route | grep "^fd00:1::/64 dev eth0 .*src fd00:1::2"
  # Of IPv6 rules the kernel also asks those of the address that it would send from.
  for address in 10.1.2.1 192.0.2.2; do cannot_reach $address in_box a; done
  before=$(forwarded)
  in_box b busybox ping -q -c 3 -i 0.1 -W 2 -I 10.1.3.3 192.0.2.2
  (($(forwarded) > before))
  down a b router
}

forwarded() { in_box router nstat -asz IpForwDatagrams | awk '/ForwDatagrams/ { print $2 }'; }

@test "sbr leaves nothing" {
  list blue 10.1.1.0/24,fd00:1::/64 '{ "type": "sbr", "addSourceHints": true }'
  leaves_nothing blue
}

# --- portmap

@test "portmap masquerades all, or none" {
  list every 10.1.1.0/24 '{ "type": "portmap", "masqAll": true, "markMasqBit": 3 }'
  list nobody 10.1.2.0/24 '{ "type": "portmap", "snat": false, "backend": "iptables" }'
  add_box a
  add_box b
  ocinet up --net-dir "$NET_DIR" --net every -p 8080:80 /run/netns/a
  ocinet up --net-dir "$NET_DIR" --net nobody -p 8081:81 /run/netns/b
  serve tcp 80 in_box a
  serve tcp 81 in_box b
  equal 10.1.1.1 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8081 in_peer)"
  equal 10.1.1.1 "$(ask tcp 127.0.0.1 8080 in_host)"
  unanswered tcp 127.0.0.1 8081 in_host
  unanswered tcp 192.0.2.1 8081 in_box b
  stop_background
  down a b
}

@test "portmap leads a port only as its conditions say, and leaves who is masqueraded to a chain of iptables" {
  list blue 10.1.1.0/24 '{ "type": "portmap", "externalSetMarkChain": "MARK-IT", "conditionsV4":
    ["-m", "addrtype", "--dst-type", "LOCAL", "-m", "comment", "--comment", "not these", "!", "--src=192.0.2.3"] }'
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  in_host iptables-nft -t nat -N MARK-IT
  in_host iptables-nft -t nat -A POSTROUTING -m mark --mark 1 -j MASQUERADE
  remember a
  ocinet up --net-dir "$NET_DIR" --net blue -p 8080:80 /run/netns/a
  # One that comes later is in no other's way.
  ocinet port add a 8081:80
  serve tcp 80 in_box a
  in_peer ip address add 192.0.2.3/24 dev eth0
  local port
  for port in 8080 8081; do
    in_peer ip route replace 192.0.2.0/24 dev eth0 src 192.0.2.2
    equal 192.0.2.2 "$(ask tcp 192.0.2.1 $port in_peer)"
    in_peer ip route replace 192.0.2.0/24 dev eth0 src 192.0.2.3
    unanswered tcp 192.0.2.1 $port in_peer
  done
  # While the chain marks nothing, the container answers to itself.
  unanswered tcp 127.0.0.1 8080 in_host
  in_host iptables-nft -t nat -A MARK-IT -j MARK --set-mark 1
  equal 10.1.1.1 "$(ask tcp 127.0.0.1 8080 in_host)"
  in_host iptables-nft -t nat -F MARK-IT
  stop tcp4-80
  stop tcp6-80
  ocinet down a
  is_remembered a
  in_host ip netns delete a
  refused 'unrecognized backend "ipfw"' '{ "type": "portmap", "backend": "ipfw" }'
}

@test "portmap leaves nothing" {
  list every 10.1.1.0/24 '{ "type": "portmap", "masqAll": true }'
  leaves_nothing every
}

@test "a type that changes what others made is not the first of a list" {
  jq -n '{ cniVersion: "1.0.0", name: "bad", plugins: [{ type: "tuning", mtu: 1400 }] }' >"$NET_DIR/bad.conflist"
  add_box a
  run -1 --separate-stderr ocinet up --net-dir "$NET_DIR" --net bad /run/netns/a
  [[ $stderr == *"Required prevResult missing"* ]] || fail "$stderr"
  in_host ip netns delete a
}
