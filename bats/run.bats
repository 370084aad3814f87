#!/usr/bin/env bats
# `ocinet run`: a command with a network of its own, for root and for an ordinary user, run by root so that what is left is seen.
# shellcheck disable=SC2154 # what run sets
load lib

# by_each DESCRIPTION FUNCTION: a test for root and one for an ordinary user; $WHO is root or user
by_each() {
  local who
  for who in root user; do
    bats_test_function --description "$1 ($who)" -- by "$who" "$2"
  done
}

by() {
  WHO=$1
  "$2"
}

# oc ARGS...: ocinet as $WHO
oc() { as_who "$OCINET" "$@"; }
as_who() { as "$WHO" "$@"; }

state() {
  case $WHO in
    user) echo "$HOST_DIR/user/run/ocinet" ;;
    *) echo "$STATE_DIR" ;;
  esac
}

# is_gone: no state, and nothing that runs
is_gone() { no_state && no_processes; }
no_state() { [ -z "$(ls "$(state)/containers" 2>/dev/null)" ]; }

# count PATTERN NAME: lines in $BATS_TEST_TMPDIR/NAME.log; fails when there are none
count() { grep -c "$1" "$BATS_TEST_TMPDIR/$2.log"; }

# started NAME COMMAND...: `ocinet run COMMAND...` in the background, whose command has said "ready" in $BATS_TEST_TMPDIR/NAME.log
started() {
  # In the background a shell makes everything ignore these two.
  background "$1" as_who env --default-signal=INT,QUIT "$OCINET" run "${@:2}"
  wait_for says_ready "$1"
}

says_ready() { grep -qs '^ready' "$BATS_TEST_TMPDIR/$1.log"; }
pid_of() { cat "$BATS_TEST_TMPDIR/background/$1"; }

# supervisor_of PID: what made the network of the command PID; holder_of ID: what holds its namespaces
supervisor_of() { pgrep -f " supervise $1 [0-9]*\$"; }
holder_of() { jq -r '.container.netns | split("/")[2]' "$(state)/containers/$1/container.json"; }

