#!/usr/bin/env bats
# The second law: ocinet killed with -9 at any step leaves nothing that gc does not take, and nothing that keeps the
# same container from being attached at once. Here it is asked of some steps, of real processes; the laws in src/laws ask it
# of every step.
load lib
load contained
load killing

setup() {
  set_up_hosts
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# --- killed by the programs it runs

wrapped() { in_host env PATH="$WRAPPERS:$PATH" "$OCINET" "$@"; }

# --- killed between two system calls

# kill_at_each_moment PARTS COMMAND...: after one part of the time that it takes, two and a little more … until it runs to
# its end
kill_at_each_moment() {
  local begun step least=$(($1 / 3))
  prepare_kill
  begun=${EPOCHREALTIME/[.,]/}
  ocinet "${@:2}"
  step=$(((${EPOCHREALTIME/[.,]/} - begun) / $1))
  shift
  is_cleaned "not at all"
  kill_at_steps "$step" "$@"
  # The first time it may have taken longer by far.
  while ((KILLS < least)); do
    ((step > 1000)) || fail "it was killed $KILLS times only"
    is_cleaned "at its end"
    step=$((step / 2))
    kill_at_steps "$step" "$@"
  done
}

# kill_at_steps MICROSECONDS ARGS...: later by so much each time, and a little more, until it runs to its end; sets KILLS
kill_at_steps() {
  local step=$1 moment n after
  shift
  for n in {1..200}; do
    after=$((n * step * (20 + n) / 20))
    moment=$(printf '%d.%06d' $((after / 1000000)) $((after % 1000000)))
    prepare_kill
    run in_host timeout --foreground --signal KILL "$moment" "$OCINET" "$@"
    # 124: it ended as it was about to be killed.
    ((status != 0 && status != 124)) || break
    ((status == 137)) || fail "after $moment s it ended with $status:" "$output"
    wait_for empty_cgroup
    is_cleaned "after $moment s"
  done
  ((status != 137)) || fail "it never ran to its end"
  KILLS=$((n - 1))
}

# --- what has to be true afterwards

# make_box: a namespace and a network with everything
make_box() {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64 '{ "macspoofchk": true }'
  in_host ip netns add box
  in_box ip link set dev lo up
  snapshot >"$BATS_TEST_TMPDIR/before"
  quick_look >"$BATS_TEST_TMPDIR/quick"
  COUNT=0
}

up_options=(--net blue -p 8080:80 -p 5353:53/udp)

# is_cleaned WHERE: by gc; every third time the container is attached anew at once, and taken down
is_cleaned() {
  # It may have had nothing left to do but to say so.
  ! is_up || run -0 ocinet down box
  if ((COUNT++ % 3 == 1)); then
    run -0 ocinet up /run/netns/box "${up_options[@]}"
    reaches 10.1.1.1 in_box || fail "Killed $1, then attached anew, the container does not reach its gateway"
    run -0 ocinet down box
  fi
  run -0 ocinet gc
  looks_clean "$1"
}

is_up() {
  grep -qs '"phase":"done"' "$STATE_DIR/containers/box/container.json"
}

looks_clean() {
  quick_look | diff -U0 "$BATS_TEST_TMPDIR/quick" - || fail "Killed $1, it leaves that."
}

# A snapshot that takes a tenth of the time
quick_look() {
  # shellcheck disable=SC2016 # the inner shell's
  in_host bash -c 'ip -o link; nft list ruleset; find "$1" -mindepth 1; ip netns exec box ip -o link | sort' look "$STATE_DIR" |
    sed 's/ state [A-Z]*//; s/,LOWER_UP//; s/NO-CARRIER,//'
}

in_box() { in_host ip netns exec box "$@"; }

ends_clean() {
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip netns delete box
}

@test "ocinet killed by any program that attaching runs" {
  make_box
  make_wrappers ip nft nsenter sh conntrack bridge tc iptables ip6tables flock
  prepare_kill() { in_host nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }'; }
  prepare_kill
  quick_look >"$BATS_TEST_TMPDIR/quick"
  EVERY=4 kill_at_each_call wrapped up /run/netns/box "${up_options[@]}"
  ((KILLS >= 3)) || fail "it ran $KILLS programs only"
  ocinet down box
  in_host nft delete table ip filter
  ends_clean
}

@test "ocinet killed by any program that detaching runs" {
  make_box
  make_wrappers ip nft nsenter sh conntrack
  prepare_kill() { ocinet up /run/netns/box "${up_options[@]}"; }
  # A container that is attached is none of gc's business: its detaching is done again.
  is_cleaned() {
    run -0 ocinet down box
    run -0 ocinet gc
    looks_clean "$1"
  }
  EVERY=2 kill_at_each_call wrapped down box
  ((KILLS >= 2)) || fail "it ran $KILLS programs only"
  ends_clean
}

@test "ocinet killed by any program that gc runs" {
  make_box
  make_wrappers ip nft nsenter sh conntrack
  prepare_kill() {
    in_host ip netns add dead
    ocinet up /run/netns/dead "${up_options[@]}"
    in_host ip netns delete dead
  }
  EVERY=3 kill_at_each_call wrapped gc
  ((KILLS >= 2)) || fail "it ran $KILLS programs only"
  ends_clean
}

@test "ocinet killed at any moment of attaching" {
  make_box
  kill_at_each_moment 10 up /run/netns/box "${up_options[@]}"
  ocinet down box
  ends_clean
}

@test "ocinet killed at any moment of detaching" {
  make_box
  prepare_kill() { run -0 ocinet up /run/netns/box "${up_options[@]}"; }
  is_cleaned() {
    run -0 ocinet down box
    run -0 ocinet gc
    looks_clean "$1"
  }
  kill_at_each_moment 6 down box
  ends_clean
}

@test "ocinet on Node killed by some programs and at some moments" {
  export OCINET_RUNTIME=node
  make_box
  make_wrappers nft nsenter flock
  EVERY=3 kill_at_each_call wrapped up /run/netns/box "${up_options[@]}"
  ocinet down box
  ocinet gc
  kill_at_each_moment 4 up /run/netns/box "${up_options[@]}"
  ocinet down box
  ends_clean
}

@test "a hook that is killed leaves nothing" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  prepare a runc --net blue -p 8080:80,5353:53/udp --dns 192.0.2.9 --hosts-entry 192.0.2.9=db --hostname box
  make_wrappers ip nft nsenter sh mount hostname conntrack
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(bundle_path a)" '.hooks.createRuntime[0].env |= map(sub("^PATH="; "PATH=\($wrappers):"))' --arg wrappers "$WRAPPERS"
  snapshot >"$BATS_TEST_TMPDIR/before"
  attempt() { start_container a "$(bundle_path a)"; }
  is_cleaned() {
    delete_container a 2>/dev/null || true
    run -0 ocinet gc
    assert_same_snapshot "$BATS_TEST_TMPDIR/before" || fail "Killed $1, it leaves that."
  }
  local number
  for number in 1 4 7; do
    kill_at $number after attempt
    ((status != 0)) || fail "it runs fewer than $number programs"
    is_cleaned "after call $number"
  done
}

