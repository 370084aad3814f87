#!/usr/bin/env bats
# `ocinet run` as an ordinary user sees it.
# shellcheck disable=SC2154 # what run sets
load lib

@test "a command has a network of its own, root's rights in it, and the caller's files" {
  [ "$EUID" != 0 ]
  echo mine >"$BATS_TEST_TMPDIR/file"
  # shellcheck disable=SC2016 # the command's shell
  run -0 --separate-stderr ocinet run --hostname box -- sh -c '
    id -u; hostname; echo /sys/class/net/*; cat "$1"; echo more >>"$1"
    ip link add name veth0 type veth peer name veth1 && ip link set lo down && echo done' sh "$BATS_TEST_TMPDIR/file"
  [ "${lines[*]}" = "0 box /sys/class/net/eth0 /sys/class/net/lo mine done" ]
  [ "$(stat -c %u "$BATS_TEST_TMPDIR/file")" = "$EUID" ]
  grep -x more "$BATS_TEST_TMPDIR/file"
  [ "$(hostname)" != box ]
  wait_for nothing_listed
}

nothing_listed() { [ "$(ocinet ls --json)" = "[]" ]; }

@test "with ranges of ids there are other users in it, without newuidmap there are not" {
  run -0 ocinet run --net none -- sh -c 'grep -c . /proc/self/uid_map; setpriv --reuid 1000 --regid 1000 --clear-groups id -u'
  [ "${lines[*]}" = "2 1000" ]
  local bin=$BATS_TEST_TMPDIR/bin
  mkdir "$bin"
  printf '#!/bin/sh\nexit 1\n' >"$bin/newuidmap"
  chmod 755 "$bin/newuidmap"
  run -0 --separate-stderr env PATH="$bin:$PATH" "$OCINET" run --net none -- cat /proc/self/uid_map
  [ "$(tr -s ' ' <<<"$output")" = " 0 $EUID 1" ]
  [ -z "$stderr" ]
}

@test "the world is reached, a published port answers, and no longer once it is over" {
  background web in_host "$OCINET" run -p 127.0.0.1:8080:80 -- socat TCP4-LISTEN:80,fork,reuseaddr SYSTEM:"echo hello"
  wait_for answers
  background peer in_host socat TCP4-LISTEN:8000,fork,reuseaddr SYSTEM:"echo hello"
  wait_for listens_on 8000
  [ "$(ocinet run -- socat -u TCP4:192.0.2.1:8000 -)" = hello ]
  stop web
  wait_for silent
}

answers() { [ "$(socat -u TCP4:127.0.0.1:8080 - 2>/dev/null)" = hello ]; }
silent() { ! listens_on 8080; }
listens_on() { ss -Hltn "sport = :$1" | grep -q .; }
