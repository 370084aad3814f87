#!/usr/bin/env bats
# An ordinary user's containers into which a runtime lets no process from outside: crun's, and runc's that join namespaces
# by path. There the createContainer hook lets us in.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless

setup() {
  set_up_hosts
  RUNTIME=crun
}

hook_log() { echo "$(user_state)/hook.log"; }
no_meetings() { [ -z "$(ls "$(user_state)/meetings")" ]; }

@test "crun: connected from the first moment, with names and files, and gone" {
  serve tcp 8000 in_peer
  bundle c1 --hosts-entry 192.0.2.9=db --hostname box
  run -0 says c1 'echo hello | nc 192.0.2.2 8000; echo hello | nc 2001:db8:1::2 8000; hostname; cat /etc/resolv.conf /etc/hosts'
  [ "${lines[0]}" = 192.0.2.1 ]
  [ "$(plain_address <<<"${lines[1]}")" = 2001:db8:1::1 ]
  [ "${lines[2]}" = box ]
  [[ $output == *"nameserver 10.0.2.3"*"192.0.2.9 db"* ]]
  is_gone c1
  no_meetings
  [ ! -e "$(hook_log)" ]
}

@test "crun: ports, ls, and an end by delete, by kill, and by down" {
  launch c1 -p 8080:80
  run -0 as_user "$OCINET" ls --json
  jq -e --argjson pid "$(container_pid c1)" '.[0] | .state == "up" and .pid == $pid and
    .netns == "/proc/\($pid)/ns/net" and .networks[0].ips[0] == "10.0.2.100/24" and .ports[0].mapping == "8080:80/tcp"' \
    <<<"$output" || fail "$output"
  serve tcp 80 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  delete_container c1
  wait_for is_gone c1

  start_container c1 "$(path_of c1)"
  kill -KILL "$(container_pid c1)"
  wait_for no_slirp
  as_user "$OCINET" gc
  is_gone c1
  delete_container c1

  start_container c1 "$(path_of c1)"
  as_user "$OCINET" down c1
  wait_for is_gone c1
}

@test "crun: run returns when the container has ended, and SIGTERM ends what we start" {
  local pid
  bundle c1 -p 8080:80 -p '[::1]:8081:80'
  set_args "$(path_of c1)" echo over
  note_container c1 "$(path_of c1)"
  # A test that waited for something of ours to go by itself would wait for good.
  background crun runtime_of "$(path_of c1)" run --bundle "$(path_of c1)" c1
  wait_for gone "$(<"$BATS_TEST_TMPDIR/background/crun")"
  [ "$(<"$BATS_TEST_TMPDIR/crun.log")" = over ] || fail "$(<"$BATS_TEST_TMPDIR/crun.log")"
  is_gone c1

  set_args "$(path_of c1)" sleep 1000
  start_container c1 "$(path_of c1)"
  slirp
  nothing_is_blocked
  pid=$(uplink_pids c1 | tail -n 1)
  kill -TERM "$pid"
  wait_for gone "$pid"
}

@test "crun: created and started apart, connected when created, though its own sysctls switch IPv6 off" {
  bundle c1
  without_ipv6 c1
  note_container c1 "$(path_of c1)"
  runtime_of "$(path_of c1)" create --bundle "$(path_of c1)" c1 </dev/null >/dev/null 2>&1 3>&-
  as_user "$OCINET" ls --json | jq -e '.[0].state == "up"'
  run -0 as_user "$OCINET" gc
  [ -z "$output" ]
  runtime_of "$(path_of c1)" start c1
  [[ $(in_container c1 ip -o -4 address show eth0) == *10.0.2.100/24* ]]
  delete_container c1
  wait_for is_gone c1
}

@test "crun: the other modes" {
  bundle c1 --net none
  run -0 says c1 "ip -o link"
  [[ ${lines[0]} == "1: lo: <LOOPBACK,UP,LOWER_UP>"* && $output != *": eth0"* ]]
  bundle c2 --net host --dns 192.0.2.53
  run -0 says c2 "ip -o -4 address; cat /etc/resolv.conf"
  [[ $output == *192.0.2.1/24*"nameserver 192.0.2.53"* ]]
  serve tcp 8000 in_peer
  launch c3 --net default-restricted -p 8080:80
  serve tcp 80 in_container c3
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  unanswered tcp 192.0.2.2 8000 in_container c3
}

@test "crun: what cannot work keeps the container from starting, and its reason is in the log and where crun shows it" {
  bundle c1 -p 80:80
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(path_of c1)" '.annotations["run.oci.hooks.stderr"] = $file' --arg file "$HOST_DIR/user/run/stderr"
  run ! run_container c1 "$(path_of c1)"
  local reason='Cannot publish "80:80/tcp" without root: ports below 1024'
  grep "^ocinet: $reason" "$HOST_DIR/user/run/stderr"
  grep "agent c1: $reason" "$(hook_log)"
  is_gone c1
  no_meetings
}

@test "crun: a bundle of an earlier version is refused with the remedy" {
  bundle c1
  set_config "$(path_of c1)" 'del(.hooks.createContainer)'
  run ! run_container c1 "$(path_of c1)"
  grep 'createRuntime c1: .* has no createContainer hook that lets us in; ocinet inject puts one there' "$(hook_log)"
  is_gone c1
}

