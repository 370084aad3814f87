#!/usr/bin/env bats
# Both runtimes listen for a debugger when they get SIGUSR1, which would let any user of the machine run code as us.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless
load helper

setup() { set_up_hosts; }

teardown() {
  as_user "$OCINET" session stop >/dev/null || true
  tear_down_hosts
  rm -rf "/tmp/ocinet-$(id -u "$OCINET_TEST_USER")"
}

# runtimes RUNTIME: pids of those that run us, helper, relays, root's command and a user's
runtimes() {
  local pid
  for pid in $(test_pids); do
    case $(readlink "/proc/$pid/exe") in */"$1") echo "$pid" ;; esac
  done
}

# is_deaf PID: no thread of it gets SIGUSR1; or it could not listen
is_deaf() {
  local thread words blocked
  words=$(tr '\0' ' ' <"/proc/$1/cmdline")
  [[ $words != *" --inspect-port=[ff02::1]:9229 "* ]] || return 0
  for thread in /proc/"$1"/task/*/status; do
    # A thread may have ended meanwhile.
    blocked=$(sed -n 's/^SigBlk:\t/0x/p' "$thread" 2>/dev/null) || continue
    ((blocked & 0x200)) || return
  done
}

nobody_debugs() {
  local runtime=$1 pid pids
  export OCINET_RUNTIME=$runtime
  start_helper "TEST_USER veth ocinet0 1"
  # shellcheck disable=SC2016 # the command's shell
  local hear='trap "echo heard" USR1; echo ready; while :; do sleep 1000 & wait; done'
  background roots in_host "$OCINET" run --net none -- bash -c "$hear"
  background users as_user "$OCINET" run --id users --uplink slirp4netns --proxy-protocol v1 -p 8080:80 -- bash -c "$hear"
  wait_for grep -q ready "$BATS_TEST_TMPDIR/roots.log"
  wait_for grep -q ready "$BATS_TEST_TMPDIR/users.log"
  as_user "$OCINET" session start
  mapfile -t pids < <(runtimes "$runtime")
  # Helper, two supervisors, and two halves of two relays.
  ((${#pids[@]} == 7)) || fail "${#pids[@]} runtimes:" "$(processes)"
  for pid in "${pids[@]}"; do
    is_deaf "$pid" || fail "not deaf: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
    kill -USR1 "$pid"
  done
  for name in roots users; do kill -USR1 "$(<"$BATS_TEST_TMPDIR/background/$name")"; done
  for name in roots users; do wait_for grep -q heard "$BATS_TEST_TMPDIR/$name.log"; done
  says_to_helper '{"do":"show"}' | jq -e .return
  [ "$(as_user "$OCINET" port add --port-driver relay users 8081:80 | wc -l)" = 2 ]
  for pid in "${pids[@]}"; do
    run ! grep -E ' 0100007F:240D .* 0A ' "/proc/$pid/net/tcp"
  done
  for name in roots users; do [ "$(grep -c heard "$BATS_TEST_TMPDIR/$name.log")" = 1 ]; done
}
for runtime in deno node; do
  bats_test_function --description "SIGUSR1 reaches the command, and opens a debugger of none of ours ($runtime)" -- nobody_debugs "$runtime"
done

# variables RUNTIME: none has the runtime load, write or tell anything; the command has them all
variables() {
  local directory=$BATS_TEST_TMPDIR/variables
  export OCINET_RUNTIME=$1
  mkdir "$directory"
  echo 'require("fs").writeFileSync(__dirname + "/loaded", "")' >"$directory/load.js"
  run -0 --separate-stderr in_host env NODE_OPTIONS="--require=$directory/load.js" NODE_COMPILE_CACHE="$directory/compiled" \
    NODE_V8_COVERAGE="$directory/coverage" NODE_REDIRECT_WARNINGS="$directory/warnings" DENO_V8_FLAGS=--prof \
    DENO_COVERAGE_DIR="$directory/coverage" NODE_EXTRA_CA_CERTS=/nonexistent "$OCINET" run --net none -- env
  [ "$stderr" = "" ]
  [ "$(ls "$directory")" = load.js ]
  [ "$(grep -cE '^(NODE_(OPTIONS|COMPILE_CACHE|V8_COVERAGE|REDIRECT_WARNINGS|EXTRA_CA_CERTS)|DENO_(V8_FLAGS|COVERAGE_DIR))=.' <<<"$output")" = 7 ]
  run ! grep OCINET_KEPT <<<"$output"
}
for runtime in deno node; do
  bats_test_function --description "the environment of a command has nothing loaded into us ($runtime)" -- variables "$runtime"
done
