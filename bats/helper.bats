#!/usr/bin/env bats
# Root's service for ordinary users, and their containers over it. Run by root, so that what is left is seen.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless
load helper

@test "a user's command reaches the world by IPv4 and IPv6, within its limits, and nothing stays" {
  start_helper "TEST_USER veth ocinet0 2"
  serve tcp 8000 in_peer
  serve tcp 8001 in_peer
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  as_user "$OCINET" ls
  ocinet ls
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -0 --separate-stderr as_user "$OCINET" run --uplink helper -- sh -c '
    ip -o address show dev eth0 scope global | cut -d" " -f 7; ip -o route show default; ip -o -6 route show default
    echo hello | socat -t 20 - TCP:192.0.2.2:8000; echo hello | socat -t 20 - "TCP6:[2001:db8:1::2]:8000"'
  [ "${lines[0]}" = 172.16.29.2/24 ]
  [ "${lines[1]}" = fd6f:6369:6e65:29::2/64 ]
  [[ ${lines[2]} == "default via 172.16.29.1 dev eth0"* && ${lines[3]} == "default via fd6f:6369:6e65:29::1 dev eth0"* ]]
  [ "${lines[4]}" = 192.0.2.1 ]
  [ "$(plain_address <<<"${lines[5]}")" = 2001:db8:1::1 ]
  wait_for nothing_attached

  run -0 --separate-stderr as_user "$OCINET" run --uplink helper --egress 192.0.2.2:8000 --rate-out 100mbit -- sh -c '
    echo hello | socat -t 20 - TCP:192.0.2.2:8000; socat OPEN:/dev/null TCP:192.0.2.2:8001 && echo open; tc qdisc show dev eth0'
  [ "${lines[0]}" = 192.0.2.1 ]
  [[ $output == *"rate 100Mbit"* && $output != *open* ]]
  wait_for nothing_attached
  run -0 ocinet gc
  as_user "$OCINET" gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "runc: published TCP and UDP ports, and who connects is seen" {
  start_helper "TEST_USER veth ocinet0 2" "TEST_USER port 80/tcp" "TEST_USER port 5353/udp"
  launch c1 -p 80:80 -p 5353:53/udp
  run -0 as_user "$OCINET" inspect --json c1
  jq -e '.[0] | .state == "up" and .networks[0].by == "helper" and .networks[0].ips[0] == "172.16.29.2/24" and
    (.ports | length == 2 and all(.driver == "helper" and .keepsClientAddress))' <<<"$output"
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 192.0.2.1 80 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 2001:db8:1::1 80 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 127.0.0.1 80 in_host)" = 172.16.29.1 ]
  stop_background_but_helper
  delete_container c1
  wait_for nothing_attached
  unanswered tcp 192.0.2.1 80 in_peer
}

