#!/usr/bin/env bats
# Ways to the world for an ordinary user's containers under runc. Run by root, so that what is left is seen.
load lib
load rootless

setup() {
  set_up_hosts
  renew_pasta
}

# with_each_uplink DESCRIPTION FUNCTION: a test with each; FUNCTION is given its name
with_each_uplink() {
  local uplink
  for uplink in pasta slirp4netns; do
    bats_test_function --description "$uplink: $1" -- "$2" "$uplink"
  done
}

inspected() { as_user "$OCINET" inspect --json "$1"; }
by() { inspected "$1" | jq -r '.[0].networks[0].by'; }

with_each_uplink "ports by TCP and UDP, and who connects is seen" publishes
publishes() {
  launch c1 --uplink "$1" -p 8080:80 -p 5353:53/udp -p 127.0.0.1:8082-8083:82-83
  run -0 inspected c1
  jq -e --arg uplink "$1" '.[0] | .state == "up" and .networks[0].by == $uplink and
    (.ports | length == 4 and all(.driver == $uplink and .keepsClientAddress))' <<<"$output"
  serve tcp 80 in_container c1
  serve tcp 83 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 192.0.2.1 8080 in_host)" = 192.0.2.1 ]
  run ! ask_within 1 tcp 192.0.2.1 8083 in_peer
  # The host's loopback stands for the gateway, or for the container itself.
  local loopback=10.0.2.100
  [ "$1" = pasta ] || loopback=10.0.2.2
  [ "$(ask tcp 127.0.0.1 8083 in_host)" = $loopback ]
  stop_background
  delete_container c1
  wait_for no_processes
  run ! ask_within 1 tcp 192.0.2.1 8080 in_peer
}

@test "pasta: ports on IPv6 addresses too, and UDP on loopback" {
  launch c1 --uplink pasta -p 8080:80 -p '[2001:db8:1::1]:8081:80' -p '[::]:5353:53/udp' -p 127.0.0.1:5354:53/udp
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 2001:db8:1::1 8080 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask tcp 2001:db8:1::1 8081 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask udp 2001:db8:1::1 5353 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask udp 127.0.0.1 5354 in_host)" = 10.0.2.100 ]
  run ! ask_within 1 tcp 192.0.2.1 8081 in_peer
}

@test "pasta: the container's TCP recovers fast from what is dropped, also when pasta has been started again" {
  local settings=(/proc/sys/net/ipv4/tcp_{congestion_control,frto}) fast=$'reno\n0' pid
  if [ -e /proc/sys/net/ipv4/tcp_rto_min_us ]; then
    settings+=(/proc/sys/net/ipv4/tcp_rto_min_us)
    fast+=$'\n20000'
  fi
  [ "$(as_user "$OCINET" run --uplink pasta -- cat "${settings[@]}")" = "$fast" ]
  launch c1 --uplink pasta
  [ "$(in_container c1 cat "${settings[@]}")" = "$fast" ]
  pid=$(uplink_pids c1 | tail -n 1)
  kill -KILL "$pid"
  wait_for runs_again c1 "$pid"
  [ "$(in_container c1 cat "${settings[@]}")" = "$fast" ]
}

with_each_uplink "the host's loopback is out of reach, unless it is asked for" keeps_loopback
keeps_loopback() {
  serve tcp 8000 in_host
  launch c1 --uplink "$1"
  launch c2 --uplink "$1:host-loopback=true"
  [ "$(ask tcp 192.0.2.1 8000 in_container c1)" = 192.0.2.1 ]
  local address
  for address in 10.0.2.2 fd00::2 127.0.0.1 ::1; do
    run ! ask_within 1 tcp $address 8000 in_container c1
  done
  [ "$(ask tcp 10.0.2.2 8000 in_container c2)" = 127.0.0.1 ]
  in_container c1 busybox ping -q -c 1 -W 20 192.0.2.2
}