# --- an ordinary user's

# user_bundle ID OPTIONS...: as `ocinet inject OPTIONS` makes it
user_bundle() {
  make_bundle "$(bundle_path "$1")" runc rootless
  as_user "$OCINET" inject "${@:2}" "$(bundle_path "$1")"
  # The directory of state stays once it is there.
  as_user "$OCINET" ls
}

# user_is_clean WHERE: no process, no file, no socket, and the port is free
user_is_clean() {
  run -0 as_user "$OCINET" gc
  wait_for no_user_traces || fail "Killed $1, it leaves that:" "$(processes)" "$(user_files)" "$(port_holder)"
}

no_user_traces() { [ -z "$(processes)$(user_files)$(port_holder)" ]; }
user_files() { find "$HOST_DIR/user/run/ocinet" -mindepth 1; }
is_published() { [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]; }
port_holder() { in_host ss -Hltn "sport = :8080"; }

@test "a user's hook killed by any program that it runs" {
  make_wrappers sh mkfifo setsid nsenter slirp4netns head rm ip
  hide pasta
  user_bundle a -p 8080:80 --dns 192.0.2.9
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(bundle_path a)" '.hooks.createRuntime[0].env |= map(sub("^PATH="; "PATH=\($wrappers):"))' --arg wrappers "$WRAPPERS"
  snapshot >"$BATS_TEST_TMPDIR/before"
  attempt() { start_container a "$(bundle_path a)"; }
  echo before >"$WRAPPERS/when"
  local number
  for number in {1..40..4}; do
    echo "$number" >"$WRAPPERS/at"
    : >"$WRAPPERS/calls"
    run attempt
    # runc takes the container away, and does not call poststop.
    ((status != 0)) || break
    rm -rf "$BATS_TEST_TMPDIR/user/runc/a"
    user_is_clean "before call $number ($(sed -n "$number s/.* //p" "$WRAPPERS/calls"))"
  done
  ((status == 0 && number >= 8)) || fail "$number programs, then:" "$output"
  echo 0 >"$WRAPPERS/at"
  serve tcp 80 in_container a
  # What was killed after the hook had ended is started again.
  wait_for is_published
  stop tcp4-80
  stop tcp6-80
  delete_container a
  user_is_clean "at the end"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "a user's slirp4netns, container, or runtime killed" {
  hide pasta
  user_bundle a -p 8080:80
  snapshot >"$BATS_TEST_TMPDIR/before"
  local who
  for who in slirp4netns init slirp4netns,init; do
    start_container a "$(bundle_path a)"
    [[ $who != *slirp4netns* ]] || kill_uplink
    [[ $who != *init* ]] || kill_container a
    if [ $who = slirp4netns ]; then
      delete_container a
    else
      rm -r "$BATS_TEST_TMPDIR/user/runc/a"
    fi
    user_is_clean "$who"
  done

  # At a moment of its own choosing, while the hook works.
  local moment
  for moment in 0.1 0.2 0.3; do
    as_user timeout --foreground --signal KILL $moment runc --root "$BATS_TEST_TMPDIR/user/runc" run --detach \
      --bundle "$(bundle_path a)" a </dev/null >"$BATS_TEST_TMPDIR/a.log" 2>&1 3>&- || true
    wait_for no_runc
    # Killed once the container ran, it leaves the container running.
    as_user runc --root "$BATS_TEST_TMPDIR/user/runc" delete --force a 2>/dev/null || true
    rm -rf "$BATS_TEST_TMPDIR/user/runc/a"
    kill_processes
    user_is_clean "runc after $moment s"
  done
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

kill_uplink() { kill -KILL "$(tail -n 1 "$HOST_DIR/user/run/ocinet/containers/a/uplink.pid")"; }
no_runc() { ! processes | grep -qE "^runc|hook createRuntime"; }
