#!/usr/bin/env bats
# What the host forwards for containers, past other rules for that, and what it does not because of them.
load lib
load contained
load cni
load boxes

setup() { set_up_hosts; }

teardown() {
  leave_all
  in_host ip link delete lan2 2>/dev/null || true
  in_host ip netns delete other 2>/dev/null || true
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

# A second LAN with a host "other" in it.
second_lan() {
  in_host ip netns add other
  in_host ip link add name lan2 type veth peer name eth0 netns other
  in_host ip address add 198.18.0.1/24 dev lan2
  in_host ip address add 2001:db8:18::1/64 dev lan2 nodad
  in_host ip link set dev lan2 up
  in_ns other ip address add 198.18.0.2/24 dev eth0
  in_ns other ip address add 2001:db8:18::2/64 dev eth0 nodad
  in_ns other ip link set dev eth0 up
  in_ns other ip route add default via 198.18.0.1
  in_ns other ip -6 route add default via 2001:db8:18::1
  route_to 198.18.0.0/24 2001:db8:18::/64
}

@test "the first container makes no router of the host (moby#50566), and gc turns forwarding off again" {
  second_lan
  enter one --net default -p 8080:80
  equal "1 1" "$(in_host sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | xargs)"
  serve tcp 80 in_ns one
  local address
  # Containers are reached, and reach out, by either LAN.
  for address in 192.0.2.2 198.18.0.2 2001:db8:1::2 2001:db8:18::2; do reaches $address in_ns one || fail "no way to $address"; done
  ask tcp 192.0.2.1 8080 in_peer
  ask tcp 2001:db8:18::1 8080 in_ns other
  for address in 192.0.2.2 2001:db8:1::2; do cannot_reach $address in_ns other; done
  for address in 198.18.0.2 2001:db8:18::2; do cannot_reach $address in_peer; done
  run -0 ocinet doctor
  [[ $output == *"forwarding"*"between eth0, lan2 nothing is forwarded but for containers"* ]] || fail "$output"
  in_host nft flush ruleset
  ocinet repair one
  cannot_reach 198.18.0.2 in_peer
  leave one
  cannot_reach 198.18.0.2 in_peer
  # Another program's link that came since may need it: it stays on, and so do the LANs apart.
  in_host ip link add name other0 type bridge
  ocinet gc
  equal "1 1" "$(in_host sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | xargs)"
  cannot_reach 198.18.0.2 in_peer
  run ocinet doctor
  [[ $output == *"ocinet turned it on, and it still is, without a container"* ]] || fail "$output"
  in_host ip link delete other0
  run -0 ocinet gc
  [[ $output == *"sysctl -w net/ipv4/ip_forward=1"* && $output == *"nft table inet ocinet"* ]] || fail "$output"
  equal "0 0" "$(in_host sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | xargs)"
}

@test "a host that forwards by itself goes on" {
  second_lan
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  enter one --net default
  reaches 198.18.0.2 in_peer
  reaches 2001:db8:18::2 in_peer
  leave one
  ocinet gc
  reaches 198.18.0.2 in_peer
}

@test "our rule in FORWARD is put back by repair, CHECK misses it, and the next container puts it back as well" {
  set_up_plugins
  local conf chained
  conf=$(conf ptp '{ "ipMasq": true, "ipam": { "type": "static", "addresses": [{ "address": "10.1.1.9/24", "gateway": "10.1.1.1" }], "routes": [{ "dst": "0.0.0.0/0" }] } }')
  adds ptp "$conf"
  chained=$(with_result "$(conf firewall '{ "backend": "nftables" }')" "$RESULT")
  run -0 plugin firewall ADD "$chained"
  enter one --net default
  for program in iptables ip6tables; do in_host $program -P FORWARD DROP; done
  refused 999 "FORWARD of iptables drops, and has no rule that lets our packets pass" firewall CHECK "$chained"
  cannot_reach 192.0.2.2 in_ns one
  run -0 ocinet repair one
  [[ $output == *"the rule in iptables FORWARD was gone, and is there again"* ]] || fail "$output"
  reaches 192.0.2.2 in_ns one
  reaches 2001:db8:1::2 in_ns one
  reaches 192.0.2.2 in_box
  run -0 plugin firewall CHECK "$chained"
  for program in iptables ip6tables; do in_host $program -F FORWARD; done
  cannot_reach 192.0.2.2 in_ns one
  enter two --net default
  reaches 192.0.2.2 in_ns one
  reaches 2001:db8:1::2 in_ns two
  equal 1 "$(in_host iptables -S FORWARD | grep -c 0x10000000)"
  run -0 plugin firewall DEL "$chained"
  run -0 plugin ptp DEL "$conf"
}

# --- Firewalls that hosts have (scripts/setup unpacks them)

# lay_firewalls: the files of ufw and firewalld are the host's, and what these change is its own
lay_firewalls() {
  local directory of=/var/tmp/ocinet-firewalls-$UID own=$BATS_TEST_TMPDIR/own
  mkdir "$own"
  in_host mount -t tmpfs tmpfs "$own"
  in_host mkdir "$own"/{usr,etc,uw,ew}
  in_host mount -t overlay -o "lowerdir=$of/usr:/usr,upperdir=$own/usr,workdir=$own/uw" overlay /usr
  in_host mount -t overlay -o "lowerdir=$of/etc:/etc,upperdir=$own/etc,workdir=$own/ew" overlay /etc
  # What was mounted below /etc, to be the host's own, is hidden.
  in_host mkdir -p /etc/ocinet /etc/cni
  for directory in /etc/ocinet /etc/cni /var/log; do in_host mount -t tmpfs tmpfs "$directory"; done
}

# fenced_network: containers one and two on a network whose names a resolver tells; one has a published port
fenced_network() {
  ocinet network create --subnet 10.56.0.0/24 --subnet fd00:56::/64 --opt names=dns shop
  enter one --network shop --publish 8080:80
  enter two --network shop
  serve tcp 80 in_ns one
}

# passes_all: they reach the world, each other and the resolver, and are reached by the port
passes_all() {
  reaches 192.0.2.2 in_ns one
  reaches 2001:db8:1::2 in_ns one
  reaches 10.56.0.3 in_ns one
  in_ns one busybox nslookup two 10.56.0.1 | grep -F 10.56.0.3
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
}

start_firewalld() {
  in_host mkdir -p /run/dbus
  cat >"$BATS_TEST_TMPDIR/bus.conf" <<'CONF'
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
CONF
  background bus in_host dbus-daemon --nofork --nopidfile --config-file "$BATS_TEST_TMPDIR/bus.conf"
  background firewalld in_host /usr/bin/python3 /usr/sbin/firewalld --nofork
  wait_for in_host firewall-cmd --state
}

sources() { in_host firewall-cmd --zone=trusted --list-sources; }

@test "firewalld accepts containers, an agent tells it again after a reload, and it forgets them in the end (netavark#1258)" {
  lay_firewalls
  start_firewalld
  in_host firewall-cmd --zone=trusted --add-source=10.57.0.0/24
  fenced_network
  passes_all
  equal "10.57.0.0/24 10.56.0.0/24 fd00:56::/64" "$(sources)"
  run -0 ocinet doctor
  [[ $output == *"firewalld "*"accepts what comes from running containers"* ]] || fail "$output"
  in_host firewall-cmd --reload
  cannot_reach 192.0.2.2 in_ns one
  run -0 ocinet doctor
  [[ $output == *"drops what containers of 10.56.0.0/24, fd00:56::/64 send"*"ocinet repair"* ]] || fail "$output"
  run -0 ocinet repair --all
  equal "firewalld's source 10.56.0.0/24 was gone, and is there again
firewalld's source fd00:56::/64 was gone, and is there again" "${output//one: /}"
  passes_all
  serve_calls
  in_host firewall-cmd --reload
  told_again() { [ "$(sources | wc -w)" = 2 ]; }
  wait_for told_again
  passes_all
  stop agent
  in_host firewall-cmd --zone=trusted --add-source=10.57.0.0/24
  leave one
  leave two
  ocinet gc
  equal 10.57.0.0/24 "$(sources)"
}

@test "ufw that is turned on stops containers until a repair or the next container, and no reload does" {
  lay_firewalls
  in_host cp -r "/var/tmp/ocinet-firewalls-$UID/lib/ufw" /usr/lib/
  in_host sh -c 'cp /usr/share/ufw/*.rules /usr/share/ufw/ufw.conf /etc/ufw/'
  fenced_network
  in_host ufw --force enable
  run ! in_ns one busybox nslookup two 10.56.0.1
  run -0 ocinet doctor
  [[ $output == *"iptables INPUT "*"policy DROP, and our rule is gone: what running containers ask the resolver is dropped"* ]] || fail "$output"
  run -0 ocinet repair one
  [[ $output == *"the rule in iptables FORWARD was gone"*"the rule in ip6tables INPUT was gone"* ]] || fail "$output"
  passes_all
  # The host's own ports stay closed.
  serve tcp 9090 in_host
  unanswered tcp 10.56.0.1 9090 in_ns one
  in_host ufw reload
  passes_all
  for program in iptables ip6tables; do
    for chain in INPUT FORWARD; do in_host "$program" -D "$chain" -m mark --mark 0x10000000/0x10000000 -j ACCEPT; done
  done
  run ! in_ns one busybox nslookup two 10.56.0.1
  enter three --network shop
  passes_all
  leave three
  leave one
  leave two
  run -0 ocinet gc
  [[ $output == *"iptables rule in INPUT"* ]] || fail "$output"
  equal 0 "$(in_host iptables -S | grep -c 0x10000000)"
}

@test "an administrator's chain is passed before we accept, in both families, and stays (plugins#504, nomad#10180)" {
  set_up_plugins
  local conf chained
  conf=$(conf bridge '{ "isDefaultGateway": true, "ipMasq": true, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]] } }')
  for program in iptables ip6tables; do in_host $program -P FORWARD DROP; done
  adds bridge "$conf"
  chained=$(with_result "$(conf firewall)" "$RESULT")
  run -0 plugin firewall ADD "$chained"
  run -0 plugin firewall CHECK "$chained"
  reaches 192.0.2.2 in_box
  reaches 2001:db8:1::2 in_box
  in_host iptables -A CNI-ADMIN -d 192.0.2.2 -j REJECT
  in_host ip6tables -A CNI-ADMIN -d 2001:db8:1::2 -j REJECT
  cannot_reach 192.0.2.2 in_box
  cannot_reach 2001:db8:1::2 in_box
  # Also where ours has to be put back.
  in_host iptables -D FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT
  enter one --net default
  cannot_reach 192.0.2.2 in_box
  cannot_reach 192.0.2.2 in_ns one
  in_host iptables -F CNI-ADMIN
  reaches 192.0.2.2 in_box
  run -0 plugin firewall DEL "$chained"
  run -0 plugin bridge DEL "$conf"
  run -0 in_host iptables -S FORWARD
  [[ $output == *"-j CNI-ADMIN"* ]]
}

@test "portmap after another program's main plugin: from the host, the container itself and its neighbours (plugins#1249)" {
  set_up_plugins
  # As another program makes it, with the port named before its bridge, or nothing named at all.
  in_host ip link add name other0 type bridge
  in_host ip address add 10.7.0.1/24 dev other0
  in_host ip link set dev other0 up
  local name
  for name in box other; do
    [ $name = box ] || in_host ip netns add other
    in_host ip link add name "p$name" master other0 type veth peer name eth0 netns $name
    in_host ip link set dev "p$name" type bridge_slave hairpin on
    in_host ip link set dev "p$name" up
  done
  in_box ip address add 10.7.0.2/24 dev eth0
  in_ns other ip address add 10.7.0.3/24 dev eth0
  for name in box other; do in_ns $name sh -c 'ip link set dev eth0 up; ip route add default via 10.7.0.1'; done
  serve tcp 80 in_box
  local portmap links
  portmap=$(conf portmap '{ "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80 }] } }')
  for links in '[{ "name": "pbox" }, { "name": "other0" }, { "name": "eth0", "sandbox": "/run/netns/box" }]' '[{ "name": "eth0", "sandbox": "/run/netns/box" }]'; do
    local made
    made=$(jq -nc --argjson interfaces "$links" '{ cniVersion: "1.1.0", $interfaces, ips: [{ address: "10.7.0.2/24", interface: ($interfaces | length - 1) }] }')
    run -0 plugin portmap ADD "$(with_result "$portmap" "$made")"
    ask tcp 127.0.0.1 8080 in_host
    ask tcp 192.0.2.1 8080 in_peer
    ask tcp 192.0.2.1 8080 in_box
    ask tcp 192.0.2.1 8080 in_ns other
    run -0 plugin portmap CHECK "$(with_result "$portmap" "$made")"
    run -0 plugin portmap DEL "$(with_result "$portmap" "$made")"
  done
  in_host ip link delete other0
  in_host ip link delete pother
  in_host ip link delete pbox
}

@test "[::1]:PORT on a bridge works, or is refused at once and said" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  in_host sysctl -q net.bridge.bridge-nf-call-ip6tables=0
  enter one --net blue -p 8080:80
  serve tcp 80 in_ns one
  ask tcp ::1 8080 in_host
  in_host sysctl -q net.bridge.bridge-nf-call-ip6tables=1
  ocinet port add one 8081:80
  ask tcp 127.0.0.1 8081 in_host
  ask tcp 2001:db8:1::1 8081 in_peer
  run ! ask_within 20 tcp ::1 8081 in_host
  [[ $output == *"Connection refused"* ]] || fail "$output"
  run -1 ocinet port add one '[::1]:8082:80'
  [[ $output == *'Cannot publish "[::1]:8082" by bridge "blue0": sysctl net/bridge/bridge-nf-call-ip6tables is 1'* ]] || fail "$output"
  ocinet port rm one 8081:80
}

@test "a program of the host's that begins to listen on a published port gets what it waits for from elsewhere (nerdctl#4526)" {
  enter one --net default -p 8080:80 -p 192.0.2.1:8081:80
  serve tcp 80 in_ns one
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  local version
  for version in 4 6; do
    background "late$version" in_host socat "TCP$version-LISTEN:8080,fork,reuseaddr$([ $version = 4 ] || echo ,ipv6only=1)" SYSTEM:"read -r hello; echo late"
  done
  wait_for listens tcp 8080 in_host
  equal late "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal late "$(ask tcp 2001:db8:1::1 8080 in_peer)"
  stop late4
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
}