with_each_uplink "options take effect" has_options
has_options() {
  serve tcp 8000 in_peer
  name_server in_peer
  in_host ip address add 192.0.2.9/24 dev eth0
  in_host ip -6 address add 2001:db8:1::9/64 dev eth0 nodad
  launch c1 --uplink "$1:cidr=10.99.0.0/16,mtu=1400,mac=02:00:00:00:00:99,dns=false,outbound-addr=192.0.2.9,outbound-addr6=2001:db8:1::9"
  run -0 in_container c1 ip -j address show eth0
  jq -e '.[0] | .mtu == 1400 and .address == "02:00:00:00:00:99" and
    ([.addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] == ["10.99.0.100/16", "fd00::100/64"])' <<<"$output"
  [[ $(in_container c1 ip route show default) == "default via 10.99.0.2 dev eth0"* ]]
  [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = 192.0.2.9 ]
  [ "$(ask tcp 2001:db8:1::2 8000 in_container c1)" = 2001:db8:1::9 ]
  # Without the uplink's own name server it asks the host's.
  [ "$(exec_container c1 grep nameserver /etc/resolv.conf)" = "nameserver 192.0.2.2" ]
  run ! exec_container c1 timeout 1 nslookup -type=a www.example 10.99.0.3
  run -0 inspected c1
  jq -e '.[0].networks[0] | .mac == "02:00:00:00:00:99" and .ips[0] == "10.99.0.100/16" and .nameservers == []' <<<"$output"
  delete_container c1

  launch c1 --uplink "$1:ipv6=false,outbound-addr=lo"
  [ -z "$(in_container c1 ip -6 route show default)" ]
  run ! ask_within 1 tcp 192.0.2.2 8000 in_container c1
}

with_each_uplink "a host without a name server; and one that has an IPv6 address only, on its loopback" asks_by_six
asks_by_six() {
  in_host sh -c ': >/etc/resolv.conf'
  run -0 as_user "$OCINET" run --uplink "$1" -- true
  [[ $output == "ocinet: No names are found: uplink $1: /etc/resolv.conf is not there, or names no server; "* ]]
  in_host sh -c 'echo nameserver ::1 >/etc/resolv.conf'
  ON="UDP6-RECVFROM:53,bind=[::1]" name_server in_host
  launch c1 --uplink "$1"
  [ "$(exec_container c1 grep nameserver /etc/resolv.conf)" = "nameserver fd00::3" ]
  [[ $(exec_container c1 nslookup -type=a www.example) == *"Address: 198.51.100.1"* ]]
}

with_each_uplink "in a sandbox, with seccomp, without new privileges" is_sandboxed
is_sandboxed() {
  launch c1 --uplink "$1"
  local pid
  pid=$(uplink_pids c1 | tail -n 1)
  grep -x $'Seccomp:\t2' "/proc/$pid/status"
  grep -x $'NoNewPrivs:\t1' "/proc/$pid/status"
  run ! ls "/proc/$pid/root/home"
  delete_container c1
  [ "$1" = slirp4netns ] || return 0
  launch c1 --uplink "$1:sandbox=false,seccomp=false"
  pid=$(uplink_pids c1 | tail -n 1)
  grep -x $'Seccomp:\t0' "/proc/$pid/status"
  ls "/proc/$pid/root/home"
}

with_each_uplink "default-restricted: no way out, and published ports all the same" is_restricted
is_restricted() {
  serve tcp 8000 in_peer
  serve tcp 8001 in_host
  launch c1 --uplink "$1" --net default-restricted -p 8080:80
  serve tcp 80 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  run ! ask_within 1 tcp 192.0.2.2 8000 in_container c1
  # Nor is there one for who takes our rules away.
  in_container c1 nft delete table inet ocinet_restricted
  run ! ask_within 1 tcp 192.0.2.2 8000 in_container c1
  run ! ask_within 1 tcp 2001:db8:1::2 8000 in_container c1
  run ! ask_within 1 tcp 192.0.2.1 8001 in_container c1
}

