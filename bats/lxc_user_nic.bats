#!/usr/bin/env bats
# LXC's setuid program as an ordinary user's way to the world, over a bridge of root's with a DHCP server. Run by root, so
# that what is left is seen.
# shellcheck disable=SC2016,SC2154 # inner shells' variables; what run sets
load lib
load rootless
load helper

setup() {
  set_up_hosts
  hide pasta
  mkdir -p /etc/lxc
  in_host mount -t tmpfs -o mode=755 tmpfs /etc/lxc
  in_host ip link add name lxcbr0 address 02:00:00:00:00:01 up type bridge
  in_host ip address add 10.0.3.1/24 dev lxcbr0
  in_host sysctl -q net.ipv4.ip_forward=1
  in_peer ip route add 10.0.3.0/24 via 192.0.2.1
}

# grant LINE...: what lxc-user-nic grants; TEST_USER stands for the user
grant() {
  policy "$@"
  in_host cp "$BATS_TEST_TMPDIR/policy" /etc/lxc/lxc-usernet
}

# dhcp_server [RANGE [OPTIONS...]]: on lxcbr0, with names; what it sees is then in $SEEN
dhcp_server() {
  SEEN=$BATS_TEST_TMPDIR/server.log
  background server in_host dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --no-ping --no-resolv \
    --interface=lxcbr0 --bind-interfaces --except-interface=lo --log-dhcp --log-facility=- --address=/www.example/198.51.100.1 \
    --dhcp-option=15,lan.example --dhcp-leasefile="$BATS_TEST_TMPDIR/leases" --dhcp-range="${1:-10.0.3.50,10.0.3.59},10m" \
    --dhcp-authoritative "${@:2}"
  wait_for grep -q "DHCP, IP range" "$SEEN"
}

by() { as_user "$OCINET" inspect --json "$1" | jq -r '.[0].networks[0].by'; }
address() { in_container "$1" ip -4 -j address show dev eth0 | jq -r '.[0].addr_info[0].local'; }
has_address() { [ "$(address "$1")" = "$2" ]; }
no_veth() { [ -z "$(in_host sh -c 'ls -d /sys/class/net/veth*' 2>/dev/null)" ]; }
ours() { processes | grep -v ^dnsmasq; }
nothing_of_ours() { ! ours && no_veth; }

with_each_runtime "the world and its names from the first moment, by an address that is given back; nothing stays" reaches_the_world
reaches_the_world() {
  grant "TEST_USER veth lxcbr0 1"
  dhcp_server
  serve tcp 8000 in_peer
  RUNTIME=$1 bundle c1 --uplink lxc-user-nic
  run -0 says c1 'echo hello | nc 198.51.100.1 8000; cat /etc/resolv.conf; nslookup -type=a www.example; ip route'
  [[ ${lines[0]} == 10.0.3.5? ]]
  [[ $output == *"domain lan.example"* && $output == *"nameserver 10.0.3.1"* && $output == *"Address: 198.51.100.1"* ]]
  [[ $output == *"default via 10.0.3.1 dev eth0"* ]]
  wait_for grep -q "DHCPRELEASE(lxcbr0) ${lines[0]}" "$SEEN"
  wait_for no_veth
  stop_background
  wait_for no_processes
  [ ! -e "$(user_state)/containers/c1" ]
}

@test "ocinet run: with the address of a MAC address, the server's routes, and in a group's name" {
  grant "TEST_USER veth br1 1" "broken line" "@$OCINET_TEST_USER veth lxcbr0 1 # remark"
  dhcp_server 10.0.3.50,10.0.3.50 --dhcp-option=121,0.0.0.0/0,10.0.3.1,10.8.0.0/16,10.0.3.9,10.9.0.0/16,0.0.0.0
  serve tcp 8000 in_peer
  run -0 --separate-stderr as_user "$OCINET" run --uplink lxc-user-nic:bridge=lxcbr0,mac=02:00:00:00:00:99 -- sh -c '
    ip -br link show dev eth0; ip -4 route; echo hello | socat -t 20 - TCP:192.0.2.2:8000'
  [[ $output == *" 02:00:00:00:00:99 "* && ${lines[-1]} == 10.0.3.50 ]]
  [[ $output == *"default via 10.0.3.1 dev eth0"*"10.8.0.0/16 via 10.0.3.9 dev eth0"*"10.9.0.0/16 dev eth0 scope link"* ]]
  wait_for grep -q "DHCPRELEASE(lxcbr0) 10.0.3.50 02:00:00:00:00:99" "$SEEN"
  wait_for no_veth
  wait_for no_containers
  run -125 as_user "$OCINET" run --uplink lxc-user-nic:mtu=1400 -- true
  [[ $output == *'it has no option "mtu", but bridge, mac' ]]
}

