#!/usr/bin/env bats
# A command that cannot see a process does not take it for dead: in another PID namespace, and where /proc hides it.
# shellcheck disable=SC2154 # what run sets
load lib

teardown() {
  tear_down_hosts
  rm -rf "/tmp/ocinet-$(id -u "$OCINET_TEST_USER")"
}

# apart COMMAND...: in a PID namespace of its own, as root
apart() { in_host unshare --pid --fork --kill-child --mount-proc "$@"; }

ids() { "$@" ls --json | jq -r '[.[] | .id + " " + .state] | join(",")'; }

# running NAME COMMAND...: `ocinet run` in the background, whose command has said "ready"
running() {
  background "$1" "${@:2}" run --id "$1" --net none -- sh -c 'echo ready; exec sleep 1000'
  wait_for grep -qs '^ready' "$BATS_TEST_TMPDIR/$1.log" || fail "$(<"$BATS_TEST_TMPDIR/$1.log")"
}

@test "a container of the host's is left alone by commands in another PID namespace, and one of that by the host" {
  local pid host
  running host in_host "$OCINET"
  pid=$(<"$BATS_TEST_TMPDIR/background/host")
  host=$(jq -c .container.init "$STATE_DIR/containers/host/container.json")
  jq -e --argjson pid "$pid" '.pid == $pid and .pidns == "pid:[4026531836]"' <<<"$host"
  apart "$OCINET" run --net none -- true
  run -0 apart "$OCINET" gc
  [[ $output != *host* ]]
  run -125 apart "$OCINET" run --id host --net none -- true
  [[ $output == *'"host": it is attached already'* ]]

  # Both wrappers are process 1 of their namespaces.
  running first apart "$OCINET"
  kill -KILL "$(<"$BATS_TEST_TMPDIR/background/first")"
  rm "$BATS_TEST_TMPDIR/background/first"
  running nested apart "$OCINET"
  wait_for first_gone
  [[ $(ids ocinet) == *"nested up" ]]
  ocinet run --net none -- true
  wait_for ids_are "host up,nested up"
  # Root of the first PID namespace sees that nothing is left in the other.
  kill -KILL "$(<"$BATS_TEST_TMPDIR/background/nested")"
  rm "$BATS_TEST_TMPDIR/background/nested"
  wait_for gone_for_gc
  [ "$(ids ocinet)" = "host up" ]
}
# ids_are IDS: the command before goes from the list a moment after it has ended
ids_are() { [ "$(ids ocinet)" = "$1" ]; }
first_gone() { ocinet gc | grep -q nested || [[ $(ids ocinet) != *first* ]]; }
gone_for_gc() { ocinet gc | grep -q nested || [ "$(ids ocinet)" = "host up" ]; }

@test "where /proc is another PID namespace's nothing is guessed" {
  run -125 in_host unshare --pid --fork --kill-child "$OCINET" run --net none -- true
  [[ $output == *"/proc shows another PID namespace than ours; mount it anew (unshare --mount-proc)"* ]]
  running host in_host "$OCINET"
  in_host unshare --pid --fork --kill-child "$OCINET" gc
  [ "$(ids ocinet)" = "host up" ]
}

users_box_is_up() { [ "$(ids user)" = "box up" ]; }

@test "where /proc hides processes a container lives on (hidepid 1 and 2)" {
  local option
  user() { as_user "$OCINET" "$@"; }
  running box as_user "$OCINET"
  for option in 1 2; do
    in_host mount -t proc -o "hidepid=$option" proc /proc
    # Root of a user namespace beside the container's may not look at it.
    run -0 as_user unshare --user --map-root-user "$OCINET" gc
    [[ $output != *box* ]]
    wait_for users_box_is_up
    user gc
    [ "$(ids user)" = "box up" ]
    user run --net none -- true
    in_host umount /proc
  done
}
