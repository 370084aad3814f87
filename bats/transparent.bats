#!/usr/bin/env bats
# A command of `ocinet run`, or `ocinet session exec`, cannot tell them from unshare(1), nor can who started it: what a probe
# says of itself is the same, on both runtimes, for root and for an ordinary user.
# shellcheck disable=SC2034,SC2154 # what lib reads, and what run sets
load lib

setup() {
  set_up_hosts
  hide pasta
  PLACE=$BATS_TEST_TMPDIR/place
  mkdir -p "$PLACE/dir"$'\xff \n'
  chmod -R 777 "$PLACE"
}

teardown() {
  as_user "$OCINET" session stop >/dev/null || true
  tear_down_hosts
  rm -rf "/tmp/ocinet-$(id -u "$OCINET_TEST_USER")"
}

# as_caller COMMAND...: with limits, descriptors, signals, words, variables, directory … of its own
as_caller() {
  as "$WHO" env ${PROBE_WAIT:+PROBE_WAIT="$PROBE_WAIT"} PROBE_EXIT=42 PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 prlimit --nofile=333:4096 --core=7:5000 --stack=7000000:8000000 \
    perl "$PROJECT/bats/caller.pl" "$PLACE" "$@" perl "$PROJECT/bats/probe.pl"
}

# way_of WRAPPER: $way is its words
way_of() {
  case $1 in
    unshare)
      way=(unshare --net --mount --propagation slave)
      [ "$WHO" = root ] || way+=(--user --map-root-user)
      ;;
    run) way=("$OCINET" run --net none --) ;;
    connected) way=("$OCINET" run -p 8080:80 -p '[::1]:8081:80' --) ;;
    session) way=("$OCINET" session exec --) ;;
    *)
      # shellcheck disable=SC2206 # a shell, and its word
      way=($1 "$OCINET" run --net none --)
      ;;
  esac
}

# same_as_unshare WRAPPER...
same_as_unshare() {
  local way one
  way_of unshare
  run -42 said_by "${way[@]}"
  local direct=$output
  [[ $direct == *"listen own"* ]] || fail "$direct"
  for one; do
    way_of "$one"
    run -42 said_by "${way[@]}"
    [ "$one" != session ] || output=$(grep -vE "^variable (OCINET_SESSION|_CONTAINERS_\w+) " <<<"$output")
    [ "$output" = "$direct" ] || fail "$one:" "$(diff <(echo "$direct") <(echo "$output") | cut -c1-300)"
  done
}

# said_by COMMAND...: what the probe says by it, and nothing is complained of
said_by() {
  local status=0
  as_caller "$@" </dev/null 2>"$PLACE/complaints" || status=$?
  cat "$PLACE/complaints"
  return "$status"
}

# on RUNTIME WHO FUNCTION ARGUMENT...
on() {
  OCINET_RUNTIME=$1 WHO=$2
  export OCINET_RUNTIME
  "${@:3}"
}

for runtime in deno node; do
  bats_test_function --description "descriptors, limits, signals' dispositions, words, variables, directory … are the caller's (root, $runtime)" -- \
    on $runtime root same_as_unshare run connected
  bats_test_function --description "descriptors, limits, signals' dispositions, words, variables, directory … are the caller's (user, $runtime)" -- \
    on $runtime user same_as_unshare run connected session
  bats_test_function --description "each signal arrives once, by pid and by group, and it can be stopped (root, $runtime)" -- on $runtime root signals run
  bats_test_function --description "each signal arrives once, by pid and by group, and it can be stopped (user, $runtime)" -- \
    on $runtime user signals run session
  bats_test_function --description "what stays behind has none of the caller's descriptors (root, $runtime)" -- on $runtime root left_behind connected
  bats_test_function --description "what stays behind has none of the caller's descriptors (user, $runtime)" -- \
    on $runtime user left_behind connected session
done

@test "whichever shell the system has for sh" {
  on deno root same_as_unshare dash bash "busybox sh"
}

# signals WRAPPER...: those of number 1 to 31, and of real time
signals() {
  local one
  for one; do every_signal "$one"; done
}

every_signal() {
  local way pid number out=$BATS_TEST_TMPDIR/$1.log
  way_of "$1"
  rm -f "$PLACE/over"
  PROBE_WAIT=$PLACE/over background "$1" as_caller setsid "${way[@]}"
  wait_for grep -qs '^ready' "$out" || fail "$1 is not ready:" "$(<"$out")" "$(processes | cut -c1-150)"
  pid=$(<"$BATS_TEST_TMPDIR/background/$1")
  [ "$(sed -n 's/^ready //p' "$out")" = "$pid" ]
  for number in {1..8} {10..18} {20..31} {34..64}; do
    kill -"$number" "$pid"
    wait_for got "$number" 1
    kill -"$number" -- "-$pid"
    wait_for got "$number" 2
  done
  kill -STOP "$pid"
  wait_for is_in_state T
  kill -CONT "$pid"
  wait_for got 18 3
  touch "$PLACE/over"
  wait_for grep -q '^over' "$out"
  [ "$(grep -c '^got' "$out")" = $((2 * 60 + 1)) ] || fail "$(sort "$out" | grep ^got | uniq -c | grep -v ' 2 ')"
  rm "$BATS_TEST_TMPDIR/background/$1"
}
got() { [ "$(grep -cx "got $1" "$out")" = "$2" ]; }
is_in_state() { [ "$(sed 's/.*) //' "/proc/$pid/stat" | cut -c1)" = "$1" ]; }

# left_behind WRAPPER...: while the command runs
left_behind() {
  local one
  for one; do none_left_to "$one"; done
}

none_left_to() {
  local way pid own others out=$BATS_TEST_TMPDIR/$1.log
  way_of "$1"
  rm -f "$PLACE/over"
  PROBE_WAIT=$PLACE/over background "$1" as_caller setsid "${way[@]}"
  wait_for grep -qs '^ready' "$out" || fail "$1 is not ready:" "$(<"$out")" "$(processes | cut -c1-150)"
  own=$(<"$BATS_TEST_TMPDIR/background/$1") others=0
  for pid in $(test_pids); do
    [ "$pid" != "$own" ] || continue
    others=$((others + 1))
    run ! given_to "$pid"
    [ -z "$output" ] || fail "$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-100)" "$output"
  done
  ((others > 0))
  [ -n "$(given_to "$own")" ]
  touch "$PLACE/over"
  rm "$BATS_TEST_TMPDIR/background/$1"
  # The next one's wait is not to hold this one.
  wait_for gone "$own"
}
# given_to PID: the descriptors that only the caller can have given it
given_to() { find "/proc/$1/fd" -lname '*/inherited-*' -printf '%f %l\n' 2>/dev/null | grep .; }
