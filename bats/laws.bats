#!/usr/bin/env bats
# The first law: a container attached and detached leaves the host as it was, whatever becomes of it in between. What
# containers share (bridges, our nft tables, state directories) stays for the next, until gc takes it. Forwarding stays
# on once it was needed, so it is on from the start.
load lib
load contained

setup() {
  set_up_hosts
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# --- every type

# keeps_law DESCRIPTION JSON OPTIONS...: a test in which a network "net" with that one plugin comes and goes
keeps_law() {
  bats_test_function --description "attach and detach leave nothing: $1" -- comes_and_goes "${@:2}"
}

comes_and_goes() {
  jq -n --argjson plugin "$1" '{ cniVersion: "1.0.0", name: "net", plugins: [$plugin] }' >"$NET_DIR/net.conflist"
  passes "${@:2}"
}

# passes OPTIONS...: `ocinet up` and `down` with them change something, and leave nothing
passes() {
  in_host ip netns add box
  snapshot >"$BATS_TEST_TMPDIR/before"
  in_box ip -j address >"$BATS_TEST_TMPDIR/inside"
  run -0 ocinet up /run/netns/box "$@"
  run -1 changes_since "$BATS_TEST_TMPDIR/before"
  ocinet down box
  run -1 ocinet_traces
  [ "$(in_box ip -j address | jq '[.[].ifname]')" = "$(jq '[.[].ifname]' "$BATS_TEST_TMPDIR/inside")" ]
  leaves_nothing
  in_host ip netns delete box
}

in_box() { in_host ip netns exec box "$@"; }

# What a detached container has left for gc is shared: it names no container, address or port.
ocinet_traces() {
  in_host ip -o link | grep -F veth
  own_elements
  find "$STATE_DIR/containers" "$STATE_DIR/ports" "$STATE_DIR/locks" -mindepth 1 -type f 2>/dev/null | grep .
}

# leaves_nothing: after gc the host is as it was
leaves_nothing() {
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

host_local='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]] }'
static='{ "type": "static", "addresses": [{ "address": "10.1.1.9/24", "gateway": "10.1.1.1" },
  { "address": "fd00:1::9/64", "gateway": "fd00:1::1" }], "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
  "dns": { "nameservers": ["10.1.1.1"] } }'
bridge="\"type\": \"bridge\", \"ipam\": $host_local"

keeps_law "loopback" '{ "type": "loopback" }' --net net
keeps_law "ptp" "{ \"type\": \"ptp\", \"ipam\": $host_local }" --net net
keeps_law "ptp, masquerade and ports" "{ \"type\": \"ptp\", \"ipMasq\": true, \"ipam\": $host_local }" --net net -p 8080:80
keeps_law "ptp with static addresses" "{ \"type\": \"ptp\", \"ipMasq\": true, \"ipam\": $static }" --net net -p 8080:80
keeps_law "bridge" "{ $bridge }" --net net
keeps_law "bridge without addresses" '{ "type": "bridge" }' --net net
keeps_law "bridge with static addresses" "{ \"type\": \"bridge\", \"isGateway\": true, \"ipam\": $static }" --net net
keeps_law "bridge, gateway and masquerade" "{ $bridge, \"isDefaultGateway\": true, \"ipMasq\": true }" --net net
keeps_law "bridge with ports" "{ $bridge, \"isDefaultGateway\": true, \"ipMasq\": true, \"mtu\": 1400 }" \
  --net net -p 8080:80 -p 5353:53/udp -p 127.0.0.1:8081:81 -p "[2001:db8:1::1]:8082-8084:82-84" -p 9000:90/sctp