by_each "the command is connected from its first moment, sees itself as root, and leaves nothing" connected
connected() {
  oc run true
  wait_for no_processes
  serve tcp 8000 in_peer
  snapshot >"$BATS_TEST_TMPDIR/before"
  # shellcheck disable=SC2016 # the command's shell
  run -0 --separate-stderr oc run -- bash -c 'id -u; echo "$HOME"; pwd; echo /sys/class/net/*; cat /sys/class/net/eth0/address
    exec 5<>/dev/tcp/192.0.2.2/8000; echo hello >&5; head -n 1 <&5; ls -A /sys/fs/cgroup | wc -l; env | grep ^OCINET_CALLED; true'
  [ "${lines[0]}" = 0 ]
  [ "${lines[1]}" = "$(as_who printenv HOME)" ]
  [ "${lines[2]}" = "$PWD" ]
  [ "${lines[3]}" = "/sys/class/net/eth0 /sys/class/net/lo" ]
  [[ ${lines[4]} == *:*:*:*:*:* ]]
  [ "${lines[5]}" = 192.0.2.1 ]
  [ "${lines[6]}" -gt 0 ]
  [ "${#lines[@]}" = 7 ] && [ -z "$stderr" ]
  wait_for no_state
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

by_each "the exit status is the command's, or says why it was not run" exit_status
exit_status() {
  run -7 oc run --net none -- sh -c 'exit 7'
  # shellcheck disable=SC2016 # the command's shell
  run -143 oc run --net none -- sh -c 'kill $$'
  # shellcheck disable=SC2016 # the command's shell
  run -137 oc run --net none -- sh -c 'kill -KILL $$'
  run -127 oc run nothing-of-that-name
  [ "$output" = 'ocinet: Cannot run "nothing-of-that-name": it is not on PATH' ]
  run -127 oc run -- ./nothing-of-that-name
  [ "$output" = 'ocinet: Cannot run "./nothing-of-that-name": there is no such file' ]
  run -126 oc run /etc/passwd
  [ "$output" = 'ocinet: Cannot run "/etc/passwd": it is not executable' ]
  run -125 oc run
  [[ $output == "ocinet: missing required argument 'command'"* ]]
  run -125 oc run --nonsense true
  run -0 oc run --help
  [[ $output == *"Usage: ocinet run [options] <command...>"*"127 if it is not found"* ]]
  run -0 oc run --log-level debug --net none -- echo --json --help
  [[ $output == *"run nsenter"*$'\n'"--json --help"* ]]
  wait_for is_gone
}

by_each "when it cannot be connected it is not run, and one line says why" not_connected
not_connected() {
  local ran=$HOST_DIR/user/run/ran
  run -125 oc run --net nothing -- touch "$ran"
  [[ $output == "ocinet: networks not found: nothing (there are: "* && ${#lines[@]} = 1 ]]
  run -125 oc run -p bad -- touch "$ran"
  run -125 oc run --net host -p 8080:80 -- touch "$ran"
  [ "$output" = "ocinet: Cannot publish ports with --net=host: the container has the host's ports already" ]
  background taken in_host socat TCP4-LISTEN:8080,fork,reuseaddr SYSTEM:true
  wait_for taken
  run -125 oc run -p 8080:80 -- touch "$ran"
  [[ $output == 'ocinet: Cannot publish "8080:80/tcp": '* && ${#lines[@]} = 1 ]]
  stop taken
  # Free when it is looked at, and yet not to be had.
  if [ "$WHO" = user ]; then
    run -125 oc run -p 192.0.2.77:8080:80 -- touch "$ran"
    [[ $output == "ocinet: Cannot "*"192.0.2.77"* && ${#lines[@]} = 1 ]]
  fi
  [ ! -e "$ran" ]
  wait_for is_gone
}

taken() { in_host ss -Hltn "sport = :8080" | grep -q .; }

by_each "what goes in and comes out is the command's alone" streams
streams() {
  head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
  [ "$(oc run --net none cat <"$BATS_TEST_TMPDIR/data" | cksum)" = "$(cksum <"$BATS_TEST_TMPDIR/data")" ]
  local look='echo out; echo err >&2; ls -l /proc/self/fd | sed "s/.*[0-9] \([0-9]* ->\)/\1/; /proc/d"'
  run -0 --separate-stderr oc run --net none -- sh -c "$look" </dev/null
  [ "$output" = "$(as_who sh -c "$look" </dev/null 2>&1 | grep -v err)" ] && [ "$stderr" = err ]
  # A reader that is gone is noticed.
  oc run --net none yes | head -n 1
  [ "${PIPESTATUS[0]}" = 141 ]
}

by_each "signals are passed on, once each" signals
signals() {
  # shellcheck disable=SC2016 # the command's shell
  started hearing --net none -- bash -c 'for name in HUP INT QUIT USR1 USR2; do trap "echo got $name" "$name"; done
    trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 1000 & wait; done'
  local name
  for name in HUP INT QUIT USR1 USR2 TERM; do
    kill -"$name" "$(pid_of hearing)"
    wait_for count "got $name" hearing
  done
  wait_for is_gone
  for name in HUP INT QUIT USR1 USR2 TERM; do
    [ "$(count "got $name" hearing)" = 1 ]
  done
}

@test "a signal that comes before the command has begun keeps it from beginning" {
  WHO=user
  local bin=$HOST_DIR/user/home/bin meeting=$HOST_DIR/user/run
  # An uplink that waits.
  as_user mkdir "$bin"
  printf '%s\n' '#!/bin/sh' "touch $meeting/there; until [ -e $meeting/on ]; do sleep 0.02; done" \
    "exec $(command -v slirp4netns) \"\$@\"" >"$bin/slirp4netns"
  chmod 755 "$bin/slirp4netns"
  # shellcheck disable=SC2016 # the inner shell's
  background box as_user bash -c 'PATH=$0:$PATH "$@"; echo "status $?"' "$bin" "$OCINET" run -- touch "$meeting/ran"
  wait_for test -e "$meeting/there"
  kill -TERM "$(oc ls --json | jq -r '.[0].pid')"
  as_user touch "$meeting/on"
  wait_for count "status 143" box
  [ ! -e "$meeting/ran" ]
  wait_for is_gone
}

@test "a signal while it is being connected ends it at once, and what is being done soon" {
  WHO=user
  local bin=$HOST_DIR/user/home/bin there=$HOST_DIR/user/run/there name pid
  # An uplink that never is ready.
  as_user mkdir "$bin"
  printf '%s\n' '#!/bin/sh' "touch $there; exec sleep 1000" >"$bin/slirp4netns"
  chmod 755 "$bin/slirp4netns"
  # The last one as it is typed: for all of the group.
  for name in TERM KILL INT; do
    # shellcheck disable=SC2016 # the inner shell's
    background box as_user setsid env --default-signal=INT bash -c 'trap : INT; PATH=$0:$PATH "$@"; echo "status $?"' "$bin" \
      "$OCINET" run -p 8080:80 -- true
    wait_for test -e "$there"
    [ $name = INT ] && pid=-$(pid_of box) || pid=$(oc ls --json | jq -r '.[0].pid')
    kill -"$name" -- "$pid"
    wait_for count "status 1[34]" box
    run ! grep ocinet: "$BATS_TEST_TMPDIR/box.log"
    wait_for is_gone
    run oc gc
    rm -f "$there"
    stop box
  done
}

by_each "signals that the caller ignores stay ignored" ignored
ignored() {
  background deaf as_who env --ignore-signal=HUP "$OCINET" run --net none -- bash -c 'echo ready; exec sleep 1000'
  wait_for says_ready deaf
  kill -HUP "$(pid_of deaf)"
  oc ls | grep -q up
  grep -q sleep "/proc/$(pid_of deaf)/cmdline"
  stop deaf
  wait_for is_gone
}

by_each "ports are published, files are the command's own, and two run at once" two_at_once
two_at_once() {
  # shellcheck disable=SC2016 # the command's shell
  local serve='echo; echo ready; exec socat TCP4-LISTEN:80,fork,reuseaddr SYSTEM:"read -r hello; echo \$SOCAT_PEERADDR"'
  started one --id one -p 8080:80 --dns 192.0.2.53 --hosts-entry 192.0.2.9=db --hostname box -- \
    sh -c "hostname; cat /etc/resolv.conf /etc/hosts; $serve"
  started two -p 8081:80 -- sh -c "hostname; cat /etc/hosts; $serve"
  local two
  two=$(oc ls --json | jq -er '.[].id | select(test("^run-[0-9]+$"))')
  grep -x box "$BATS_TEST_TMPDIR/one.log"
  grep -x "nameserver 192.0.2.53" "$BATS_TEST_TMPDIR/one.log"
  grep "^192.0.2.9.*db" "$BATS_TEST_TMPDIR/one.log"
  run ! grep -E "^192.0.2.9|^box$" "$BATS_TEST_TMPDIR/two.log"
  run ! grep 192.0.2.9 /etc/hosts
  wait_for serves one
  wait_for serves "$two"
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 192.0.2.2 ]
  run -125 oc run --id one --net none true
  [ "$output" = 'ocinet: Cannot attach container "one": it is attached already; take it down first' ]
  run -125 oc run -p 8080:80 true
  [[ $output == 'ocinet: Cannot publish "8080:80/tcp": container "one" has it'* ]]
  stop one
  wait_for in_ls_alone "$two"
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 192.0.2.2 ]
  stop two
  wait_for is_gone
  unanswered tcp 192.0.2.1 8080 in_peer
}

# serves ID: a program listens on port 80 of its network
serves() {
  in_host nsenter --net="/proc/$(oc inspect "$1" | jq '.[0].pid')/ns/net" -- ss -Hltn "sport = :80" | grep -q .
}

in_ls_alone() { [ "$(oc ls --json | jq -r '.[].id')" = "$1" ]; }

by_each "modes: none has loopback only, host what the caller has" modes
modes() {
  run -0 oc run --net none -- sh -c 'ip -br link; ls /sys/class/net'
  [[ ${#lines[@]} = 2 && ${lines[0]} == "lo "*"LOWER_UP"* && ${lines[1]} = lo ]]
  run -0 oc run --net host --hostname box --dns 192.0.2.53 -- sh -c 'hostname; cat /etc/resolv.conf; ip -o -4 address'
  [[ ${lines[0]} = box && $output == *"nameserver 192.0.2.53"*"192.0.2.1/24"* ]]
  wait_for is_gone
}

by_each "the process that holds its namespaces is killed: so is the command, which is said" held
held() {
  background box as_who bash -c '"$@"; echo "status $?"' bash "$OCINET" run --id box -- bash -c \
    'setsid sleep 1000 & echo ready; exec sleep 1000'
  wait_for says_ready box
  kill -KILL "$(holder_of box)"
  wait_for count "status 137" box
  wait_for is_gone
  grep "Process [0-9]*, which held the namespaces of process [0-9]*, was killed" "$(state)/hook.log"
}

by_each "what the command has left behind ends with it" leftovers
leftovers() {
  local apart=-nm
  [ "$WHO" = root ] || apart=-Urnm
  run -3 oc run -- sh -c 'setsid sleep 1000 >/dev/null 2>&1 3>&- & setsid unshare '"$apart"' sleep 1000 >/dev/null 2>&1 3>&- &
    sleep 1000 >/dev/null 2>&1 3>&- & ip -br a; exit 3'
  wait_for is_gone
}

by_each "what supervises it is killed: the command, the namespace and its uplink go, and the rest with gc" killed
killed() {
  oc run true
  wait_for no_processes
  snapshot >"$BATS_TEST_TMPDIR/before"
  started box --id box -p 8080:80 -- sh -c 'sleep 1000 & echo ready; sleep 1000'
  kill -KILL "$(supervisor_of "$(pid_of box)")"
  wait_for no_processes
  run -0 oc gc --json
  jq -e '.containers[0].id == "box" and (.containers[0].reason | test("its process [0-9]+ has ended"))' <<<"$output"
  is_gone
  # gc takes what is shared, too.
  oc run true
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

by_each "what a killed one left goes with the next" next_one
next_one() {
  started box --id box --net none -- sh -c 'echo ready; sleep 1000'
  kill -KILL "$(supervisor_of "$(pid_of box)")"
  wait_for no_processes
  [ -e "$(state)/containers/box" ]
  run -0 oc run --net none true
  wait_for is_gone
}

# at_terminal NAME COMMAND...: in a terminal of its own, as `background`; what is written to $KEYS is typed there
at_terminal() {
  local name=$1 keys=$BATS_TEST_TMPDIR/keys
  mkfifo "$keys"
  chmod 666 "$keys"
  exec {KEYS}<>"$keys"
  # shellcheck disable=SC2016 # the inner shell's
  background "$name" as_who env TERM=dumb SHELL=/bin/bash bash -c 'exec script -qfec "$1" /dev/null <"$2"' sh "$(printf '%q ' "${@:2}")" "$keys"
}

# typed TEXT: at the terminal, and the return key
typed() { printf '%b' "$1" >&"$KEYS"; }

by_each "at a terminal the command has it, and what is typed there reaches it once" terminal
terminal() {
  # shellcheck disable=SC2016 # the command's shell
  at_terminal box "$OCINET" run --net none -- bash -c 'for name in INT QUIT TERM; do trap "echo got $name" "$name"; done
    [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty >/dev/tty && echo ready; until read -r line && [ "$line" = end ]; do :; done; echo over'
  wait_for says_ready box
  typed '\003'
  wait_for count "got INT" box
  typed '\034'
  wait_for count "got QUIT" box
  kill -TERM "$(oc ls --json | jq '.[0].pid')"
  wait_for count "got TERM" box
  typed 'end\n'
  wait_for count over box
  [ "$(count "got INT" box)$(count "got QUIT" box)$(count "got TERM" box)" = 111 ]
  wait_for is_gone
}

by_each "a shell stops it and goes on with it" job_control
job_control() {
  at_terminal box bash --norc -i
  typed "$OCINET run --net none -- sh -c 'echo ready; cat; exit 5'\n"
  wait_for says_ready box
  typed '\032'
  wait_for count Stopped box
  # shellcheck disable=SC2016 # the inner shell's
  typed 'echo code $?; fg\n'
  wait_for count "code 148" box
  typed 'first\n'
  wait_for twice first
  typed '\004'
  # shellcheck disable=SC2016 # the inner shell's
  typed 'echo code $?; exit\n'
  wait_for count "^code 5" box
  wait_for is_gone
}

twice() { [ "$(count "^$1" box)" = 2 ]; }

by_each "on Node all is as on Deno" on_node
on_node() {
  export OCINET_RUNTIME=node
  run -7 oc run -- sh -c 'ls /sys/class/net; exit 7'
  [ "$output" = eth0$'\n'lo ]
  # shellcheck disable=SC2016 # the command's shell
  run -137 oc run --net none -- sh -c 'kill -KILL $$'
  [ "$(oc run --net none cat <<<hello)" = hello ]
  signals
  killed
}
