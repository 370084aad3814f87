# Killing ocinet by the programs that it runs.
# shellcheck disable=SC2034,SC2154 # for the tests, and what run sets

# make_wrappers PROGRAM...: stand in for them when $WRAPPERS is first on PATH. Each call is a line in the file `calls`;
# the one whose number is in the file `at` kills ocinet before or (as the file `when` says) after it does its work, and
# writes its pid into the file `killed`.
make_wrappers() {
  WRAPPERS=$BATS_TEST_TMPDIR/wrappers
  mkdir -p "$WRAPPERS"
  cat >"$WRAPPERS/wrapper" <<'WRAPPER'
#!/bin/bash
dir=${0%/*} name=${0##*/}
PATH=${PATH//$dir:}
real=$(PATH=$PATH:/usr/sbin:/sbin type -P "$name")

kill_ocinet() {
  local pid=$PPID
  until [[ $(</proc/$pid/comm) =~ ^(deno|node|MainThread)$ ]]; do
    pid=$(sed 's/.*) . \([0-9]*\) .*/\1/' /proc/$pid/stat)
    ((pid > 1)) || return
  done 2>/dev/null
  echo "$pid" >"$dir/killed"
  kill -KILL "$pid"
}

echo "$$ $name" >>"$dir/calls"
number=$(grep -n "^$$ $name$" "$dir/calls" | tail -n 1 | cut -d: -f1)
PATH=$dir:$PATH
((number == $(<"$dir/at"))) || exec "$real" "$@"
# What has outlived it does its work: it is not ocinet that this would end.
case $(<"$dir/when") in
  before) kill_ocinet || exec "$real" "$@" ;;
  after)
    "$real" "$@"
    code=$?
    kill_ocinet || exit $code
    ;;
esac
exit 1
WRAPPER
  chmod 755 "$WRAPPERS" "$WRAPPERS/wrapper"
  local program
  for program; do ln -sf wrapper "$WRAPPERS/$program"; done
  touch "$WRAPPERS"/{calls,killed}
  chmod 666 "$WRAPPERS"/{calls,killed}
}

# kill_at NUMBER before|after COMMAND...: what the command says is in $output, how it ended in $status
kill_at() {
  echo "$1" >"$WRAPPERS/at"
  echo "$2" >"$WRAPPERS/when"
  : >"$WRAPPERS/calls"
  run "${@:3}"
  # What ocinet had started goes on without it for a moment.
  wait_for is_over || fail "still there:" "$(processes)"
}

is_over() { empty_cgroup; }

# kill_at_each_call COMMAND...: before the first program that it runs, after the second … until it runs to its end; given
# $EVERY, at every so many of them, and given $WHEN, always before, after, or both ("before after"). Killed, it ends with one
# of $STATUSES (137).
kill_at_each_call() {
  local number turn=0 turns=(before after) when program
  KILLS=0
  for ((number = 1; number <= 60; number += ${EVERY:-1})); do
    for when in ${WHEN:-${turns[turn++ % 2]}}; do
      prepare_kill
      kill_at "$number" "$when" "$@"
      program=$(sed -n "$number s/.* //p" "$WRAPPERS/calls")
      # A call that the launcher made itself, before there is anything to kill, is passed over.
      if ((status == 0)); then
        [ -n "$program" ] || return 0
        is_cleaned "not at all"
        continue
      fi
      [[ " ${STATUSES:-137} " == *" $status "* ]] || fail "$when $program, call $number, it ended with $status:" "$output"
      is_cleaned "$when $program, call $number"
      KILLS=$((KILLS + 1))
    done
  done
  fail "it never ran to its end:" "$output"
}

# What has to be so before each
prepare_kill() { :; }