keeps_law "bridge, macspoofchk" "{ $bridge, \"macspoofchk\": true }" --net net
keeps_law "bridge, portIsolation" "{ $bridge, \"portIsolation\": true }" --net net
keeps_law "bridge, hairpinMode" "{ $bridge, \"hairpinMode\": true }" --net net
keeps_law "bridge, promiscMode" "{ $bridge, \"promiscMode\": true }" --net net
keeps_law "bridge, enabledad" "{ $bridge, \"enabledad\": true }" --net net
keeps_law "bridge, its link in the container down" '{ "type": "bridge", "disableContainerInterface": true }' --net net
keeps_law "bridge, an address and MAC of one's choice" "{ $bridge, \"macspoofchk\": true }" \
  --net "net:IP=10.1.1.77;MAC=02-00-00-00-00-77"

@test "attach and detach leave nothing: none" { passes --net none; }
@test "attach and detach leave nothing: default" { passes -p 8080:80,5353:53/udp; }
@test "attach and detach leave nothing: default-restricted" { passes --net default-restricted -p 8080:80; }

@test "attach and detach leave nothing: several networks at once" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64 '{ "macspoofchk": true }'
  network red.conf red ptp 10.1.2.0/24
  passes --net default,blue,red -p 8080:80,5353:53/udp
}

@test "attach and detach leave nothing on Node" {
  export OCINET_RUNTIME=node
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64 '{ "macspoofchk": true }'
  passes --net default,blue -p 8080:80,5353:53/udp
}

@test "a bridge that was there before stays as it was" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  in_host sysctl -q net.ipv6.conf.default.accept_dad=0
  in_host ip -batch - <<'LINES'
link add name blue0 address 02:00:00:00:00:01 up type bridge
link add name port0 master blue0 up type veth peer name port1
link set dev port1 up
address add 10.1.1.1/24 dev blue0
address add fd00:1::1/64 dev blue0
LINES
  passes --net blue -p 8080:80,5353:53/udp
  # Also what an administrator has changed since.
  in_host ip netns add box
  ocinet up /run/netns/box --net blue
  ocinet port add box 8080:80
  ocinet down box
  in_host sysctl -q net.ipv4.conf.blue0.route_localnet=2
  ocinet gc
  equal 2 "$(in_host sysctl -n net.ipv4.conf.blue0.route_localnet)"
  in_host sysctl -q net.ipv4.conf.blue0.route_localnet=0
  leaves_nothing
  in_host ip netns delete box
  in_host ip link delete port0
}

@test "forwarding is turned on while containers need it, and routers are still heard where they were; gc ends both" {
  in_host sysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.default.accept_dad=0 \
    net.ipv6.conf.eth0.accept_ra=0
  in_host ip -batch - <<'LINES'
link add name up1 up type veth peer name up2
link set dev up2 up
route add default via fe80::1 dev up1 metric 2000
route add default via fe80::1 dev up2 metric 3000
link add name up3 up type veth peer name up4
link set dev up4 up
LINES
  in_host ip netns add box
  snapshot >"$BATS_TEST_TMPDIR/before"
  ocinet up /run/netns/box
  equal "1 1" "$(in_host sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | xargs)"
  # up3 has no default route, and eth0 an administrator who refuses what routers tell.
  equal "2 2 1 0" "$(in_host sysctl -n net.ipv6.conf.{up1,up2,up3,eth0}.accept_ra | xargs)"
  ocinet down box
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip netns delete box
  in_host ip -batch - <<<"link delete up1
    link delete up3"
}

# --- containers

with_each_runtime "a container started and deleted leaves nothing: networks, ports, names" container_passes
container_passes() {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  prepare a "$1" --net default,blue -p 8080:80,5353:53/udp --dns 192.0.2.9 --hosts-entry 192.0.2.9=db --hostname box
  snapshot >"$BATS_TEST_TMPDIR/before"
  start_container a "$(bundle_path a)"
  run -0 exec_container a cat /etc/resolv.conf /etc/hosts
  [[ $output == *192.0.2.9*db* ]]
  delete_container a
  leaves_nothing
}

with_each_runtime "nor does one whose process was killed" killed_container
killed_container() {
  network blue.conf blue bridge 10.1.1.0/24
  prepare a "$1" --net default,blue -p 8080:80
  snapshot >"$BATS_TEST_TMPDIR/before"
  start_container a "$(bundle_path a)"
  kill_container a
  delete_container a
  leaves_nothing
}