@test "crun: the agent is killed, and the container does not start without its network" {
  bundle c1
  # Another hook before ours, in which there is time for it.
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(path_of c1)" '.hooks.createContainer = [{path: "/bin/sh", args: ["sh", "-c", $script]}] + .hooks.createContainer' \
    --arg script "touch $HOST_DIR/user/run/there; until [ -e $HOST_DIR/user/run/on ]; do sleep 0.02; done"
  set_config "$(path_of c1)" '.root.readonly = false'
  set_args "$(path_of c1)" touch /tmp/ran
  background crun runtime_of "$(path_of c1)" run --bundle "$(path_of c1)" c1
  note_container c1 "$(path_of c1)"
  wait_for test -e "$HOST_DIR/user/run/there"
  kill -KILL "$(pgrep -u "$OCINET_TEST_USER" -f "hook agent")"
  as_user touch "$HOST_DIR/user/run/on"
  wait_for gone "$(<"$BATS_TEST_TMPDIR/background/crun")"
  [ ! -e "$(path_of c1)/rootfs/tmp/ran" ]
  is_gone c1
  no_meetings
}

@test "crun: pasta outlives the hook that lets it in, is there again when it has died, and ends with the container" {
  renew_pasta
  bundle c1 --uplink pasta -p 8080:80
  without_ipv6 c1
  start_container c1 "$(path_of c1)"
  serve tcp 80 in_container c1
  local pid
  pid=$(uplink_pids c1 | tail -n 1)
  # What followed the hook would end within a second.
  wait_for older_than 1500 "$pid"
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  kill -KILL "$pid"
  wait_for pasta_again "$pid"
  [ "$(wait_for ask_within 1 tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  stop_background
  kill -KILL "$(container_pid c1)"
  wait_for no_processes
}

# without_ipv6 ID: its bundle's own sysctls switch IPv6 off, which crun does before it lets us in
without_ipv6() {
  set_config "$(path_of "$1")" '.linux.sysctl = { "net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1" }'
}

# older_than MILLISECONDS PID: fails for one that has ended
older_than() {
  local start
  start=$(awk '{ print $22 }' "/proc/$2/stat") && awk -v start="$start" -v age="$1" '{ exit $1 * 1000 - start * 10 < age }' /proc/uptime
}

pasta_again() { [ "$(uplink_pids c1 | tail -n 1)" != "$1" ] && as_user "$OCINET" ls --json | jq -e '.[0].state == "up"'; }

@test "crun: on Node all is as on Deno" {
  export OCINET_RUNTIME=node
  serve tcp 8000 in_peer
  launch c1 -p 8080:80
  [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = 192.0.2.1 ]
  kill -TERM "$(uplink_pids c1 | tail -n 1)"
  wait_for no_slirp
  delete_container c1
  is_gone c1
}

@test "one bundle serves runc and crun" {
  bundle c1
  local hooks
  hooks=$(jq .hooks "$(path_of c1)/config.json")
  run -0 says c1 "ip -o -4 address show eth0"
  [[ $output == *10.0.2.100/24* ]]
  echo "runc user" >"$(path_of c1)/for"
  run -0 says c1 "ip -o -4 address show eth0"
  [[ $output == *10.0.2.100/24* ]]
  is_gone c1
  [ "$(jq .hooks "$(path_of c1)/config.json")" = "$hooks" ]
  as_user "$OCINET" inject --remove "$(path_of c1)"
  [ "$(jq .hooks "$(path_of c1)/config.json")" = null ]
}

# by_path RUNTIME
by_path() {
  # shellcheck disable=SC2034 # for bundle
  RUNTIME=$1
  bundle c1 -p 8080:80
  background holder as_user unshare -Urn sleep 1000
  wait_for other_namespace
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(path_of c1)" '(.linux.namespaces[] | select(.type == "network" or .type == "user")) |=
    (.path = "/proc/\($pid)/ns/\({network: "net", user: "user"}[.type])")' --arg pid "$(<"$BATS_TEST_TMPDIR/background/holder")"
  start_container c1 "$(path_of c1)"
  serve tcp 80 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  delete_container c1
  wait_for is_gone c1
}

other_namespace() {
  [ "$(readlink "/proc/$(<"$BATS_TEST_TMPDIR/background/holder")/ns/net")" != "$(in_host readlink /proc/self/ns/net)" ]
}

@test "namespaces joined by path (runc)" { by_path runc; }
@test "namespaces joined by path (crun)" { by_path crun; }

@test "crun: without a pid namespace of its own it is connected all the same, and ends with the container" {
  bundle c1
  set_config "$(path_of c1)" '.linux.namespaces |= map(select(.type != "pid")) |
    (.mounts[] | select(.destination == "/proc")) = {destination: "/proc", type: "none", source: "/proc", options: ["rbind"]}'
  serve tcp 8000 in_peer
  start_container c1 "$(path_of c1)"
  # What watched a process that has ended by now would end within a second.
  [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = 192.0.2.1 ]
  processes | grep -x "tail --pid=$(container_pid c1) -f /dev/null"
  kill -KILL "$(container_pid c1)"
  wait_for no_slirp
}
