#!/usr/bin/env bats
# What has to be waited for: it is told, has a limit, can be interrupted, and is whole when it comes.
# shellcheck disable=SC2154 # what run sets
load lib

teardown() {
  tear_down_hosts
  rm -rf "/tmp/ocinet-$(id -u "$OCINET_TEST_USER")"
}

# on_each DESCRIPTION FUNCTION: a test for each runtime
on_each() {
  local runtime
  for runtime in deno node; do bats_test_function --description "$1 ($runtime)" -- on "$runtime" "$2"; done
}
on() {
  export OCINET_RUNTIME=$1
  "$2"
}

on_each "output is whole in a pipe that does not block, quiet in one that no process reads, and an error on a full disk" output_is_whole
output_is_whole() {
  local bundle=$BATS_TEST_TMPDIR/bundle
  mkdir "$bundle"
  jq -n '{ ociVersion: "1.0.2", process: { args: ["true"], env: [range(20000) | "VARIABLE_\(.)=1"] }, root: { path: "/" },
    linux: { namespaces: [{ type: "network" }, { type: "mount" }] } }' >"$bundle/config.json"
  # The reader begins once the writer has to wait.
  # shellcheck disable=SC2016 # perl's
  in_host perl -MFcntl -e 'pipe my $out, my $in or die; fcntl $in, F_SETFL, O_WRONLY | O_NONBLOCK; fcntl $in, 1031, 65536;
    my $pid = fork // die; if (!$pid) { close $out; open STDOUT, ">&", $in; exec @ARGV or die }
    close $in; my $text = ""; my $size;
    do { select undef, undef, undef, 0.001; $size = sysread $out, $text, 4096, length $text } while $size;
    waitpid $pid, 0; print $text; exit $? >> 8' "$OCINET" inject --print "$bundle" >"$BATS_TEST_TMPDIR/piped"
  ocinet inject --print "$bundle" >"$BATS_TEST_TMPDIR/direct"
  (($(stat -c %s "$BATS_TEST_TMPDIR/direct") > 400000))
  cmp "$BATS_TEST_TMPDIR/piped" "$BATS_TEST_TMPDIR/direct"
  ocinet inject --print "$bundle" 2>"$BATS_TEST_TMPDIR/complaints" | head -n 1
  [ ! -s "$BATS_TEST_TMPDIR/complaints" ] || fail "$(<"$BATS_TEST_TMPDIR/complaints")"
  # shellcheck disable=SC2016 # the inner shell's
  run -1 in_host bash -c '"$@" >/dev/full' bash "$OCINET" inject --print "$bundle"
  [ "$output" = "ocinet: Cannot write to standard output: no space is left on the device" ] || fail "$output"
  # Nor does a pipe that it reads have to block.
  # shellcheck disable=SC2016 # perl's
  run -1 in_host perl -MFcntl -e 'pipe my $out, my $in or die; fcntl $out, F_SETFL, O_NONBLOCK;
    my $pid = fork // die; if (!$pid) { close $in; open STDIN, "<&", $out; exec @ARGV or die }
    close $out; select undef, undef, undef, 0.3; syswrite $in, "{\"id\": \"a\""; select undef, undef, undef, 0.1;
    syswrite $in, ", \"status\": \"created\", \"pid\": 4194305, \"bundle\": \"/\"}"; close $in; waitpid $pid, 0; exit $? >> 8' \
    "$OCINET" hook createRuntime
  [ "$output" = "ocinet: Cannot use process 4194305: it does not run" ] || fail "$output"
}

on_each "where no descriptor is left, that is said, and what is there stays" descriptors_are_short
descriptors_are_short() {
  in_host ip netns add box
  ocinet up box
  # shellcheck disable=SC2016 # the inner shell's
  few() { in_host bash -c 'ulimit -n 24 && exec "$@"' bash "$OCINET" "$@"; }
  run -1 few repair box
  [[ $output == *"too many files are open"* && ${#lines[@]} = 1 ]] || fail "$output"
  run -0 few ls --json
  jq -e '.[0] | .state == "partial" and (.reason | contains("too many files are open"))' <<<"$output" || fail "$output"
  run -0 ocinet ls --json
  jq -e '.[0].state == "up"' <<<"$output"
  ocinet down box
  in_host ip netns delete box
}

on_each "who has a lock that is waited for is told" lock_is_told
lock_is_told() {
  mkdir -p "$STATE_DIR/locks"
  mkdir -p "$STATE_DIR/containers/box"
  # shellcheck disable=SC2016 # the inner shell's
  background holder in_host bash -c 'exec 9>"$1"; flock 9; echo ready; exec sleep 1000' bash "$STATE_DIR/locks/box"
  wait_for grep -q ready "$BATS_TEST_TMPDIR/holder.log"
  background down in_host "$OCINET" down box
  wait_for grep -qs . "$BATS_TEST_TMPDIR/down.log"
  [ "$(<"$BATS_TEST_TMPDIR/down.log")" = \
    "ocinet: Waiting for the lock $STATE_DIR/locks/box, which process $(<"$BATS_TEST_TMPDIR/background/holder") has (sleep 1000)" ] ||
    fail "$(<"$BATS_TEST_TMPDIR/down.log")"
  stop holder
  wait_for gone "$(<"$BATS_TEST_TMPDIR/background/down")"
}

on_each "where no state can be kept is said at once" no_state_there
no_state_there() {
  run -1 in_host timeout 50 env OCINET_STATE_DIR=/proc/x "$OCINET" ls
  [[ $output == "ocinet: "*"/proc/x"* ]] || fail "$output"
}

on_each "Ctrl-C while it starts is quiet, and nothing is left" ctrl_c
ctrl_c() {
  local after
  for after in 0.03 0.1 0.2 0.3 0.4 0.6; do
    run in_host env --default-signal=INT timeout --preserve-status --signal INT "$after" "$OCINET" run -p 8080:80 -- true
    [ "$status" = 130 ] || [ "$status" = 0 ] || fail "$status: $output"
    [ -z "$output" ] || fail "$output"
  done
  wait_for nothing_left
  wait_for none_attached
}
none_attached() { [ "$(ocinet ls --json)" = "[]" ]; }

@test "a newuidmap that hangs is not waited for, and nothing of it stays" {
  local bin=$HOST_DIR/user/home/bin
  as_user mkdir "$bin"
  printf '#!/bin/sh\nexec sleep 1000\n' >"$bin/newuidmap"
  chmod 755 "$bin/newuidmap"
  run -0 as_user env PATH="$bin:$PATH" "$OCINET" run --net none -- cat /proc/self/uid_map
  [ "$(wc -l <<<"$output")" = 1 ]
  wait_for nothing_left
}