@test "nor does one whose poststop hook crun skipped" {
  prepare a crun -p 8080:80,5353:53/udp
  set_args "$(bundle_path a)" /no/such/program
  snapshot >"$BATS_TEST_TMPDIR/before"
  note_container a "$(bundle_path a)"
  runtime_of "$(bundle_path a)" create --bundle "$(bundle_path a)" a || true
  runtime_of "$(bundle_path a)" delete --force a || true
  leaves_nothing
}

with_each_runtime "nor does one whose runtime was killed, once its process ends" runtime_killed
runtime_killed() {
  prepare a "$1" -p 8080:80
  snapshot >"$BATS_TEST_TMPDIR/before"
  start_container a "$(bundle_path a)"
  local pid
  pid=$(container_pid a)
  rm -r "$BATS_TEST_TMPDIR/${1:?}/a"
  kill -KILL "$pid"
  wait_for gone "$pid"
  rm "$BATS_TEST_TMPDIR/containers/a"
  in_host find /sys/fs/cgroup -depth -name "ocinet-$UNIQUE-a" -exec rmdir {} \; 2>/dev/null || true
  leaves_nothing
}

# --- what may happen in between

# attached: a namespace "box" with a process in it, on a network with everything, as process $BOX
attached() {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64 '{ "macspoofchk": true }'
  snapshot >"$BATS_TEST_TMPDIR/before"
  background box in_host unshare --net sleep 1000
  BOX=$(<"$BATS_TEST_TMPDIR/background/box")
  wait_for is_apart "$BOX"
  ocinet up "$BOX" --id box --net default,blue -p 8080:80,5353:53/udp
}

is_apart() { [ "$(readlink "/proc/$1/ns/net")" != "$(in_host readlink /proc/self/ns/net)" ]; }

end_box() {
  kill -KILL "$BOX"
  wait_for gone "$BOX"
}

@test "a container is taken down when its namespace is gone" {
  attached
  end_box
  ocinet down box
  run -1 ocinet_traces
  leaves_nothing
}