@test "published ports are the relay's, and so another uplink goes before it when none is asked for" {
  grant "TEST_USER veth lxcbr0 2"
  dhcp_server
  launch c1 --uplink lxc-user-nic -p 8080:80 -p 5353:53/udp
  run -0 as_user "$OCINET" inspect --json c1
  jq -e '.[0] | .state == "up" and .networks[0].by == "lxc-user-nic" and .networks[0].nameservers == ["10.0.3.1"] and
    (.ports | length == 2 and all(.driver == "relay" and (.keepsClientAddress | not)))' <<<"$output"
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = "$(address c1)" ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = "$(address c1)" ]
  launch c2 -p 8081:80
  [ "$(by c2)" = slirp4netns ]
  bundle c3 --uplink lxc-user-nic --port-driver uplink -p 8082:80
  fails_to_start c3
  [[ $output == *'Cannot publish "8082:80/tcp" without root: lxc-user-nic forwards no ports; the relay does, '* ]]
}

@test "it is the second choice: after root's service, and only where a program on the host serves DHCP on its bridge" {
  grant "TEST_USER veth lxcbr0 5"
  run as_user "$OCINET" doctor --json
  jq -e '.[] | select(.name == "lxc-user-nic") | .status == "ok" and
    (.found | startswith("bridges: \"lxcbr0\" (") and contains("no process on this host serves DHCP"))' <<<"$output"
  launch c1
  [ "$(by c1)" = slirp4netns ]
  # One on another link is none.
  in_host ip link add name other up type bridge
  in_host ip address add 10.0.4.1/24 dev other
  background other in_host dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --port=0 --interface=other \
    --bind-interfaces --except-interface=lo --dhcp-range=10.0.4.2,10.0.4.9 --dhcp-leasefile="$BATS_TEST_TMPDIR/other.leases"
  wait_for serves_dhcp other
  launch c2
  [ "$(by c2)" = slirp4netns ]
  dhcp_server
  run as_user "$OCINET" doctor --json
  jq -e '.[] | select(.name == "lxc-user-nic") | .status == "ok" and (.found | startswith("bridges: \"lxcbr0\" with DHCP ("))' <<<"$output"
  jq -e '.[] | select(.name == "uplink") | .found == "lxc-user-nic"' <<<"$output"
  launch c3
  [ "$(by c3)" = lxc-user-nic ]
  start_helper "TEST_USER veth ocinet0 2"
  launch c4
  [ "$(by c4)" = helper ]
  for id in c1 c2 c3 c4; do delete_container $id; done
  wait_for no_veth
}
serves_dhcp() { in_host ss -Hlun "sport = :67" | grep -q "%$1:"; }

