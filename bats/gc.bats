#!/usr/bin/env bats
# gc: what it takes and why, what it leaves alone, and that hooks do it in passing.
load lib
load contained

setup() {
  set_up_hosts
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
  network blue.conf blue bridge 10.1.1.0/24
  snapshot >"$BATS_TEST_TMPDIR/before"
}

# box NAME OPTIONS...: an attached namespace with a process in it
box() {
  background "$1" in_host unshare --net sleep 1000
  wait_for is_apart "$(pid_of "$1")"
  ocinet up "$(pid_of "$1")" --id "$1" "${@:2}"
}

pid_of() { cat "$BATS_TEST_TMPDIR/background/$1"; }
# is_apart PID [PLACE...]: it is in another network namespace than the host, or than that place
is_apart() {
  local place=("${@:2}")
  ((${#place[@]})) || place=(in_host)
  [ "$(readlink "/proc/$1/ns/net")" != "$("${place[@]}" readlink /proc/self/ns/net)" ]
}

end_box() {
  local pid
  pid=$(pid_of "$1")
  kill -KILL "$pid"
  wait_for gone "$pid"
}

record_of() { echo "$STATE_DIR/containers/$1/container.json"; }

# change_record NAME FILTER
change_record() {
  local changed
  changed=$(jq "$2" "$(record_of "$1")")
  echo "$changed" >"$(record_of "$1")"
}

# stale_boxes: one for each reason that gc has, and one that lives
stale_boxes() {
  box lives --net blue
  box ended --net blue -p 8080:80
  box rebooted --net blue
  box unfinished --net blue -p 8081:80
  in_host ip netns add named
  ocinet up /run/netns/named --net default
  mkdir "$STATE_DIR/containers/begun"

  end_box ended
  end_box rebooted
  change_record rebooted '.bootId = "00000000-0000-0000-0000-000000000000"'
  change_record unfinished '.phase = "planned"'
  in_host ip netns delete named
  wait_for veths_are 2
}

# The kernel takes a link away some time after the namespace of its other end.
veths_are() { [ "$(in_host ip -o link | grep -c veth)" = "$1" ]; }

reasons() {
  cat <<REASONS
begun: it was given up before anything was done
ended: its process $(pid_of ended) has ended
named: its namespace /run/netns/named is gone
rebooted: the machine has been restarted since
unfinished: its attaching was cut short
REASONS
}

@test "a container whose namespace is seen in another mount namespace alone is left alone, and its ports with it" {
  # shellcheck disable=SC2016 # the inner shell's
  background hidden in_host unshare --mount --propagation private bash -c '
    mount -t tmpfs tmpfs /run/netns && ip netns add hidden && ip netns add other && echo ready && exec sleep 1000'
  wait_for grep -q ready "$BATS_TEST_TMPDIR/hidden.log"
  in_hidden() { in_host nsenter --target "$(pid_of hidden)" --mount "$@"; }
  in_hidden "$OCINET" up /run/netns/hidden --net default -p 8080:80
  snapshot >"$BATS_TEST_TMPDIR/hidden"
  run -0 ocinet gc
  equal "" "$output"
  in_host ip netns add another
  run -1 ocinet up /run/netns/another -p 8080:80
  [[ $output == *'Cannot publish "8080:80/tcp": container "hidden" has it' ]]
  in_host ip netns delete another
  assert_same_snapshot "$BATS_TEST_TMPDIR/hidden"
  # What has only just gone is waited for.
  in_hidden ip netns delete hidden
  in_hidden "$OCINET" up /run/netns/other --net default -p 8080:80
  in_hidden ip netns delete other
  ocinet gc
  stop hidden
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "gc --dry-run says what it would take and why, and the lines for it; it changes nothing" {
  stale_boxes
  snapshot >"$BATS_TEST_TMPDIR/stale"
  run -0 ocinet gc --dry-run
  equal "$(reasons)" "$(grep -E '^[a-z]+: ' <<<"$output")"
  [[ $output == *"nft delete element inet ocinet ports4 { tcp . 8080 : "*"ip link del dev veth"* ]]
  assert_same_snapshot "$BATS_TEST_TMPDIR/stale"
  run -0 ocinet gc --dry-run --json
  jq -e '(.report // .).containers | map(.id) == ["begun", "ended", "named", "rebooted", "unfinished"]' <<<"$output"
  assert_same_snapshot "$BATS_TEST_TMPDIR/stale"

  run -0 ocinet gc
  equal "$(reasons)" "$output"
  run -0 ocinet gc
  equal "" "$output"
  run -0 ocinet ls --json
  jq -e 'length == 1 and .[0].id == "lives" and .[0].state == "up"' <<<"$output"
  ocinet down lives
  ocinet gc
  stop lives
  stop unfinished
  # A reboot would have taken the rules and the link of the one that was attached before it.
  in_host nft delete table inet ocinet
  wait_for veths_are 0
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "gc --dry-run says what shared things would go with the last container" {
  box last --net blue
  run -0 ocinet gc --dry-run
  equal "" "$output"
  end_box last
  run -0 ocinet gc --dry-run
  [[ $output == *"last: its process"* ]]
  wait_for veths_are 0
  run -0 ocinet gc --dry-run
  [[ $output == *"
nft table inet ocinet: no container is left that needs it
bridge blue0: no container is left that needs it
state in $STATE_DIR: no container is left that needs it" ]]
  in_host ip link show blue0
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "gc --json" {
  box one --net blue
  run -0 ocinet gc --json
  jq -e '. == { containers: [], shared: [], problems: [] }' <<<"$output"
  end_box one
  run -0 ocinet gc --json
  # shellcheck disable=SC2016 # jq's variable
  jq -e --arg pid "$(pid_of one)" --arg state "$STATE_DIR" '. == {
    containers: [{ id: "one", reason: "its process \($pid) has ended" }],
    shared: ["nft table inet ocinet", "bridge blue0", "state in \($state)"],
    problems: [] }' <<<"$output"
  run -0 ocinet gc --json
  jq -e '. == { containers: [], shared: [], problems: [] }' <<<"$output"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "what gc cannot take it names, takes the rest, and ends with 1" {
  box one --net blue
  box two --net blue
  end_box one
  end_box two
  in_host mount --bind -o ro "$STATE_DIR/containers/one" "$STATE_DIR/containers/one"
  run -1 ocinet gc --json
  jq -e '(.containers | map(.id)) == ["two"] and (.problems | length) == 1 and .shared == []' <<<"$output"
  in_host umount "$STATE_DIR/containers/one"
  run -0 ocinet gc --json
  jq -e '(.containers | map(.id)) == ["one"] and .problems == []' <<<"$output"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

with_each_runtime "hooks take what others left, in passing" in_passing
in_passing() {
  local stale
  for stale in 1 2 3; do
    box "stale$stale" --net blue -p "808$stale:80"
    end_box "stale$stale"
  done
  prepare a "$1" --net blue -p 8081:80
  # At the latest who needs its port takes it.
  start_container a "$(bundle_path a)"
  local _
  for _ in 1 2 3; do
    delete_container a
    start_container a "$(bundle_path a)"
  done
  equal a "$(ls "$STATE_DIR/containers")"
  delete_container a
  run -0 ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "the port of a container that has ended goes to the next that wants it, whichever command is asked" {
  local n
  for n in {4..6}; do box "box$n" --net blue -p "808$n:80"; done
  end_box box5
  run -1 ocinet up "$(pid_of box6)" --id other -p 8084:80
  [[ $output == *'container "box4" has it' ]]
  ocinet down box6
  ocinet up "$(pid_of box6)" --id box6 -p 8085:80
  [ ! -e "$STATE_DIR/containers/box5" ]
  ocinet down box4 box6
  stop box4
  stop box6
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "a later process with a container's pid is not the container" {
  box one --net blue -p 8080:80
  # As if the journal's process had ended, and its pid had come to this one.
  change_record one '.container.init.startTime = "1"'
  run -0 ocinet ls --json
  # shellcheck disable=SC2016 # jq's variable
  jq -e --argjson pid "$(pid_of one)" '.[0].reason == "its process \($pid) has ended"' <<<"$output"
  nsenter --net="/proc/$(pid_of one)/ns/net" ip link add mine type bridge
  run -0 ocinet gc
  [[ $output == "one: its process $(pid_of one) has ended"* ]]
  [ -e "/proc/$(pid_of one)" ]
  nsenter --net="/proc/$(pid_of one)/ns/net" ip link show mine
  stop one
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# is_collected ID: gc takes it now
is_collected() { [[ $(ocinet gc) == "$1: its namespace /run/netns/$1 is gone"* ]]; }

@test "nor is a later namespace with a container's path the container's" {
  in_host ip netns add named
  ocinet up /run/netns/named --net blue
  # While a process is in there, the kernel gives its number to no other, and the container has its link.
  background holder in_host ip netns exec named sleep 1000
  wait_for is_apart "$(pid_of holder)"
  in_host ip netns delete named
  in_host ip netns add named
  in_host ip -n named link add eth0 type bridge
  run -0 ocinet gc
  [ -z "$output" ]
  stop holder
  wait_for is_collected named
  in_host ip -n named link show eth0
  in_host ip netns delete named
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "a container of another host namespace is left to that" {
  box one --net blue -p 8080:80
  in_host ip netns add elsewhere
  local elsewhere=(in_host ip netns exec elsewhere "$OCINET")
  run -0 "${elsewhere[@]}" gc --json
  jq -e '. == { containers: [], shared: [], problems: [] }' <<<"$output"
  end_box one
  run -0 "${elsewhere[@]}" gc --json
  jq -e '. == { containers: [], shared: [], problems: [] }' <<<"$output"
  # Nor does a hook there take it in passing, or the port.
  background there in_host ip netns exec elsewhere unshare --net sleep 1000
  wait_for is_apart "$(pid_of there)"
  wait_for is_apart "$(pid_of there)" "${elsewhere[@]:0:5}"
  run -1 "${elsewhere[@]}" up "$(pid_of there)" --id there -p 8080:80
  [[ $output == *'container "one" has it' ]]
  [ -e "$(record_of one)" ]
  stop there
  in_host ip netns delete elsewhere
  run -0 ocinet gc
  [[ $output == "one: its process"* ]]
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "state in another directory is another's: gc there takes nothing of ours" {
  box one --net blue -p 8080:80
  mkdir "$BATS_TEST_TMPDIR/other"
  OCINET_STATE_DIR=$BATS_TEST_TMPDIR/other run -0 ocinet gc --json
  jq -e '.containers == [] and .shared == []' <<<"$output"
  in_one() { in_host nsenter --net="/proc/$(pid_of one)/ns/net" -- "$@"; }
  serve tcp 80 in_one
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  stop tcp4-80
  stop tcp6-80
  ocinet down one
  stop one
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "a command that is busy with a container is left to it" {
  box one --net blue
  change_record one '.phase = "planned"'
  mkdir -p "$STATE_DIR/locks"
  background holder in_host flock --no-fork "$STATE_DIR/locks/one" sleep 1000
  wait_for is_held
  run -0 ocinet gc --json
  jq -e '.containers == []' <<<"$output"
  run -0 ocinet gc --dry-run
  equal "" "$output"
  stop holder
  run -0 ocinet gc
  [[ $output == "one: its attaching was cut short"* ]]
  stop one
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

is_held() { ! flock --nonblock "$STATE_DIR/locks/one" true; }