@test "a container whose namespace is gone is gc's to take" {
  attached
  end_box
  run -0 ocinet gc
  [ "${lines[0]}" = "box: its process $BOX has ended" ]
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "after a reboot gc takes what is left: files" {
  attached
  end_box
  in_host nft flush ruleset
  in_host ip link delete blue0
  change_record '.bootId = "00000000-0000-0000-0000-000000000000"'
  run -0 ocinet gc
  [ "${lines[0]}" = "box: the machine has been restarted since" ]
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "after a reboot a new process with the container's pid is left alone" {
  attached
  change_record '.bootId = "00000000-0000-0000-0000-000000000000" | .container.init.startTime = "1"'
  in_host nft flush ruleset
  run -0 ocinet gc
  [ -e "/proc/$BOX" ]
  # It is the machine that is not as after a reboot: the links are still there.
  end_box
  wait_for no_veth
  leaves_nothing
}

no_veth() { ! in_host ip -o link | grep veth; }

# change_record FILTER
change_record() {
  local journal=$STATE_DIR/containers/box/container.json changed
  changed=$(jq "$1" "$journal")
  echo "$changed" >"$journal"
}

@test "the rules may be flushed in between" {
  attached
  in_host nft flush ruleset
  ocinet down box
  end_box
  leaves_nothing
}

@test "one of our tables may be deleted in between" {
  attached
  in_host nft delete table bridge ocinet
  ocinet down box
  run -1 ocinet_traces
  ocinet up "$BOX" --id box --net default,blue -p 8080:80
  in_host nft delete table inet ocinet
  ocinet down box
  run -1 ocinet_traces
  end_box
  leaves_nothing
}

@test "the bridge, or the container's link, may be deleted in between" {
  attached
  in_host ip link delete blue0
  ocinet down box
  run -1 ocinet_traces
  ocinet up "$BOX" --id box --net default,blue
  nsenter --net="/proc/$BOX/ns/net" ip link delete eth0
  ocinet down box
  end_box
  leaves_nothing
}

@test "a port that leads elsewhere by now stays there" {
  attached
  in_host nft 'delete element inet ocinet ports4 { tcp . 8080 }; add element inet ocinet ports4 { tcp . 8080 : 10.9.9.9 . 90 }'
  ocinet down box
  run -0 in_host nft list map inet ocinet ports4
  [[ $output == *"tcp . 8080 : 10.9.9.9 . 90"* && $output != *53* ]]
  in_host nft 'delete element inet ocinet ports4 { tcp . 8080 }'
  end_box
  leaves_nothing
}

@test "a container is taken down from where it was attached, and not from elsewhere" {
  attached
  in_host ip netns add other
  run -1 in_host ip netns exec other "$OCINET" down box
  [[ $output == *'Cannot take down container "box" from network namespace net:['*']: it was attached from net:['*']' ]]
  in_host ip netns delete other
  ocinet down box
  end_box
  leaves_nothing
}

# --- a journal that cannot be read

@test "a damaged journal: every command names the file, down takes away what it finds of the container" {
  local damage journal=$STATE_DIR/containers/box/container.json
  attached
  ocinet up "$BOX" --id other --net none
  for damage in truncated garbage empty null; do
    case $damage in
      truncated) truncate -s 300 "$journal" ;;
      garbage) head -c 300 /dev/urandom >"$journal" ;;
      empty) : >"$journal" ;;
      null) echo null >"$journal" ;;
    esac
    run -1 ocinet inspect box
    [[ $output == "ocinet: Cannot read $journal: "*"; ocinet down box takes away what is found by its name" ]]
    run -1 ocinet up "$BOX" --id box
    [[ $output == "ocinet: Cannot read $journal: "* ]]
    run -0 ocinet ls --json
    jq -e --arg journal "$journal" 'length == 2 and (.[0].reason | startswith("Cannot read " + $journal))
      and .[1].state == "up"' <<<"$output"
    # It lives: gc leaves it alone.
    run -1 ocinet gc
    [[ $output == "Cannot read $journal: "*"; its link veth"*" is still there, so gc leaves it alone" ]]
    [ -e "$journal" ]

    run -0 ocinet down box
    run -1 ocinet_traces_but_other
    ocinet up "$BOX" --id box --net default,blue -p 8080:80,5353:53/udp
  done
  ocinet down box other
  end_box
  leaves_nothing
}

ocinet_traces_but_other() { ocinet_traces | grep -v other; }

@test "a damaged journal of a container that has ended is gc's to take" {
  attached
  echo '{"format":1,' >"$STATE_DIR/containers/box/container.json"
  end_box
  wait_for no_veth
  run -0 ocinet gc --dry-run
  [[ $output == *"box: its record $STATE_DIR/containers/box/container.json cannot be read, and none of its links is there"* ]]
  leaves_nothing
}

with_each_runtime "a container with a damaged journal ends as any other" damaged_container
damaged_container() {
  network blue.conf blue bridge 10.1.1.0/24
  prepare a "$1" --net blue -p 8080:80
  snapshot >"$BATS_TEST_TMPDIR/before"
  start_container a "$(bundle_path a)"
  echo damaged >"$STATE_DIR/containers/a/container.json"
  delete_container a
  run -1 ocinet_traces
  leaves_nothing
}

@test "a journal of a later version is left to that version" {
  attached
  change_record '.format = 3'
  run -1 ocinet down box
  [[ $output == "ocinet: Cannot read $STATE_DIR/containers/box/container.json: its format is 3, and this program knows 2; use the version of ocinet that wrote it" ]]
  run -1 ocinet gc
  ocinet ls --json | jq -e '.[0] | .id == "box" and .state == "partial" and (.reason | contains("its format is 3"))'
  change_record '.format = 2'
  ocinet down box
  end_box
  leaves_nothing
}