@test "ports come and go while the container runs, below 1024 too, and who connects is seen" {
  start_helper "TEST_USER veth ocinet0 1" "TEST_USER port 80" "TEST_USER port 5353/udp"
  launch c1 -p 80:80
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  run -0 port rm c1 80:80
  [ "$output" = "" ]
  unanswered tcp 192.0.2.1 80 in_peer
  run -0 port add c1 80:80 5353:53/udp 8080:80
  [ "$output" = "80:80/tcp helper
5353:53/udp helper
8080:80/tcp relay, without the client's address" ]
  [ "$(ask tcp 192.0.2.1 80 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 2001:db8:1::1 80 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 2001:db8:1::1 5353 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 172.16.29.2 ]
  run -1 port add --port-driver uplink c1 81:80
  [[ $output == *"Cannot publish \"81:80/tcp\" without root: /etc/ocinet/helper.conf does not grant the port (it grants: 80, 5353/udp)" ]]
  run -0 port rm c1 80:80 8080:80
  [ "$output" = "5353:53/udp helper" ]
  unanswered tcp 192.0.2.1 80 in_peer
  unanswered tcp 192.0.2.1 8080 in_peer
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  run -0 port add --proxy-protocol v1 c1 8081:81
  [ "${lines[1]}" = "8081:81/tcp relay, the client's address by PROXY protocol v1" ]
  background proxied in_container c1 socat TCP-LISTEN:81,fork,reuseaddr SYSTEM:'head -n 1'
  wait_for listens_to 81 in_container c1
  [ "$(ask tcp 192.0.2.1 8081 in_peer | cut -d" " -f 1-4)" = "PROXY TCP4 192.0.2.2 192.0.2.1" ]
  stop_background_but_helper
  delete_container c1
  wait_for nothing_attached
  run ! grep 5353 < <(in_host nft list ruleset)
}
port() { as_user "$OCINET" port "$@"; }
listens_to() { "${@:2}" ss -Hltn "sport = :$1" | grep -q .; }

@test "names: a server on the host's loopback is passed over for those that it asks" {
  local nslookup="busybox nslookup -type=a www.example" it="Address: 198.51.100.1"
  in_host sh -c 'echo nameserver 127.0.0.53 >/etc/resolv.conf'
  start_helper "TEST_USER veth ocinet0 2"
  # By another uplink names are found, so that is taken.
  run as_user "$OCINET" doctor
  [[ $output != *"warn     /etc/resolv.conf"* ]]
  run -0 as_user "$OCINET" run --uplink helper -- cat /etc/resolv.conf
  [[ ${lines[0]} == "ocinet: No names are found: "*"(127.0.0.53)"*"--dns 9.9.9.9" ]]
  [ "${lines[1]}" = "nameserver 127.0.0.53" ]
  launch c0
  [ "$(by c0)" != helper ]
  delete_container c0
  in_host sh -c 'mkdir -p /run/systemd/resolve; echo nameserver 192.0.2.2 >/run/systemd/resolve/resolv.conf'
  in_host sysctl -q net.ipv4.ip_forward=1
  name_server in_peer
  # shellcheck disable=SC2086 # words
  {
    [[ $(as_user "$OCINET" run --uplink helper -- $nslookup) == *"$it"* ]]
    [[ $(ocinet run -- $nslookup) == *"$it"* ]]
    launch c1
    [ "$(by c1)" = helper ]
    [[ $(exec_container c1 ${nslookup#busybox }) == *"$it"* ]]
  }
  # Root's containers say it themselves, and so does who asks.
  [[ $(as_user "$OCINET" run --uplink helper --dns 192.0.2.53 -- cat /etc/resolv.conf) == *"nameserver 192.0.2.53" ]]
  [ "$(ocinet run --net default-restricted -- cat /etc/resolv.conf)" = "nameserver 127.0.0.53" ]
}

stop_background_but_helper() {
  local path
  for path in "$BATS_TEST_TMPDIR"/background/*; do
    [ "${path##*/}" = helper ] || stop "${path##*/}"
  done
}

@test "a container that is killed leaves nothing, with no hook run, and without asking again and again" {
  start_helper "TEST_USER veth ocinet0 1"
  launch c1
  [ "$(helpers_containers | wc -l)" = 1 ]
  kill_container c1
  wait_for nothing_attached
  helper_log | grep "took away helper.$(user_id).c1.*: its process [0-9]* has ended"
  # Nor does a link that the user takes away leave its address and place.
  hold_namespace box
  run -0 says_to_helper '{"do":"attach","id":"box","pid":'"$(holder_of box)"',"ifname":"eth0"}'
  jq -e .return <<<"$output"
  as_user nsenter --target "$(holder_of box)" --user --preserve-credentials --net ip link del dev eth0
  wait_for nothing_attached
  run ! grep veth < <(in_host nft list table bridge ocinet)
}

@test "killed with -9, the service sweeps when it starts again, and containers keep their network meanwhile" {
  start_helper "TEST_USER veth ocinet0 3" "TEST_USER port 8080"
  launch c1 -p 8080:80
  launch c2
  serve tcp 80 in_container c1
  kill -KILL "$(helper_pid)"
  stop helper
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  wait_for no_watcher
  kill_container c2
  delete_container c2
  [ "$(helpers_containers | wc -l)" = 2 ]
  start_helper
  helper_log | grep "took away helper.$(user_id).c2"
  [ "$(helpers_containers | wc -l)" = 1 ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  launch c3
  delete_container c1
  delete_container c3
  wait_for nothing_attached
  # All of it goes with the last.
  stop_background
  run -0 ocinet gc
  [[ $output == *"nft table bridge ocinet"*"bridge ocinet0"* ]]
}
no_watcher() { ! processes | grep -q '^ip -o monitor'; }

@test "a client that has gone before the answer has nothing" {
  start_helper "TEST_USER veth ocinet0 2"
  hold_namespace box
  # Asks and closes at once.
  as_user node -e 'const socket = require("net").connect(process.argv[1], () => socket.write(process.argv[2], () => socket.destroy()))' \
    "$(helper_socket)" '{"do":"attach","id":"box","pid":'"$(holder_of box)"$',"ifname":"eth0"}\n'
  wait_for grep -q 'attach box: taken back, because the caller has gone' "$BATS_TEST_TMPDIR/helper.log"
  nothing_attached
}

@test "without the service, or beyond what it grants, another uplink is taken; asked for by name it is refused with the remedy" {
  run -1 as_user "$OCINET" up --uplink helper 1
  start_helper "TEST_USER veth ocinet0 1"
  launch c1
  [ "$(by c1)" = helper ]
  launch c2
  [ "$(by c2)" = slirp4netns ]
  refused_beside c3 --uplink helper
  [[ $output == *'Cannot use uplink "helper": you have all the containers that /etc/ocinet/helper.conf grants; end one, or have root grant more'* ]]
  delete_container c1
  wait_for nothing_attached
  launch c4 -p 8080:80
  [ "$(by c4)" = slirp4netns ]
  refused_beside c5 --uplink helper --port-driver uplink -p 8081:80
  [[ $output == *'Cannot publish "8081:80/tcp" without root: /etc/ocinet/helper.conf does not grant the port (it grants: none)'* ]]
  refused_beside c8 --uplink helper -p 81:80
  [[ $output == *"(it grants: none); ports below 1024 are root's; "*"sysctl net.ipv4.ip_unprivileged_port_start=81"* ]]
  refused_beside c6 --uplink helper --net default-restricted
  [[ $output == *"default-restricted cannot be kept by it"* ]]
  stop helper
  refused_beside c7 --uplink helper
  [[ $output == *'Cannot use uplink "helper": '* && $output == *'root starts it with "ocinet helper"'* ]]
}
by() { as_user "$OCINET" inspect --json "$1" | jq -r '.[0].networks[0].by'; }
refused_beside() {
  bundle "$@"
  fails_to_start "$1"
  [ ! -e "$(user_state)/containers/$1" ]
}

@test "another uplink is taken where the service refuses what it has offered, or does not answer, which doctor says" {
  in_host mkdir /run/ocinet-helper
  # shellcheck disable=SC2016 # JavaScript
  service 'socket.end(/attach/.test(text) ? `{"error":{"desc":"no"}}` : `{"return":{"networks":[{"name":"a","free":1}]}}`)'
  run -0 --separate-stderr as_user "$OCINET" run -- sh -c 'ip -o -4 address show dev eth0'
  [[ $output == *10.0.2.100* ]]
  run -125 as_user "$OCINET" run --uplink helper true
  [ "$output" = "ocinet: no" ]
  stop service
  in_host rm "$(helper_socket)"
  service ""
  run -0 --separate-stderr as_user "$OCINET" run -- sh -c 'ip -o -4 address show dev eth0'
  [[ $output == *10.0.2.100* ]]
  OCINET_RUNTIME=node run as_user "$OCINET" doctor
  [[ $output == *"it does not answer on $(helper_socket): no answer within 5 seconds"* ]]
  as_user "$OCINET" gc
}

# service CODE: one that does this with `text` and `socket`
service() {
  background service in_host node -e 'process.umask(0); require("net").createServer({ allowHalfOpen: true }, (socket) =>
    socket.on("data", (text) => {'"$1"'}).on("error", () => {})).listen(process.argv[1])' "$(helper_socket)"
  wait_for in_host test -S "$(helper_socket)"
}

@test "a policy that names what is not there, a bridge without a file, and two at once for one place" {
  in_host ip link add nobodys0 type bridge
  start_helper "TEST_USER veth lxcbr0 3" "TEST_USER veth nobodys0 3"
  helper_log | grep -x '.*passes over "lxcbr0" in the policy: Cannot use network "lxcbr0": root has none of that name in /etc/ocinet/net.d, nor is there such a bridge'
  helper_log | grep 'passes over "nobodys0" in the policy: .*the bridge has no address'
  launch c1
  [ "$(by c1)" = slirp4netns ]
  in_host ip link add lxcbr0 type bridge
  in_host ip address add 10.0.3.1/24 dev lxcbr0
  in_host ip address add fd00:3::1/64 dev lxcbr0 nodad
  in_host ip link set lxcbr0 up
  policy "TEST_USER veth lxcbr0 1"
  serve tcp 8000 in_host
  run -0 as_user "$OCINET" run --uplink helper -- sh -c 'ip -o address show dev eth0 scope global | cut -d" " -f 7; ip route show default
    echo hello | socat -t 20 - TCP:10.0.3.1:8000; echo hello | socat -t 20 - "TCP6:[fd00:3::1]:8000"'
  [ "${lines[0]} ${lines[1]}" = "10.0.3.2/24 fd00:3::2/64" ]
  [[ ${lines[2]} == "default via 10.0.3.1 dev eth0"* ]]
  [ "${lines[3]}" = 10.0.3.2 ]
  [ "$(plain_address <<<"${lines[4]}")" = fd00:3::2 ]
  wait_for nothing_attached
  local name
  for name in one two; do
    background $name as_user "$OCINET" run --id $name -- sleep 1000
  done
  wait_for two_are_up
  [ "$(printf '%s\n' "$(by one)" "$(by two)" | sort | tr '\n' ' ')" = "helper slirp4netns " ]
  stop one
  stop two
  wait_for nothing_attached
  in_host ip link del lxcbr0
  in_host ip link del nobodys0
}
two_are_up() { [ "$(as_user "$OCINET" ls --json | jq 'map(select(.state == "up" and .id != "c1")) | length')" = 2 ]; }

@test "a network of root's own, a policy that changes, and one that others could write" {
  echo '{ "cniVersion": "1.0.0", "name": "shop", "type": "bridge", "bridge": "shop0", "isDefaultGateway": true,
    "ipMasq": true, "ipam": { "type": "host-local", "subnet": "10.20.0.0/16" } }' >"$NET_DIR/shop.conf"
  start_helper "@$OCINET_TEST_USER veth shop 1"
  launch c1
  run -0 as_user "$OCINET" inspect --json c1
  jq -e '.[0].networks[0].ips == ["10.20.0.2/16"]' <<<"$output"
  delete_container c1
  policy "# users of the shop" "TEST_USER veth ocinet0 1 # one" "TEST_USER veth shop 1"
  launch c2 --uplink helper:network=shop
  launch c3 --uplink helper
  [[ $(helpers_containers | wc -l) = 2 ]]
  # What is there can be taken away, whatever has become of the policy.
  chmod 666 "$BATS_TEST_TMPDIR/policy"
  refused_beside c4 --uplink helper
  helper_log | grep 'others than root may write it; chown root '
  delete_container c2
  helper_log | grep "detach c2: done"
  chmod 644 "$BATS_TEST_TMPDIR/policy"
  policy "nobody veth shop 1"
  refused_beside c5 --uplink helper
  delete_container c3
  wait_for nothing_attached
  # A user who is named anew has a socket once the service is told to look.
  policy "TEST_USER veth shop 1"
  kill -HUP "$(helper_pid)"
  wait_for in_host test -S "$(helper_socket)"
  policy "nonsense"
  stop helper
  run -1 ocinet helper --policy "$BATS_TEST_TMPDIR/policy"
  [[ $output == *"Cannot read line 1 of "*"policy: it is not USER|@GROUP veth NETWORK COUNT, or USER|@GROUP port "* ]]
  run -1 as_user "$OCINET" helper
  [[ $output == *"Cannot serve users: that takes root; sudo ocinet helper"* ]]
}

@test "systemd's units are right, and its sockets are taken over" {
  local unit
  mkdir "$BATS_TEST_TMPDIR/units"
  run -0 ocinet helper --units "$BATS_TEST_TMPDIR/units"
  [[ $output == *"systemctl enable --now ocinet-helper.service"* ]]
  (cd "$BATS_TEST_TMPDIR/units" && cp ocinet-helper@.socket ocinet-helper@1000.socket)
  run -0 systemd-analyze verify "$BATS_TEST_TMPDIR"/units/ocinet-helper{.service,@1000.socket}
  run -0 ocinet docker-plugin --units "$BATS_TEST_TMPDIR/units"
  ocinet agent --units >"$BATS_TEST_TMPDIR/units/ocinet-agent.service"
  for unit in "$BATS_TEST_TMPDIR"/units/ocinet-{docker,agent}*; do
    # The manual page is not installed here.
    run -0 --separate-stderr systemd-analyze verify --man=no "$unit"
    [ -z "$stderr" ] || fail "$unit:" "$stderr"
  done
  # docs/security.md has what systemd says, of 10.
  for unit in docker=4.7 helper=4.6 agent=8.2; do
    grep -F "| \`ocinet-${unit%=*}\` | ${unit#*=} |" "$PROJECT/docs/security.md"
    run -0 systemd-analyze security --offline=true "$BATS_TEST_TMPDIR/units/ocinet-${unit%=*}.service"
    [[ $output == *"Overall exposure level for ocinet-${unit%=*}.service: ${unit#*=} "* ]] || fail "$output"
  done
  # The units have as much power as the services had in all these tests.
  for unit in helper=helper.bash docker=docker.bats; do
    [ "$(sed -n 's/^CapabilityBoundingSet=//p' "$BATS_TEST_TMPDIR/units/ocinet-${unit%=*}.service" | tr -d ' ')" = \
      "$(grep -o 'bounding-set=-all[^ ]*' "bats/${unit#*=}" | sed 's/.*-all//; s/,+/CAP_/g' | tr '[:lower:]' '[:upper:]')" ]
  done

  policy "TEST_USER veth ocinet0 1"
  in_host mkdir -m 755 /run/ocinet-helper
  activated node
  wait_for in_host test -S "$(helper_socket)"
  in_host chown "$OCINET_TEST_USER" "$(helper_socket)"
  in_host chmod 600 "$(helper_socket)"
  local inode
  # shellcheck disable=SC2016 # awk's
  inode=$(in_host awk -v path="$(helper_socket)" '$8 == path { print $7 }' /proc/net/unix)
  run -0 says_to_helper '{"do":"show"}'
  jq -e '.return.networks[0].free == 1' <<<"$output"
  run -0 --separate-stderr as_user "$OCINET" run --uplink helper -- cat /sys/class/net/eth0/operstate
  [ "$output" = up ]
  wait_for nothing_attached
  # It is systemd's socket still, and what the service runs has it not.
  find "/proc/$(helper_pid)/fd" -lname "socket:\[$inode\]" | grep -q .
  local pids
  pids=$(processes_below "$(helper_pid)")
  [ -n "$pids" ]
  # shellcheck disable=SC2086 # a word for each
  run ! grep . < <(printf '/proc/%s/fd\n' $pids | xargs -I{} find {} -lname "socket:\[$inode\]")
  stop helper

  # On Deno every program that is run would have it.
  in_host rm "$(helper_socket)"
  activated deno
  wait_for in_host test -S "$(helper_socket)"
  in_host socat -u OPEN:/dev/null "UNIX-CONNECT:$(helper_socket)"
  wait_for grep -q 'Cannot take sockets from systemd on Deno, which would hand them on; set OCINET_RUNTIME=node' "$BATS_TEST_TMPDIR/helper.log"
}
processes_below() {
  local pid
  for pid in $(pgrep -P "$1"); do echo "$pid"; processes_below "$pid"; done
}
activated() {
  background helper in_host systemd-socket-activate --listen="$(helper_socket)" --fdname="$(user_id)" \
    -E OCINET_RUNTIME="$1" -E OCINET_STATE_DIR -E PATH "$OCINET" helper --policy "$BATS_TEST_TMPDIR/policy"
}

@test "killed with -9 at any program that it runs for a container, it leaves nothing once it has started again" {
  local wrappers=$BATS_TEST_TMPDIR/wrappers program number
  mkdir "$wrappers"
  cat >"$wrappers/wrapper" <<'WRAPPER'
#!/bin/bash -p
dir=${0%/*} name=${0##*/}
PATH=${PATH//$dir:}
# What has the user's id could not kill root's service.
((EUID == 0)) || exec "$name" "$@"
echo "$name" >>"$dir/calls"
at=$(<"$dir/at")
# Of two that start at once, both may count both.
((at && $(wc -l <"$dir/calls") >= at)) || exec "$name" "$@"
((at % 2)) || "$name" "$@"
kill -KILL "$(<"$dir/helper")"
exit 1
WRAPPER
  chmod 755 "$wrappers/wrapper"
  for program in sh timeout setpriv nsenter ip nft; do ln -s wrapper "$wrappers/$program"; done
  echo 0 >"$wrappers/at"
  policy "TEST_USER veth ocinet0 1" "TEST_USER port 8080"
  hold_namespace box
  for number in {1..30}; do
    HELPER_PATH=$wrappers:$PATH start_helper
    nothing_attached || fail "killed at call $((number - 1)), $(sed -n "$((number - 1))p" "$wrappers/calls")" "$(helpers_containers)"
    run ! grep veth < <(in_host nft list ruleset)
    helper_pid >"$wrappers/helper"
    : >"$wrappers/calls"
    echo "$number" >"$wrappers/at"
    run says_to_helper '{"do":"attach","id":"box","pid":'"$(holder_of box)"',"ifname":"eth0","ports":["8080:80"]}'
    [[ $output != *'"return"'* ]] || break
    wait_for gone "$(helper_pid)"
    echo 0 >"$wrappers/at"
    wait_for no_wrapped
    stop helper
  done
  [[ $output == *'"return"'* ]]
  ((number > 5))
}
no_wrapped() { ! processes | grep -qE 'wrappers|unshare|^sh -c exec 2>'; }