@test "what cannot be is refused with the remedy, and nothing stays" {
  local no='Cannot use uplink "lxc-user-nic": '
  dhcp_server
  refuses --uplink lxc-user-nic
  [[ $output == *"$no/etc/lxc/lxc-usernet grants you no bridge; have root add a line such as \"$OCINET_TEST_USER veth lxcbr0 10\"" ]]
  grant "TEST_USER veth lxcbr0 0" "TEST_USER veth none 5" "TEST_USER veth br1 5" "nobody veth lxcbr0 5"
  refuses --uplink lxc-user-nic
  [[ $output == *"${no}there is no bridge \"br1\", which /etc/lxc/lxc-usernet grants you; have root make it "* ]]
  refuses --uplink lxc-user-nic:bridge=lxcbr0
  [[ $output == *"$no/etc/lxc/lxc-usernet grants you no link on \"lxcbr0\" (it grants: br1); have root add a line such as "* ]]
  grant "TEST_USER veth lxcbr0 1"
  refuses --uplink lxc-user-nic --net default-restricted
  [[ $output == *"${no}default-restricted cannot be kept by it; use --uplink pasta or slirp4netns" ]]
  run -125 as_user unshare --user --map-root-user "$OCINET" run --uplink lxc-user-nic -- true
  [[ $output == *"${no}this is another user namespace than that of the host's links, "* ]]
  launch c1
  [ "$(by c1)" = lxc-user-nic ]
  refuses --uplink lxc-user-nic
  [[ $output == *': /etc/lxc/lxc-usernet grants you no more links on "lxcbr0"; end a container that has one, or have root grant more' ]]
  delete_container c1
  wait_for nothing_of_ours
  # A link of that name is another program's.
  hold_namespace box
  in_box() { as_user nsenter --target "$(holder_of box)" --user --preserve-credentials --net "$@"; }
  in_box ip link add name eth0 type bridge
  run -1 as_user "$OCINET" up --uplink lxc-user-nic "$(holder_of box)"
  [[ $output == *" name eth0 "*"File exists"* ]]
  [ "$(in_box ip -o link | wc -l)" = 2 ]
  no_veth
  in_host mount --bind /dev/null /usr/libexec/lxc/lxc-user-nic
  refuses --uplink lxc-user-nic
  [[ $output == *"${no}it is not installed; install liblxc-common" ]]
}
refuses() {
  run -125 as_user "$OCINET" run "$@" -- true
  [ -z "$(ls "$(user_state)/containers")" ] || [ "$(ls "$(user_state)/containers")" = c1 ]
}

@test "where no server answers there is an error in time, with the remedy, and nothing else" {
  grant "TEST_USER veth lxcbr0 1"
  refused c1 --uplink lxc-user-nic
  [[ $output == *'no DHCP server on bridge "lxcbr0" has answered within 10 s; have root start one there (systemctl start lxc-net, or dnsmasq), '* ]]
  wait_for nothing_of_ours
}

@test "its client dies, and is there again, on the same link with the same address; it follows its server" {
  grant "TEST_USER veth lxcbr0 1"
  dhcp_server
  launch c1 --uplink lxc-user-nic --rate-out 50mbit
  serve tcp 8000 in_peer
  local own pid
  own=$(address c1)
  pid=$(uplink_pids c1 | tail -n 1)
  in_container c1 ip -o link >"$BATS_TEST_TMPDIR/links"
  kill -KILL "$pid"
  wait_for runs_again c1 "$pid"
  [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = "$own" ]
  diff "$BATS_TEST_TMPDIR/links" <(in_container c1 ip -o link)
  in_container c1 tc qdisc show dev eth0 | grep "rate 50Mbit"
  stop server
  rm "$BATS_TEST_TMPDIR/leases"
  dhcp_server 10.0.3.70,10.0.3.70
  kill -USR1 "$(uplink_pids c1 | tail -n 1)"
  wait_for has_address c1 10.0.3.70
  [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = 10.0.3.70 ]
  # With the lease goes the address.
  kill -USR2 "$(uplink_pids c1 | tail -n 1)"
  wait_for has_address c1 null
  stop server
  as_user "$OCINET" down c1
  in_container c1 ip -o link | grep -c . | grep -x 1
}

runs_again() {
  [ "$(uplink_pids "$1" | tail -n 1)" != "$2" ] && [ "$(as_user "$OCINET" inspect --json "$1" | jq -r '.[0].state')" = up ]
}

@test "crun: each of its processes killed, and nothing stays when the container has ended" {
  grant "TEST_USER veth lxcbr0 1"
  dhcp_server
  local number=0 pid pids
  export RUNTIME=crun
  launch c1
  mapfile -t pids < <(own_pids)
  ((${#pids[@]} >= 5))
  for ((number = 0; number < ${#pids[@]}; number++)); do
    [ "$number" = 0 ] || launch c1
    pid=$(own_pids | sed -n "$((number + 1))p")
    kill -KILL "$pid"
    wait_for gone "$pid"
    # By itself, as when the runtime is gone too.
    kill -KILL "$(container_pid c1)"
    wait_for nothing_of_ours || fail "Number $number killed, it leaves:" "$(ours)"
    delete_container c1
    [ ! -e "$(user_state)/containers/c1" ]
  done
}
own_pids() { test_pids | grep -vx -e "$(container_pid c1)" -e "$(<"$BATS_TEST_TMPDIR/background/server")"; }