with_each_uplink "dies, and is there again, with its ports and limits" is_restarted
is_restarted() {
  launch c1 --uplink "$1" -p 8080:80 -p 5353:53/udp --rate-in 50mbit --rate-out 50mbit
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  serve tcp 8000 in_peer
  local pid
  in_container c1 tc qdisc >"$BATS_TEST_TMPDIR/before"
  for _ in first second; do
    pid=$(uplink_pids c1 | tail -n 1)
    kill -KILL "$pid"
    wait_for runs_again c1 "$pid"
    [ "$(wait_for ask_within 1 tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
    [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
    [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = 192.0.2.1 ]
    [ "$(ask tcp 2001:db8:1::2 8000 in_container c1)" = 2001:db8:1::1 ]
    diff "$BATS_TEST_TMPDIR/before" <(in_container c1 tc qdisc)
  done
  [ "$(grep -c "repair c1: $1 had ended, and runs again" "$(user_state)/hook.log")" = 2 ]
  stop_background
  delete_container c1
  wait_for no_processes
  [ ! -e "$(user_state)/containers/c1" ]
}

# runs_again ID PID: an uplink other than PID, and its container is up
runs_again() {
  local pid
  pid=$(uplink_pids "$1" | tail -n 1)
  [ "$pid" != "$2" ] && [ "$(inspected "$1" | jq -r '.[0].state')" = up ]
}

with_each_uplink "without a keeper it goes on, says when it has died, and is repaired by hand" is_repaired
is_repaired() {
  launch c1 --uplink "$1" -p 8080:80
  serve tcp 80 in_container c1
  local keeper pid
  { read -r keeper; read -r pid; } < <(uplink_pids c1)
  kill -KILL "$keeper"
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  run -0 as_user "$OCINET" repair c1
  [ -z "$output" ]
  kill -KILL "$pid"
  wait_for gone "$pid"
  [ "$(inspected c1 | jq -r '.[0].reason')" = "its $1 has ended; ocinet repair c1 starts it again" ]
  run -0 as_user "$OCINET" repair c1
  [ "$output" = "c1: $1 had ended, and runs again" ]
  [ "$(inspected c1 | jq -r '.[0].state')" = up ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  # It has a keeper again, and without that too it is taken down.
  { read -r keeper; read -r pid; } < <(uplink_pids c1)
  kill -KILL "$keeper"
  stop_background
  as_user "$OCINET" down c1
  wait_for gone "$pid"
  wait_for only_the_container_is_left
}

only_the_container_is_left() { [ "$(processes)" = "sleep 1000" ]; }

@test "the best that works is taken: pasta, where it is new enough and the host has a route" {
  launch c1
  [ "$(by c1)" = pasta ]
  grep -E '^[0-9:.]+ 20[0-9]{2}_[0-9]{2}$' "$(user_state)/pasta.version"
  delete_container c1
  # Here it would answer no container.
  launch c1 --net default-restricted -p 5353:53/udp
  [ "$(by c1)" = slirp4netns ]
  delete_container c1
  in_host ip route delete default
  launch c1
  [ "$(by c1)" = slirp4netns ]
  delete_container c1
  refused c1 --uplink pasta
  [[ $output == *'Cannot use uplink "pasta": the host has no IPv4 default route, of which pasta makes the container'\''s'* ]]
}

@test "an old pasta is refused with the reason, and passed over" {
  old_pasta
  refused c1 --uplink pasta
  [[ $output == *"Cannot use uplink \"pasta\": $(command -v pasta) is 2023_11, and it is used from 2024_02 on: "*"such as SSH"* ]]
  launch c1
  [ "$(by c1)" = slirp4netns ]
}

# old_pasta: the host has one that says so
old_pasta() {
  echo 'echo "pasta 2023_11_07.56d9f6d"' | cat <(echo '#!/bin/sh') - >"$BATS_TEST_TMPDIR/pasta"
  chmod 755 "$BATS_TEST_TMPDIR/pasta"
  in_host mount --bind "$BATS_TEST_TMPDIR/pasta" "$(command -v pasta)"
}

@test "an annotation chooses; it cannot open the host's loopback, nor can root have one" {
  bundle c1
  set_config "$(path_of c1)" '.annotations["org.ocinet.uplink"] = "slirp4netns:mtu=1400"'
  start_container c1 "$(path_of c1)"
  [ "$(by c1)" = slirp4netns ]
  [ "$(in_container c1 cat /sys/class/net/eth0/mtu 2>/dev/null || true)" != 65520 ]
  delete_container c1
  bundle c2
  set_config "$(path_of c2)" '.annotations["org.ocinet.uplink"] = "pasta:host-loopback=true"'
  run ! run_container c2 "$(path_of c2)"
  [[ ${output//\\/} == *'Cannot use annotation "org.ocinet.uplink": "host-loopback" in "pasta:host-loopback=true" opens '* ]]
  in_host ip netns add box
  run -1 ocinet up --uplink pasta /run/netns/box
  [[ $output == 'ocinet: Cannot use uplink "pasta" as root: '* ]]
  run -2 ocinet up --uplink vpnkit /run/netns/box
  [ "$output" = 'ocinet: Cannot use uplink "vpnkit": there are helper, lxc-user-nic, pasta, slirp4netns' ]
  run -2 ocinet up --uplink pasta --net none /run/netns/box
  [ "$output" = "ocinet: Cannot use an uplink with --net=none: there is nothing to connect" ]
  in_host ip netns delete box
}
