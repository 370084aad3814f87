#!/usr/bin/env bats
# The second law for what people type, and for what goes on while a container runs: ocinet killed with -9 before or after
# programs that it runs, and what its user does next.
# shellcheck disable=SC2034,SC2154 # what killing.bash reads, and what run sets
load lib
load rootless
load killing

# oc ARGS...: as an ordinary user; wrapped ARGS...: by the programs that kill it
oc() { as_user "$OCINET" "$@"; }
wrapped() { as_user env PATH="$WRAPPERS:$PATH" "$OCINET" "$@"; }
roots_wrapped() { in_host env PATH="$WRAPPERS:$PATH" "$OCINET" "$@"; }

# user_is_clean WHERE: after gc there is no process, no file, no socket, and the port is free
user_is_clean() {
  run -0 oc gc
  wait_for no_user_traces || fail "Killed $1, it leaves that:" "$(processes)" "$(user_files)" "$(port_holder)"
}

no_user_traces() { no_processes && [ -z "$(user_files)$(port_holder)" ]; }
user_files() { find "$(user_state)" -mindepth 1; }
port_holder() { in_host ss -Hltn "sport = :8080"; }
answers() { [ "$(ask_within 1 tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]; }

# kill_uplink ID: slirp4netns, and the keeper that would have it started again
kill_uplink() {
  local pid pids
  mapfile -t pids < <(uplink_pids "$1")
  kill -KILL "${pids[@]}"
  for pid in "${pids[@]}"; do wait_for gone "$pid"; done
}

@test "a user's run, by each uplink, killed by programs that it runs" {
  renew_pasta
  # The directory of state stays once it is there.
  oc ls
  make_wrappers sh setsid unshare nsenter slirp4netns pasta mkfifo head ip
  is_cleaned() {
    ((COUNT++ % 3 != 1)) || run -0 oc run "${options[@]}" true
    user_is_clean "$1"
  }
  local uplink options
  for uplink in slirp4netns pasta; do
    COUNT=0 options=(--id a --uplink "$uplink" -p 8080:80)
    STATUSES="125 137" EVERY=3 WHEN=before kill_at_each_call wrapped run "${options[@]}" true
    ((KILLS >= 3)) || fail "by $uplink it ran $KILLS programs only"
  done
}

@test "root's run killed by programs that it runs" {
  ocinet run true
  # The network goes after the command.
  wait_for none_is_left
  ocinet gc
  make_wrappers sh setsid unshare nsenter ip nft conntrack
  snapshot >"$BATS_TEST_TMPDIR/before"
  is_cleaned() {
    ((COUNT++ % 3 != 1)) || run -0 ocinet run --id a -p 8080:80 true
    wait_for is_collected || fail "Killed $1, it leaves that." "$(changes_since "$BATS_TEST_TMPDIR/before")"
    [ -z "$(find /sys/fs/cgroup -name "ocinet-run-$(<"$WRAPPERS/killed")-*")" ] || fail "Killed $1, it leaves a cgroup."
  }
  COUNT=0 STATUSES="125 137" EVERY=2 WHEN=before kill_at_each_call roots_wrapped run --id a -p 8080:80 true
  ((KILLS >= 3)) || fail "it ran $KILLS programs only"
}

none_is_left() { [ "$(ocinet ls -q)" = "" ]; }
is_collected() { ocinet gc >/dev/null && same_snapshot "$BATS_TEST_TMPDIR/before"; }

@test "session start and session stop killed by programs that they run" {
  oc ls
  make_wrappers sh setsid unshare nsenter slirp4netns mkfifo head ip
  # Killed once all is written down, it leaves a session that runs.
  is_over() { :; }
  is_cleaned() {
    ((COUNT++ % 3 != 1)) || run -0 oc session exec true
    run -0 oc session stop
    user_is_clean "$1"
  }
  # The relay starts programs too: if it is killed, the command fails.
  COUNT=0 STATUSES="137 1" EVERY=4 WHEN=before kill_at_each_call wrapped session start
  ((KILLS >= 3)) || fail "session start ran $KILLS programs only"

  prepare_kill() { oc session exec true; }
  COUNT=0 WHEN='before after' kill_at_each_call wrapped session stop
  ((KILLS >= 1)) || fail "session stop ran $KILLS programs only"
  oc session stop
  user_is_clean "at the end"
}

@test "root's port add and port rm killed by the programs that they run" {
  in_host ip netns add box
  ocinet up /run/netns/box -p 8081:81
  in_host nft list ruleset >"$BATS_TEST_TMPDIR/rules"
  make_wrappers sh nsenter ip nft conntrack
  rm_is_clean() {
    run -0 ocinet port rm box 8080:80
    in_host nft list ruleset | diff -U0 "$BATS_TEST_TMPDIR/rules" - || fail "Killed $1, it leaves that."
  }
  is_cleaned() {
    [ "$(ocinet port ls box)" = "8081:81/tcp nftables" ]
    ocinet port add box 8080:80
    rm_is_clean "$1"
  }
  WHEN='before after' kill_at_each_call roots_wrapped port add box 8080:80
  ((KILLS >= 1))
  prepare_kill() { run ocinet port add box 8080:80; }
  is_cleaned() { rm_is_clean "$1"; }
  WHEN='before after' kill_at_each_call roots_wrapped port rm box 8080:80
  ((KILLS >= 1))
  # Half published, it goes with the container.
  kill_at 1 after roots_wrapped port add box 8080:80
  ((status == 137))
  ocinet down box
  run -0 ocinet gc
  [ -z "$(in_host nft list ruleset)$(find "$STATE_DIR" -mindepth 1)" ]
  in_host ip netns delete box
}

@test "a user's port add, and what starts a dead uplink again, killed by programs that they run" {
  launch a -p 8081:80
  make_wrappers sh setsid nsenter mkfifo head setpriv slirp4netns ip
  is_over() { :; }
  is_cleaned() {
    [ "$(oc port ls a)" = "8081:80/tcp slirp4netns, IPv4 only" ]
    run -0 oc port add --port-driver relay a 8080:80
    run -0 oc port rm a 8080:80
    [ -z "$(port_holder)" ] || fail "Killed $1, it leaves" "$(port_holder)"
  }
  STATUSES="137 1" EVERY=3 WHEN=before kill_at_each_call wrapped port add --port-driver relay a 8080:80
  ((KILLS >= 3)) || fail "it ran $KILLS programs only"
  oc port rm a 8080:80
  oc port add a 8080:80
  serve tcp 80 in_container a

  prepare_kill() { kill_uplink a; }
  is_cleaned() {
    run -0 oc repair a
    answers || fail "Killed $1, nothing answers:" "$(oc ls)" "$(uplink_pids a)"
  }
  EVERY=3 WHEN=before kill_at_each_call wrapped repair a
  ((KILLS >= 3)) || fail "repair ran $KILLS programs only"
  answers
  stop_background
  delete_container a
  user_is_clean "at the end"
}

@test "crun's agent killed by programs that it runs" {
  RUNTIME=crun
  bundle a -p 8080:80
  oc ls
  make_wrappers sh setsid nsenter slirp4netns mkfifo head ip
  # shellcheck disable=SC2016 # jq's variable
  set_config "$(path_of a)" '.hooks.createRuntime[0].env |= map(sub("^PATH="; "PATH=\($wrappers):"))' --arg wrappers "$WRAPPERS"
  attempt() { start_container a "$(path_of a)"; }
  is_over() { :; }
  local number
  for number in {1..40..3}; do
    kill_at "$number" before attempt
    ((status != 0)) || break
    runtime_of "$(path_of a)" delete --force a 2>/dev/null || true
    user_is_clean "before call $number ($(sed -n "$number s/.* //p" "$WRAPPERS/calls"))"
  done
  ((status == 0 && number >= 6)) || fail "$number programs, then:" "$output"
  delete_container a
  user_is_clean "at the end"
}

@test "an uplink that died with its keeper is started again by whatever ocinet does next" {
  launch a -p 8080:80
  serve tcp 80 in_container a
  kill_uplink a
  [[ $(oc ls) == *"a   partial  "*"  its slirp4netns has ended; ocinet repair a starts it again"* ]]
  oc run --net none true
  answers
  kill_uplink a
  oc port add a 8081:80
  answers
  stop_background
  delete_container a

  oc session start
  kill_uplink session
  oc session exec true
  oc session status --json | jq -e '.state == "up"'
  oc session stop
  user_is_clean "at the end"
}
